"""A CUDA device made of paper: its tensors hold real numbers, and refuse to be mixed with those of the processor.

PyTorch's own fake tensors hold no numbers, so code that looks at a number (`.item()`, a mask, a test of convergence)
cannot run on them. Here every operation runs on the processor, and is refused where a real device would refuse it. Each
wait for the device is written down, and what a CUDA graph records is replayed as a graph does it: the same operations
at the same places in memory, without a line of Python in between.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from latticear.models import MultiscalePixelCNN, TensorNetwork
from latticear.sampling.choice import BLOCK

__all__ = ["FakeDevice", "OnDevice", "fake_device"]

CUDA = torch.device("cuda", 0)

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "_linalg_check_errors")
WAITS += ("_linalg_eigh", "_linalg_svd", "linalg_qr", "_linalg_slogdet", "linalg_lu_factor_ex", "bincount")
"""Operations whose result, or its size, or whose success the processor has to know."""

ANYWHERE = ("copy_", "_to_copy", "_foreach_copy_")
"""Operations that take tensors of several devices."""


class OnDevice(Tensor):
    """A tensor of the device; `elem` has its numbers. For C++ it is on the device "meta", which needs no driver."""

    elem: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, elem: Tensor) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls, elem.size(), elem.stride(), elem.storage_offset(), dtype=elem.dtype, device="meta"
        )
        made.elem = elem
        return made

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    @property
    def is_meta(self) -> bool:
        return False

    def data_ptr(self) -> Any:
        """An address that no function in C takes."""
        return ("cuda", self.elem.data_ptr())

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made: Any = OnDevice(self.elem.clone())
        if isinstance(self, torch.nn.Parameter):
            made = torch.nn.Parameter(made, self.requires_grad)
        return memo.setdefault(id(self), made)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.elem.__reduce_ex__(protocol)  # in a file, where `torch.load` says on which device it is wanted

    def __repr__(self, **_: Any) -> str:
        return f"{self.elem!r} on {CUDA}"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["elem"], None  # for `Module.to`, which then exchanges whole tensors

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], *_: Any) -> OnDevice:
        return OnDevice(inner["elem"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("a tensor of the fake device is used outside of it")


class Generator(torch.Generator):
    """A generator of random numbers of the device."""

    @property
    def device(self) -> torch.device:
        return CUDA


class FakeDevice(TorchDispatchMode):
    """While it is active, "cuda" is a device with `total_memory` bytes.

    Attributes:
        waits: how often each line of the package made the processor wait for the device, by "file:line operation".
        captured: number of graphs recorded.
    """

    total_memory = 2**34

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.captured = 0
        self.default = torch.Generator().manual_seed(12345)
        self._recording: list[Any] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # an operation made of others, in inference mode
                if (made := func.decompose(*args, **kwargs)) is not NotImplemented:
                    return made
        name, tensors = func.overloadpacket.__name__, [*_tensors(args), *_tensors(kwargs.values())]
        mine = [t for t in tensors if type(t) is OnDevice]
        asked = kwargs.get("device")
        on_device = bool(mine) if asked is None else torch.device(asked).type != "cpu"
        self._check(func, name, args, tensors, mine, kwargs)
        moves = name in ANYWHERE and (len(mine) < len(tensors) if on_device else bool(mine))
        if moves or (mine and (name in WAITS or _reads_mask(name, args))):
            self._wait(name)
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        if name == "_to_copy":
            kwargs.pop("non_blocking", None)
        kwargs.pop("pin_memory", None)
        inner = [_elem(a) for a in args], {k: _elem(v) for k, v in kwargs.items()}
        out = self._run(func, inner, kwargs, on_device)
        if self._recording is not None and on_device:
            self._recording.append((func, inner, out))
        if not on_device:
            return out
        if func._schema.is_mutable:
            return _same(func, args, kwargs, out)
        if torch.is_inference_mode_enabled() and func.is_view and not mine[0].is_inference():
            with torch.inference_mode(False):  # a view of a tensor is made in the mode of that tensor
                return tree_map(_on_device, out)
        return OnDevice(out) if isinstance(out, Tensor) else tree_map(_on_device, out)

    def _run(self, func: Any, inner: Any, kwargs: dict[str, Any], on_device: bool) -> Any:
        """Without a generator of its own, a random operation on the device draws from the generator of the device."""
        seeded = torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None
        if not (seeded and on_device):
            return func(*inner[0], **inner[1])
        kept = torch.default_generator.get_state()
        torch.default_generator.set_state(self.default.get_state())
        try:
            return func(*inner[0], **inner[1])
        finally:
            self.default.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(kept)

    def _check(self, func: Any, name: str, args: Any, tensors: Any, mine: Any, kwargs: Any) -> None:
        strangers = [t for t in tensors if not isinstance(t, OnDevice)]
        if not mine or not strangers or name in ANYWHERE:
            return
        if name in ("index", "index_put", "index_put_", "_index_put_impl_") and isinstance(args[0], OnDevice):
            strangers = [t for t in args[2:3] if not isinstance(t, OnDevice) and t.ndim]  # indices are copied
            self._wait(name)
        elif torch.Tag.pointwise in func.tags or name in ("fill_", "masked_fill_", "masked_fill"):
            written = func._schema.is_mutable and not isinstance(args[0], OnDevice | list | tuple)
            strangers = [t for t in strangers if t.ndim or written]  # a number may come from the processor
        if strangers:
            raise RuntimeError(
                f"{name}: expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu"
            )

    def _wait(self, name: str) -> None:
        if self._recording is not None:
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        frames = [f for f in traceback.extract_stack() if "/latticear/" in f.filename]
        place = f"{frames[-1].filename.split('/latticear/')[-1]}:{frames[-1].lineno}" if frames else "outside"
        self.waits[f"{place} {name}"] += 1

    @contextmanager
    def graph(self, recorded: list[Any]) -> Iterator[None]:
        """Record the operations on the device; they run once, which a real device leaves to the first replay."""
        self._recording, self.captured = recorded, self.captured + 1
        try:
            yield
        finally:
            self._recording = None


class Graph(list[Any]):
    """The operations of a graph: what they read and where they wrote."""

    def replay(self) -> None:
        with torch.no_grad():
            for func, (args, kwargs), out in self:
                new = func(*args, **kwargs)
                for old, now in zip(_tensors([out]), _tensors([new]), strict=True):
                    if old.data_ptr() != now.data_ptr():
                        old.copy_(now)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type != "cpu"


def _elem(value: Any) -> Any:
    """The numbers of a tensor, or of those in a list."""
    if isinstance(value, list | tuple):
        return [_elem(part) for part in value]
    return value.elem if isinstance(value, OnDevice) else value


def _on_device(value: Any) -> Any:
    return OnDevice(value) if isinstance(value, Tensor) else value


def _reads_mask(name: str, args: Any) -> bool:
    if name not in ("index", "index_put_", "index_put", "_index_put_impl_"):
        return False
    masks = [t for t in args[1] if t is not None and t.dtype in (torch.bool, torch.uint8)]
    return bool(masks) and (name == "index" or args[2].numel() > 1)  # one value for all is filled in without waiting


def _same(func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> Any:
    """What an operation in place returns: the tensors that it was given."""
    if not func._schema.returns:
        return None
    written = [
        kwargs.get(a.name) if i >= len(args) else args[i]
        for i, a in enumerate(func._schema.arguments)
        if a.alias_info is not None and a.alias_info.is_write
    ]
    return written[0] if len(written) == 1 else tuple(written)


@contextmanager
def fake_device() -> Iterator[FakeDevice]:
    """A context in which PyTorch sees one CUDA device, the fake one."""
    device, properties = FakeDevice(), SimpleNamespace(total_memory=FakeDevice.total_memory, name="paper")
    stream = SimpleNamespace(wait_stream=lambda other: None)
    replaced = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "synchronize": lambda *_: None,
        "set_device": lambda *_: None,
        "get_device_properties": lambda *_: properties,
        "get_device_name": lambda *_: "paper",
        "device": lambda *_: nullcontext(),
        "Stream": lambda *_: stream,
        "stream": lambda *_: nullcontext(),
        "current_stream": lambda *_: stream,
        "CUDAGraph": Graph,
        "graph": device.graph,
        "is_current_stream_capturing": lambda: device._recording is not None,
        "get_rng_state": lambda *_: device.default.get_state(),
        "set_rng_state": lambda state, *_: device.default.set_state(state),
        "manual_seed": device.default.manual_seed,
        "manual_seed_all": device.default.manual_seed,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in replaced.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(torch, "Generator", _Generators)
        patch.setattr(torch, "load", _load)
        for blocks in (BLOCK, MultiscalePixelCNN.block, TensorNetwork.block):
            patch.setitem(blocks, "cuda", 64)
        with _Calls(), device:
            yield device


class _Calls(TorchFunctionMode):
    """Gives "cuda" its number in calls of PyTorch, which would ask a driver for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.to, Tensor.cuda):
            args = [CUDA if isinstance(a, str | torch.device) and _is_cuda(a) else a for a in args]
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnDevice):
            args = [args[0], tree_map(_index, args[1], is_leaf=lambda v: isinstance(v, list)), *args[2:]]
        if (generator := kwargs.get("generator")) is not None:
            device = kwargs.get("device") if "device" in kwargs else getattr(args[0], "device", None)
            if _is_cuda(device) != isinstance(generator, Generator):
                raise RuntimeError(f"a generator on {generator.device} cannot draw numbers on {device}")
        if _is_cuda(kwargs.get("device")):
            kwargs["device"] = CUDA
            if func in (torch.tensor, torch.as_tensor):
                return func(*args, **{k: v for k, v in kwargs.items() if k != "device"}).to(CUDA)
        return args[0].to(CUDA) if func is Tensor.cuda else func(*args, **kwargs)


def _index(value: Any) -> Any:
    return torch.tensor(value).to(CUDA) if isinstance(value, list) else value


def _load(file: Any, *, map_location: Any = None, load: Any = torch.load, **how: Any) -> Any:
    read = load(file, map_location="cpu", **how)
    return tree_map(lambda t: t.to(CUDA) if isinstance(t, Tensor) else t, read) if _is_cuda(map_location) else read


class _Generators(type):
    """Stands for `torch.Generator`: the class of the generators of the device asked for."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return (Generator if _is_cuda(device) else Generator.__base__)()
