"""How much code asks of a device, counted on torch's CPU: kernels that it would launch, and copies for which it would wait.

What costs a GPU's time in this suite is less the arithmetic than the number of these. A view launches nothing, and is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NO_KERNEL = ("empty", "new_empty", "resolve_", "lift", "is_", "sym_", "_local_scalar_dense")
_READS = ("cpu", "tolist", "item", "__int__", "__float__", "__bool__", "__index__", "__array__", "nonzero")
_BLOCKING_WRITES = ("tensor", "as_tensor")  # of host values with a device: torch waits until the copy is done; `new_tensor` always


@dataclass
class Asked:
    """launches: kernels by name. reads: what waits for the device, by name. writes: copies to it that wait."""

    launches: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)


class _Kernels(TorchDispatchMode):
    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        before = {_storage(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        in_place = name.endswith("_") and not name.endswith("__")
        if made and not name.startswith(_NO_KERNEL) and (in_place or any(_storage(t) not in before for t in made)):
            self.asked.launches[name] += 1
        return out


class _Waits(TorchFunctionMode):
    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        given = kwargs or {}
        if name in _READS or (name == "where" and len(args) + len(given) == 1):
            self.asked.reads[name] += 1
        elif name in ("__getitem__", "__setitem__") and _by_mask(args[1]):
            self.asked.reads["mask as index"] += 1
        elif name in ("__getitem__", "__setitem__") and _by_list(args[1]):
            self.asked.writes["list as index"] += 1
        elif _waits_to_write(name, args, given):
            self.asked.writes[name] += 1
        return func(*args, **given)


def _storage(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _by_mask(index: Any) -> bool:
    return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in _parts(index))


def _by_list(index: Any) -> bool:
    return any(isinstance(i, list | np.ndarray) for i in _parts(index))


def _waits_to_write(name: str, args: Any, given: Any) -> bool:
    if name == "new_tensor":
        return True
    if name in _BLOCKING_WRITES:
        return given.get("device") is not None
    return name == "to" and not given.get("non_blocking") and _device_in(args[1:], given)


def _device_in(args: Any, given: Any) -> bool:
    return given.get("device") is not None or any(isinstance(a, torch.device | str) for a in args)


@contextmanager
def counting() -> Iterator[Asked]:
    """What is asked of torch within it."""
    asked = Asked()
    with _Kernels(asked), _Waits(asked):
        yield asked


def asked_by(function: Callable[[], Any]) -> Asked:
    """Of one call."""
    with counting() as asked:
        function()
    return asked
