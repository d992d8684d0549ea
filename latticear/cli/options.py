"""Definitions of command-line options, and functions that parse their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from latticear.runs.config import RunConfig
    from latticear.workflows import Instance


MOST = 10**12
"""The largest number of configurations or steps; more would take years."""

MOST_SITES = 10**7
"""The largest number of sites of a lattice; the list of its bonds already takes a gigabyte."""


MOST_TEMPERATURES = 10_000
"""The largest number of temperatures of a scan, each of which has a folder."""


def whole(least: int, most: int, wanted: str, too_large: str) -> Callable[[Any], int]:
    """A parser of whole numbers, which may be written as 1e7; `Verb` puts the name of the option before its message.

    Args:
        least, most: the smallest and the largest number that it takes.
        wanted: what a message says that the number must be.
        too_large: the same for a number that is too large.
    """

    def parse(value: Any) -> int:
        try:
            number = Decimal(str(value).strip())  # exact, as seeds have up to 19 digits
        except InvalidOperation:
            number = Decimal("nan")
        is_number = math.isfinite(float(number))
        if is_number and number > most:
            raise typer.BadParameter(f"must be {too_large}, got {value!r}")
        if not is_number or number < least or number != int(number):
            raise typer.BadParameter(f"must be {wanted}, got {value!r}")
        return int(number)

    return parse


def count(least: int = 1) -> Callable[[Any], int]:
    """A parser of numbers of something, of which there are at least so many."""
    return whole(least, MOST, f"a whole number of at least {least} (1e6 works too)", f"at most {MOST:.0e}")


def number_of(value: Any) -> float:
    """Parse a real number."""
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"must be a number, got {value!r}") from None


def shape_of(text: str | None) -> dict[str, Any]:
    """Parse a lattice size, L or HxW, and return it as the key `shape` of a config."""
    if text is None:
        return {}
    parts = text.lower().split("x")
    if not (1 <= len(parts) <= 2 and all(part.isdecimal() for part in parts)):
        raise ValueError(f"--size must be L or HxW, e.g. 16 or 8x16, got {text!r}")
    height, width = int(parts[0]), int(parts[-1])
    if len(parts) == 1 and height < 2:
        raise ValueError(f"--size must be at least 2, got {height}: one site is no lattice")
    if height * width > MOST_SITES:
        raise ValueError(f"--size must give at most {MOST_SITES:.0e} sites, got {text!r}")
    return {"shape": [height, width]}


def temperatures_of(text: str | None) -> list[float] | None:
    """Parse temperatures separated by commas."""
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--temperature must be one or several numbers, e.g. 2.1 2.269 2.5, got {text!r}") from error


def grid_temperatures_of(text: str | None) -> list[float]:
    """Parse LOW:HIGH:N, N equally spaced temperatures including both ends, or temperatures separated by commas."""
    if text is None:
        raise ValueError("scan needs --temperature, LOW:HIGH:N or numbers, e.g. 1.5:3.5:21")
    low, *rest = text.split(":")
    if not rest:
        return temperatures_of(text) or []
    try:
        high, count = rest
        first, last, n = float(low), float(high), int(count)
    except ValueError:
        n = 0
    if n > MOST_TEMPERATURES:
        raise ValueError(f"--temperature must be LOW:HIGH:N with N of at most {MOST_TEMPERATURES}, got {text!r}")
    if n < 2 or not -math.inf < first < last < math.inf:
        raise ValueError(f"--temperature must be LOW:HIGH:N with N >= 2, or numbers, e.g. 1.5:3.5:21, got {text!r}")
    return [float(f"{first + (last - first) * k / (n - 1):.12g}") for k in range(n)]  # 1.7, not 1.7000000000000002


def shapes_of(text: str | None) -> list[tuple[int, int]]:
    """Parse lattice sizes, each L or HxW, separated by commas."""
    sizes = [] if text is None else [shape_of(part)["shape"] for part in text.split(",")]
    return [(height, width) for height, width in sizes]


def hamiltonian_of(size: str | None, name: str | None) -> dict[str, Any]:
    """The section `hamiltonian` of a config that --size and --hamiltonian describe."""
    return shape_of(size) | given_options(name=name)


def grid_of(size: str | None, levels: int | None, name: str | None) -> dict[str, Any]:
    """The section that --size, --levels and --hamiltonian describe: `grid` with --levels, else `hamiltonian`."""
    if levels is None:
        return {"hamiltonian": hamiltonian_of(size, name)}
    if name is not None:
        raise ValueError(
            f"--levels trains on data without a Hamiltonian, got --hamiltonian {name}; leave one of them out"
        )
    return {"grid": {"levels": levels} | shape_of(size)}


def network_of(model: str | None, steps: int | None) -> dict[str, Any]:
    """The sections of a config that --model and --steps describe."""
    return {"model": given_options(name=model), "training": given_options(steps=steps)}


SEEDS = "a whole number from 0 to 2^63 - 1"


Size = Annotated[str | None, typer.Option(metavar="L|HxW", help="Lattice size.")]
HamiltonianName = Annotated[
    str | None,
    typer.Option("--hamiltonian", metavar="NAME", help="The system, hamiltonian.name. Default: ising."),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The network, model.name. By default a tensor network where there can be one; with --steps one to train.",
    ),
]
Steps = Annotated[Any, typer.Option(parser=count(), metavar="N", help="The number of training steps, training.steps.")]
Temperature = Annotated[
    Any,
    typer.Option(
        parser=number_of,
        metavar="T",
        help="T, with k_B = 1 and in units of the coupling. Default: T_c of the square-lattice Ising model.",
    ),
]
TemperatureOrRange = Annotated[
    str | None,
    typer.Option(
        "--temperature",
        metavar="T|LOW:HIGH",
        help="T, with k_B = 1 and in units of the coupling, or a range that one network covers. Default: T_c.",
    ),
]
Temperatures = Annotated[
    str | None,
    typer.Option(
        "--temperature",
        metavar="T...",
        help="One or several temperatures. Samples of a run at one temperature are reweighted; a run for a range draws "
        "samples at each of them.",
    ),
]
Grid = Annotated[
    str | None,
    typer.Option(
        "--temperature",
        metavar="LOW:HIGH:N|T...",
        help="N equally spaced temperatures, or a list; k_B = 1, in units of the coupling.",
    ),
]
Sizes = Annotated[
    str | None, typer.Option("--size", metavar="L,L,...", help="Lattice sizes, L or HxW. Default: that of the config.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run directory.")]
File = Annotated[Path, typer.Option("--out", "-o", help="File to write: .h5, .npy, .npz or .csv.")]
EstimationMethod = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="is: importance sampling; smc: resampling between the steps of a multiscale model; mcmc: block updates by "
        "a multiscale model, neural Metropolis chains by any other; auto, the default: is if the first 4000 samples "
        "have an ESS of at least 0.05 or the model cannot draw in steps, else smc.",
    ),
]
ObservableNames = Annotated[
    list[str] | None,
    typer.Option(
        "--observable",
        metavar="NAME,...",
        help="Measure these too, such as structure_factor or correlation_length; a wrong name lists what there is.",
    ),
]
MonteCarloMethod = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="By default the one that suits the system: swendsen-wang where nothing is frustrated. metropolis or "
        "heat-bath: any system; swendsen-wang: cluster updates, for systems without frustration; wolff: "
        "single-cluster updates, for two states without a field; parallel-tempering, population-annealing: any "
        "system, in particular spin glasses; they also give the free energy.",
    ),
]
ExactMethod = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="By default the one that gives most quantities in a few seconds. enumerate-states, "
        "magnetization-resolved, transfer-matrix, kaufman, kasteleyn; tensor-network: boundary matrix products, with "
        "an estimated error.",
    ),
]
BondDimension = Annotated[
    Any,
    typer.Option(
        "--bond-dimension",
        parser=whole(1, 2**12, "a whole number of at least 1", "at most 4096"),
        metavar="N",
        help="Bond dimension of the matrix products of tensor-network; the larger, the smaller the error. Default: as "
        "large as needed, up to 64.",
    ),
]
Seed = Annotated[
    Any,
    typer.Option("--seed", parser=whole(0, 2**63 - 1, SEEDS, SEEDS), metavar="N", help="Seed of all random numbers."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the config: section.key=value.")
]
Number = Annotated[
    Any,
    typer.Option("-n", "--number", parser=count(), metavar="N", help="Number of configurations, e.g. 1e6."),
]
Errors = Annotated[
    list[str] | None,
    typer.Option(
        "--error",
        metavar="NAME=ERROR",
        help="Go on until this error is reached, e.g. free_energy_per_site=1e-6 or susceptibility=1%. May be repeated. "
        "-n is then the largest number, without a limit by default.",
    ),
]
Minutes = Annotated[
    Any,
    typer.Option("--minutes", parser=number_of, metavar="MINUTES", help="With --error: the largest time, in minutes."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Given = Annotated[Path | None, typer.Option(metavar="FILE", help="HDF5 file: hold its /spins fixed where /where is 1.")]
Condition = Annotated[
    str | None, typer.Option(metavar="K|X,Y,...", help="Condition: a class label, or numbers separated by commas.")
]
InstanceFile = Annotated[
    Path | None,
    typer.Option(
        "--instance",
        metavar="FILE",
        help="File of couplings, HDF5 with /couplings, .npy or text: for a run that covers all couplings, or one of a "
        "tensor network; in train the instance to fine-tune --from to.",
    ),
]
InstanceIndex = Annotated[
    Any,
    typer.Option(
        "--index", parser=count(0), metavar="K", help="Number of the instance in that file, from 0. Default: the first."
    ),
]
Instances = Annotated[
    str | None,
    typer.Option(
        "--instances",
        metavar="FILE[:0-9]",
        help="Estimate each instance of a file of couplings, or those of these numbers, and average over them.",
    ),
]
InstancesOfSizes = Annotated[
    list[str] | None,
    typer.Option(
        "--instances",
        metavar="FILE[:0-9]",
        help="Scan each instance of a file of couplings, or those of these numbers, and average over them; for several "
        "sizes a file for each.",
    ),
]
GroundStateFlag = Annotated[
    bool,
    typer.Option("--ground-state", help="The lowest energy and its degeneracy in place of averages at a temperature."),
]
Levels = Annotated[
    Any,
    typer.Option(
        parser=count(), metavar="Q", help="Train without a Hamiltonian, on --data of a grid with values 0..Q-1."
    ),
]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="Configurations: HDF5, NPY, NPZ, text or CSV with one in each row, or one of these as .gz. To train on, "
        "else Monte Carlo is run where data are needed; in estimate, for the forward ESS or the likelihood.",
    ),
]
DatasetName = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME", help="The array in the file --data, e.g. run1/spins. Default: /spins."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory made by train, or pretrained:NAME.")]

RunOrFile = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FILE", help="A run directory made by train, pretrained:NAME, or a file with chains of your own."
    ),
]


def errors_of(texts: list[str] | None, minutes: float | None) -> dict[str, str] | None:
    """Parse the errors NAME=ERROR that are wanted; None without any.

    Args:
        texts: the values of --error, each of which may have several, separated by commas.
        minutes: the value of --minutes.
    """
    if not texts:
        if minutes is not None:
            raise ValueError("--minutes goes with --error, the error that is wanted: give one, or -n alone")
        return None
    found: dict[str, str] = {}
    for part in ",".join(texts).split(","):
        name, equals, size = (piece.strip() for piece in part.partition("="))
        if not (name and equals and size):
            raise ValueError(f"--error must be NAME=ERROR, e.g. log_z=0.01 or susceptibility=1%, got {part!r}")
        if name in found:
            raise ValueError(f"--error has {name} twice, {found[name]} and {size}: give it once")
        found[name] = size
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"--minutes must be a positive number, got {minutes:g}")
    return found


def number_or_text(text: str | None) -> float | str | None:
    """Convert text to a number if it is one; other text, such as a range LOW:HIGH, is returned as it is."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def given_options(**values: Any) -> dict[str, Any]:
    """The options that a user gives, without those that are None."""
    return {key: value for key, value in values.items() if value is not None}


