"""What Python objects are made of: the plain values, attributes and names that `sambench.sources.fingerprint` walks along."""

from __future__ import annotations

import enum
import functools
import io
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from sambench.code_files import is_own_code
from sambench.files import content

# Attributes that say where or in which mode a model runs; the device's kind is a part of the identity of its own.
_DEVICES = frozenset(("device", "_device", "device_kind"))
_NO_ATTRIBUTES = frozenset(("__weakref__", "__dict__"))
# Of a torch module: what it is made of. Its other bookkeeping (hooks of saving and loading, of gradients) changes no prediction.
_MODULE_PARTS = frozenset(("_parameters", "_buffers", "_modules"))
# Types, by the beginning of their dotted name, of things that no prediction depends on.
_NO_PART = (
    "torch.optim.", "torch.utils.data.", "torch.amp.grad_scaler.", "torch.device", "torch.cuda.streams.",
    "lightning.pytorch.trainer.", "pytorch_lightning.trainer.", "wandb.", "tqdm.", "logging.", "threading.", "_thread.", "queue.",
    "_queue.", "multiprocessing.context.", "multiprocessing.pool.", "multiprocessing.synchronize.",
    "concurrent.futures.", "asyncio.", "_io.", "tempfile.", "weakref", "_weakref", "os._Environ",
)  # fmt: skip
_CLASS_NOISE = frozenset(
    ("__module__", "__doc__", "__qualname__", "__annotations__", "__firstlineno__", "__static_attributes__", "__abstractmethods__")
)
FUNCTIONS = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.CodeType, types.MethodWrapperType, np.ufunc,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, functools.partial, property,
    staticmethod, classmethod, type(functools.lru_cache(lambda: None)),
)  # fmt: skip


# Of modules whose other things are no part: what hands on something else.
_PROXIES: tuple[type, ...] = (weakref.ProxyType, weakref.CallableProxyType)
_HOLDERS = (
    weakref.ref, *_PROXIES, weakref.WeakValueDictionary, weakref.WeakKeyDictionary, io.BytesIO, io.StringIO,
    threading.local,
)  # fmt: skip


def held_by(value: Any) -> tuple[Any, ...] | None:
    """What a weak reference, a buffer or a thread's own values hand on; None for all else."""
    if isinstance(value, _PROXIES):
        bound: Any = value.__repr__  # there is no other way to what a proxy stands for
        return (bound.__self__,)
    if isinstance(value, weakref.ref):
        return (value(),)
    if isinstance(value, io.BytesIO | io.StringIO):
        return (value.getvalue(),)
    return (dict(vars(value)),) if isinstance(value, threading.local) else None


def plain(value: Any) -> str | None:
    """A text for a value without parts, equal for equal values; None for all others."""
    if value is None or value is Ellipsis or value is NotImplemented or isinstance(value, bool):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"enum {short_name(type(value))}.{value.name}"
    for kind in (int, float, complex):
        if isinstance(value, kind):
            return f"{kind.__name__} {kind.__repr__(value)}"
    if isinstance(value, range | slice):
        return repr(value)
    if isinstance(value, bytes | bytearray):
        return f"bytes {bytes(value)!r}"
    if isinstance(value, str | PurePath):
        return _text(str(value), path=not isinstance(value, str))
    name = type_name(type(value))
    return f"{name} {value}" if name in ("torch.dtype", "torch.layout", "torch.memory_format") else None


def _text(text: str, *, path: bool) -> str:
    """A text; the path of a file becomes its bytes, that of a folder nothing: where a model lies is not what it is."""
    if (path or "/" in text or "\\" in text or "." in text[1:-1]) and len(text) < 4096:
        with suppress(OSError, ValueError, RuntimeError):
            place = Path(text).expanduser()
            if place.is_file():
                return f"file {content.file_sha256(place)}"
            if place.is_dir():
                return "folder"
    return f"str {text}"


def is_no_part(value: Any) -> bool:
    """Whether no prediction depends on it: locks, loggers, optimizers, data loaders, devices."""
    if isinstance(value, _HOLDERS):
        return False
    kinds = type(value).__mro__[:1] if is_own_class(type(value)) else type(value).__mro__
    return any(type_name(kind).startswith(_NO_PART) for kind in kinds)


