"""Files that are recognised but not read, each with the lines of Python that convert it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from latticear.data.layouts import packing_of

__all__ = ["check_packing", "refuse_archive", "refuse_foreign"]

_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch.save begin that are no archives
_PICKLES = (*(b"\x80" + bytes([protocol]) for protocol in range(2, 6)), b"cnumpy", b"ccopy_reg", b"(lp0")
_OTHERS = {
    b"BZh": "is compressed by bzip2: decompress it by bunzip2",
    b"\xfd7zXZ": "is compressed by xz: decompress it by unxz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: decompress it by unzstd",
    b"MATLAB 5.0": "is a MATLAB file: convert it by `import scipy.io, numpy as np; "
    "np.save('{out}', scipy.io.loadmat('{path}')['NAME'])` with the NAME of its array",
    b"CDF": "is a netCDF 3 file: convert it by `import xarray; xarray.open_dataset('{path}').to_netcdf('{stem}.h5', "
    "engine='h5netcdf')`",
    b"PAR1": "is a Parquet file: convert it by `import pandas, numpy as np; "
    "np.save('{out}', pandas.read_parquet('{path}').to_numpy())`",
}


def refuse_foreign(path: Path, head: bytes, size: tuple[int, ...] | None) -> None:
    """Raise ValueError if a file begins as a format that is not read; the message has the lines that convert it.

    Args:
        path: the file.
        head: its first bytes.
        size: shape of one configuration, where it is known.
    """
    names = {"path": str(path), "out": f"{path}.npy", "stem": str(path)}
    if head.startswith(_TORCH):
        raise ValueError(f"{path} is a PyTorch file: {_of_torch(path)}")
    if head.startswith(_PICKLES) or path.suffix in (".pkl", ".pickle"):
        inner = ", ".join(map(str, size or ())) or "H, W"
        load = f"import numpy as np; x = np.asarray(np.load('{path}', allow_pickle=True, encoding='latin1'))"
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is loaded, so it is never opened here; if you trust "
            f"it, convert it by `{load}; np.save('{path}.npy', x)`, or, if it holds packed bits, by "
            f"`{load}; np.save('{path}.npy', np.unpackbits(x).reshape(-1, {inner}))`"
        )
    for magic, text in _OTHERS.items():
        if head.startswith(magic):
            raise ValueError(f"{path} {text.format(**names)}")


def refuse_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise ValueError unless a zip archive is one of NumPy arrays."""
    members = archive.namelist()
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in members):
        raise ValueError(f"{path} is a PyTorch file: {_of_torch(path)}")
    if not members or not all(name.endswith(".npy") for name in members):
        raise ValueError(f"{path} is an archive of {members[:4]}, not of NumPy arrays: unpack it")


def _of_torch(path: Path) -> str:
    return (
        f"convert it by `import torch, numpy as np; "
        f"np.save('{path}.npy', torch.load('{path}', weights_only=True).numpy())`"
    )


def check_packing(name: str, dtype: Any, shape: tuple[int, ...], size: tuple[int, ...], out: str | None) -> None:
    """Raise ValueError if an array has the type and shape of packed bits; the message has the line that unpacks them.

    Args:
        name: what the array is called.
        dtype: type of its numbers.
        shape: its shape.
        size: shape of one configuration.
        out: a file of NumPy that holds the array, or None.
    """
    unpacked = packing_of(shape, size) if str(dtype) == "uint8" else None
    if unpacked is None:
        return
    line = f"x = {unpacked}"
    if out is not None:
        line = f"import numpy as np; x = np.load('{out}'); {line}; np.save('{out}', x)"
    raise ValueError(f"{name} of shape {shape} seems to hold packed bits, which are not unpacked here: `{line}`")
