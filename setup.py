"""The compiled kernels; everything else is in pyproject.toml.

They are optional: where there is no C compiler, PyTorch draws the same tokens, more slowly.
"""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "latticear._native",
            sources=["latticear/kernels/native.c", "latticear/kernels/philox.c"],
            depends=sorted(glob("latticear/kernels/*.h")),
            extra_compile_args=["-O3", "-std=gnu11"],
            optional=True,
        )
    ]
)