def attributes(value: Any) -> dict[str, Any]:
    """Instance attributes by name, from `__dict__` and `__slots__`; of a torch module without its bookkeeping."""
    held: dict[str, Any] = {}
    with suppress(AttributeError, TypeError):
        held |= object.__getattribute__(value, "__dict__")
    for cls in type(value).__mro__:
        for name in _slots(cls):
            real = f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            with suppress(AttributeError):
                held.setdefault(real, object.__getattribute__(value, real))
    left_out = _NO_ATTRIBUTES
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Module):
        held |= {hooks: list(held.get(hooks, {}).values()) for hooks in ("_forward_hooks", "_forward_pre_hooks")}
        left_out = left_out | _bookkeeping(torch)
    return {k: v for k, v in held.items() if isinstance(k, str) and k not in left_out and not _is_mode(k, v)}


_OF_ARRAYS = frozenset(("_mmap", "filename", "offset", "mode", *vars(np.ma.array(0))))  # NumPy's own: where, and how it is kept


def of_array(value: Any) -> dict[str, Any]:
    """What an array of a class derived from NumPy's has beside its values: attributes, and of a masked one which values count."""
    if type(value) is np.ndarray or not isinstance(value, np.ndarray):
        return {}
    named = {k: v for k, v in attributes(value).items() if k not in _OF_ARRAYS}
    if isinstance(value, np.ma.MaskedArray):
        named |= {"mask": np.ma.getmaskarray(value), "fill_value": value.fill_value}
    return named


def _is_mode(name: str, value: Any) -> bool:
    """Whether an attribute says where or how its owner runs. Others have such names, too: a `training` that is a dict is a part."""
    if name == "training":
        return isinstance(value, bool)
    if name == "identity":  # it was asked for what it says
        return isinstance(value, FUNCTIONS)
    if name not in _DEVICES:
        return False
    return value is None or isinstance(value, (str, int, *FUNCTIONS)) or type_name(type(value)) == "torch.device"


@functools.cache
def _bookkeeping(torch: Any) -> frozenset[str]:
    return frozenset(vars(torch.nn.Module())) - _MODULE_PARTS - {"_forward_hooks", "_forward_pre_hooks"}


def class_parts(cls: type) -> dict[str, Any]:
    """What a class statement made, by name: functions, properties, and values of the class."""
    noise, slots = _CLASS_NOISE | _NO_ATTRIBUTES, types.MemberDescriptorType | types.GetSetDescriptorType
    own = {k: v for k, v in vars(cls).items() if k not in noise and not k.startswith("_abc_")}
    return {k: v for k, v in own.items() if not isinstance(v, slots) and not _is_mode(k, v)}


def holds_hidden_state(cls: type) -> bool:
    """Whether objects of a class have memory beside their attributes, as those that are written in C have."""
    slots = sum(name not in ("__dict__", "__weakref__") for c in cls.__mro__ for name in _slots(c))
    known = object.__basicsize__ + 8 * slots + 8 * (cls.__dictoffset__ > 0) + 8 * (cls.__weakrefoffset__ > 0)
    return cls.__basicsize__ > known or cls.__itemsize__ > 0


def is_own_class(cls: type) -> bool:
    """Whether a class statement of the user's own code made it."""
    if not cls.__flags__ & (1 << 9):  # a type of C
        return False
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    return module is None or cls.__module__ == "__main__" or (isinstance(file, str) and is_own_code(file))


def globals_of(f: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Global names that a function refers to, with what they stand for; of a module of the user's own the names used of it."""
    names = sorted(_names_in(f.__code__))
    for name in names:
        value = f.__globals__.get(name)
        if isinstance(value, types.ModuleType):
            file = getattr(value, "__file__", None)
            used = vars(value) if isinstance(file, str) and is_own_code(file) else {}
            yield from ((f"global {name}.{inner}", used[inner]) for inner in names if inner in used)
        elif name in f.__globals__:
            yield f"global {name}", value


def _names_in(code: types.CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*(_names_in(c) for c in inner))


def code_parts(code: types.CodeType) -> tuple[Any, ...]:
    """What a compiled function does, without the place where it stands."""
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (code.co_code, code.co_consts, names, code.co_argcount, code.co_kwonlyargcount, code.co_flags)


def bound_to(value: Any) -> Any:
    """Of a method of C, as `some_dict.get`, the object; modules do not count."""
    to = getattr(value, "__self__", None)
    return None if isinstance(to, types.ModuleType) else to


def type_name(kind: type) -> str:
    """With its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def short_name(kind: type) -> str:
    """Without its module's path and without the function in which it was made, so that code can move."""
    return str(kind.__qualname__).rpartition("<locals>.")[2]


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