def parameters_given(ctx: typer.Context) -> set[str]:
    """The names of the parameters that stand on the command line."""
    return {name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"}


def largest_number(ctx: typer.Context, n: int, wanted: object) -> int | None:
    """The number of configurations; where errors are wanted the largest one, None if -n is not given."""
    return n if wanted is None or "n" in parameters_given(ctx) else None


def observables_of(names: list[str] | None) -> list[str]:
    """The observables of --observable, given once or several times, with commas between names."""
    from latticear.estimation.named.request import check_names

    return check_names(name.strip() for text in names or [] for name in text.split(",") if name.strip())


def one_file(paths: list[Path] | None) -> Path | None:
    """The file of --data, which may be given once."""
    if paths and len(paths) > 1:
        raise ValueError(
            f"--data takes one file, got {' and '.join(map(str, paths))}: join their configurations in one file"
        )
    return paths[0] if paths else None


def instance_of(path: Path | None, index: int | None) -> Instance | None:
    """The instance of a disorder that --instance and --index describe."""
    from latticear.workflows import Instance

    if path is None:
        if index is not None:
            raise ValueError("--index numbers the instances of a file: give the file by --instance, or no --index")
        return None
    return Instance(path, index or 0)


def system_of(size: str | None, temperature: float | None, name: str | None, sets: list[str] | None) -> RunConfig:
    """The config that --size, --temperature, --hamiltonian and --set describe; it must have a Hamiltonian."""
    from latticear.runs.config import load_config

    values = {**given_options(temperature=temperature), "hamiltonian": hamiltonian_of(size, name)}
    return load_config(None, sets or [], values, needs_energy=True)
