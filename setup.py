"""The compiled kernels; everything else is in pyproject.toml.

They are optional: where there is no C compiler, PyTorch draws the same tokens, more slowly.
"""

from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

THREADS = "-fopenmp"


class Build(build_ext):
    """Builds with threads where the compiler has them."""

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
