"""The multiscale network: sites drawn scale by scale, in O(log L) phases, and what follows from the energy alone.

`network` is the model, `order` the order of the sites, `plan` what the energy makes of it, `phases` what tells the
conditionals of a phase. `compiled` is all of it for the CPU, `trusted` how the model holds that, `drawer` what asks it.
"""

from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["MultiscalePixelCNN"]
