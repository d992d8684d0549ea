"""`la.pretrained`: the trained runs that the package ships."""

from __future__ import annotations

from latticear.runs.pretrained import PREFIX, located
from latticear.workflows.run import Run, load_run

__all__ = ["pretrained"]


def pretrained(name: str = "", device: str = "cpu") -> Run:
    """Load a trained run that the package ships: no training, no network access, no code in the files is executed.

    `la.PRETRAINED` lists them with a line each; `la.PRETRAINED[name]` is the card of one: how it was made, and how good
    it is. All files are verified by their checksums. On the command line `pretrained:NAME` stands for such a run.

    Nothing is written into it: `run.estimate()` returns its results without storing them, and `run.copy_to(path)`
    makes a run of your own.

    Args:
        name: a name in `la.PRETRAINED`.
        device: device of the network: auto, cpu or cuda.

    Raises:
        ValueError: for another name; lists those that there are. Also if a file is not as it was written.

    Example:
        >>> import latticear as la
        >>> run = la.pretrained("ising-critical-16")
        >>> estimates = la.estimate(run.samples(1000), run.hamiltonian, run.temperature)
        >>> bool(estimates["ess"].value > 0.9)
        True
    """
    return load_run(located(PREFIX + str(name).removeprefix(PREFIX)), device)
