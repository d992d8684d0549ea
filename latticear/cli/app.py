"""The Typer application to which all commands are added."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any, TypeVar

import typer

from latticear import deprecated
from latticear.cli.launched import Sharing, launched
from latticear.cli.options import count

__all__ = ["app"]


Threads = Annotated[
    Any,
    typer.Option(
        parser=count(), metavar="N", help="Largest number of threads. Default: OMP_NUM_THREADS, or that of the cores."
    ),
]

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Verbs(typer.Typer):
    """The commands, each of which takes `--threads` besides its own options.

    `sharing` says what several processes with the same command line do, which a launcher has started.
    """

    def command(self, *args: Any, sharing: Sharing = "alone", **kwargs: Any) -> Callable[[Verb], Verb]:
        register = super().command(*args, **kwargs)

        def add(verb: Verb) -> Verb:
            register(_with_threads(verb, sharing))
            return verb

        return add


def _with_threads(verb: Callable[..., Any], sharing: Sharing) -> Callable[..., Any]:
    @wraps(verb)
    def call(*args: Any, threads: int | None, **kwargs: Any) -> Any:
        if threads is not None:
            _use_threads(threads)
        with launched(verb.__name__, sharing):
            return verb(*args, **kwargs)

    option = inspect.Parameter("threads", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Threads)
    signature = inspect.signature(verb, eval_str=True)
    parameters = [*signature.parameters.values(), option]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _use_threads(n: int) -> None:
    """Limit the threads of PyTorch, which reads the number from the environment when it is imported."""
    os.environ |= {"OMP_NUM_THREADS": str(n), "MKL_NUM_THREADS": str(n)}
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)


app = Verbs(
    help="Autoregressive neural samplers of lattice spin systems: train, sample, estimate with honest error bars.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        typer.echo(f"latticear {version('latticear')}")
        raise typer.Exit


deprecated.keep_names(__name__)
