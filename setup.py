"""The compiled kernels; everything else is in pyproject.toml.

They are optional: where there is no C compiler, or only that of Microsoft, PyTorch draws the same tokens, more slowly.
Python finds the threads of OpenMP in the library that PyTorch has loaded, so that both use the same ones: the kernels
name no library of their own. They use nothing of Python, and one build serves every version from 3.11 on.
"""

import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

IS_STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")
"""Whether extensions of this Python can have the stable ABI."""


class Build(build_ext):
    """Compiles all files at once, with threads where the compiler has them."""

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            self.warn("the kernels are written for gcc and clang: on Windows PyTorch does their work, more slowly")
            self.extensions = []
            return
        compile_all = self.compiler.compile

        def at_once(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor() as pool:
                objects = pool.map(lambda source: compile_all([source], **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = at_once
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        plain = ext.extra_compile_args
        to_compile, ext.extra_link_args = threads(self.compiler.compiler_so)
        ext.extra_compile_args = [*plain, *to_compile]
        try:
            super().build_extension(ext)
        except (CompileError, LinkError):
            ext.extra_compile_args, ext.extra_link_args = plain, []
            super().build_extension(ext)


def threads(compiler: list[str]) -> tuple[list[str], list[str]]:
    """Options by which a compiler, and then its linker, use OpenMP.

    On macOS and with gcc, PyTorch has loaded the functions that the compiler calls; not so with clang on Linux.
    """
    if sys.platform == "darwin":
        return ["-Xclang", "-fopenmp"], []  # as Apple's compiler wants it
    try:
        said = subprocess.run([compiler[0], "--version"], capture_output=True, encoding="utf-8", check=False).stdout
    except OSError:
        said = ""
    return ["-fopenmp"], ["-fopenmp"] if "clang" in said else []


setup(
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if IS_STABLE else {},
    ext_modules=[
        Extension(
            "latticear.kernels._native",
            sources=sorted(glob("latticear/kernels/*.c")),
            depends=sorted(glob("latticear/kernels/*.h")),
            libraries=["m"],
            extra_compile_args=["-O3", "-g0", "-std=gnu11"],
            py_limited_api=IS_STABLE,
            optional=True,
        )
    ],
)
