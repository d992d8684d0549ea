"""The compiled kernels; everything else is in pyproject.toml.

They are optional: where there is no C compiler, PyTorch draws the same tokens, more slowly.
"""

from concurrent.futures import ThreadPoolExecutor
from glob import glob
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

THREADS = "-fopenmp"


class Build(build_ext):
    """Compiles all files at once, with threads where the compiler has them."""

    def build_extensions(self) -> None:
        compile_all = self.compiler.compile

        def at_once(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor() as pool:
                objects = pool.map(lambda source: compile_all([source], **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = at_once
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (CompileError, LinkError):
            ext.extra_compile_args.remove(THREADS)
            ext.extra_link_args.remove(THREADS)
            super().build_extension(ext)


setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(
            "latticear._native",
            sources=sorted(glob("latticear/kernels/*.c")),
            depends=sorted(glob("latticear/kernels/*.h")),
            extra_compile_args=["-O3", "-std=gnu11", THREADS],
            extra_link_args=[THREADS],
            optional=True,
        )
    ],
)
