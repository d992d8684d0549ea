"""Autoregressive neural samplers of lattice spin systems, with exact likelihoods and honest error bars.

    import latticear as la

    ising = la.Ising((8, 8))
    model = la.PixelCNN((8, 8), spin_flip_symmetric=True, bias=ising.bias(2.269))
    for step in la.fit(model, ising, temperature=2.269):
        ...
    print(la.estimate(model.sample(10_000), ising, temperature=2.269))

`la.` holds what a user types; the rest is reached through its room: `la.exact.kasteleyn`, `la.data.read_batches`.
Names are loaded when first used, so that `latticear --help` does not wait for PyTorch; `__init__.pyi` lists them.
"""

import os
import sys
from importlib.metadata import version

import lazy_loader

from latticear import deprecated

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("latticear")

if "torch" not in sys.modules:  # PyTorch reads this when it is imported; latticear.threads says what it is for
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

deprecated.keep_names(__name__)
deprecated.install()
