"""What a model object is made of, as a hash: weights wherever they hang, plain values, code of the user's own.

Walked are attributes (also in `__slots__`), dicts, lists, tuples, sets, bound methods, partials, closures, and the global names
that functions of the user's own code refer to. Not in the hash: addresses, the order of dicts and sets, devices, gradients, the
training flag, names of modules and files, locks, loggers, optimizers and data loaders. A text that is the path of a file stands for
its bytes. Code of installed packages counts by name.

Running a model may change it: predictors keep the last image, caches fill. What a run itself changed and nobody touched since
counts as what it was before the run (`settle`), so that an unchanged model is known again.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sambench.code_files import is_own_code
from sambench.sources import parts

MAX_DEPTH = 100
MAX_OBJECTS = 200_000
_HASHED_ONCE = 1 << 24  # bytes; arrays from here on are taken for unchanged by a run: hashing all weights twice is slow


@dataclass
class Walk:
    """One look at an object. with_code: functions and classes of the user's own count by their bytecode.

    left_out: parts, by where they hang, that do not count. Found: owners, of each thing with named parts the digest of each;
    modules, of torch; n_weights, arrays and tensors; devices of tensors; unseen, what could not be looked into and why.
    """

    with_code: bool = True
    left_out: frozenset[str] = frozenset()
    known: dict[int, str] = field(default_factory=dict)
    owners: dict[int, tuple[Any, str, dict[str, str]]] = field(default_factory=dict)
    modules: list[Any] = field(default_factory=list)
    n_weights: int = 0
    n_bytes: int = 0
    devices: set[str] = field(default_factory=set)
    unseen: dict[str, None] = field(default_factory=dict)
    alive: list[Any] = field(default_factory=list)  # what is known by its address must not be freed meanwhile
    _open: dict[int, int] = field(default_factory=dict)

    def of(self, value: Any, at: str = "", depth: int = 0) -> str:
        """sha256 hex of a value; `at`: where it hangs."""
        text = parts.plain(value)
        if text is not None:
            return _hashed(text)
        key = id(value)
        if key in self.known:
            return self.known[key]
        if key in self._open:
            return _hashed(f"loop {depth - self._open[key]}")
        if depth > MAX_DEPTH or len(self.known) > MAX_OBJECTS:
            self.unseen[f"all below {at}"] = None
            return _hashed("too much")
        self._open[key] = depth
        self.alive.append(value)
        try:
            digest = self._composite(value, at, depth)
        except Exception as e:  # noqa: BLE001 - anything may be met; what raises cannot be looked into
            digest = self._unseen(value, at, type(e).__name__)
        finally:
            del self._open[key]
        self.known[key] = digest
        return digest

    def _composite(self, value: Any, at: str, depth: int) -> str:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor(value, at, torch)
        if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            return self._array(value, at, depth)
        if isinstance(value, type):
            return self._class(value, at, depth)
        if parts.is_no_part(value):
            return _hashed("no part")
        held = parts.held_by(value)
        if held is not None:
            return _hashed("\n".join(["held", *(self.of(v, at, depth + 1) for v in held)]))
        if isinstance(value, types.ModuleType):
            return _hashed(f"module {value.__name__.rpartition('.')[2]}")
        if isinstance(value, parts.FUNCTIONS):
            return self._function(value, at, depth)
        found = [parts.short_name(type(value)), self.of(type(value), f"{at}.__class__", depth + 1)]
        if torch is not None and isinstance(value, torch.nn.Module):
            self.modules.append(value)
            if isinstance(value, torch.jit.ScriptModule):  # written in C: no attributes, but a text of its own
                found.append(_hashed(str(value.inlined_graph) if hasattr(value, "inlined_graph") else ""))
                return _hashed("\n".join([*found, self.of(dict(value.state_dict()), at, depth + 1)]))
        items = self._items(value, at, depth)
        found += items or []
        found += self._named(value, parts.attributes(value), at, depth)
        if items is None and parts.holds_hidden_state(type(value)):
            found.append(self._reduced(value, at, depth))
        return _hashed("\n".join(found))

    def _items(self, value: Any, at: str, depth: int) -> list[str] | None:
        """Digests of a container's items; None of anything else."""
        if isinstance(value, Mapping):
            pairs = [(self.of(k, f"{at} key", depth + 1), k, v) for k, v in list(value.items())]
            pairs.sort(key=lambda pair: pair[0])
            places = [f"{at}[{name!r}]" if isinstance(name, str | int) else at for _, name, _ in pairs]
            return [f"{k}:{self.of(v, place, depth + 1)}" for (k, _, v), place in zip(pairs, places, strict=True)]
        if isinstance(value, list | tuple | deque):
            return [self.of(v, f"{at}[{i}]", depth + 1) for i, v in enumerate(list(value))]
        if isinstance(value, set | frozenset):
            return sorted(self.of(v, f"{at} item", depth + 1) for v in list(value))
        if isinstance(value, np.ndarray):  # of objects
            return [str(value.shape), *(self.of(v, f"{at}[{i}]", depth + 1) for i, v in enumerate(value.ravel().tolist()))]
        return None

    def _named(self, owner: Any, named: Mapping[str, Any], at: str, depth: int) -> list[str]:
        """`name:digest` of an owner's parts, sorted; parts that a run changed count as before it."""
        found = {}
        for name in sorted(named):
            where = f"{at}.{name}" if at else name
            if where not in self.left_out:
                found[name] = self.of(named[name], where, depth + 1)
        self.owners[id(owner)] = (owner, at, found)
        changed = _changed_by_a_run(owner)
        before = {name: changed[name][0] if changed.get(name, ("", ""))[1] == d else d for name, d in found.items()}
        return [f"{name}:{d}" for name, d in before.items() if d is not None]

    def _array(self, value: Any, at: str, depth: int) -> str:
        raw = np.ascontiguousarray(value)
        if isinstance(value, np.ndarray) and value.size:
            self.n_weights += 1
            self.n_bytes += raw.nbytes
        digest = _hashed(f"array {raw.dtype.str} {value.shape}", raw.tobytes())
        named = parts.of_array(value)
        return _hashed("\n".join([digest, *self._named(value, named, at, depth)])) if named else digest

    def _tensor(self, tensor: Any, at: str, torch: Any) -> str:
        if tensor.is_meta:
            return self._unseen(tensor, at, "on the meta device")
        t = tensor.detach()
        if t.layout != torch.strided:
            t = (t if t.layout == torch.sparse_coo else t.to_sparse_coo()).coalesce()
            raws = [_raw(t.indices(), torch), _raw(t.values(), torch)]
        elif t.is_quantized:
            raws = [_raw(t.int_repr(), torch), _raw(t.dequantize(), torch)]
        else:
            raws = [_raw(t, torch)]
        self.devices.add(t.device.type)
        self.n_weights += bool(tensor.numel())
        self.n_bytes += sum(map(len, raws))
        return _hashed(f"tensor {t.dtype} {tuple(t.shape)}", *raws)

    def _function(self, value: Any, at: str, depth: int) -> str:
        if isinstance(value, types.FunctionType):
            return self._python_function(value, at, depth)
        if isinstance(value, types.MethodType):
            held: tuple[Any, ...] = (value.__func__, value.__self__)
        elif isinstance(value, functools.partial):
            held = (value.func, value.args, value.keywords)
        elif isinstance(value, staticmethod | classmethod):
            held = (value.__func__,)
        elif isinstance(value, property):
            held = (value.fget, value.fset)
        elif isinstance(value, types.CodeType):
            held = parts.code_parts(value)
        else:  # of C; a cache around a function has it as __wrapped__
            held = (str(getattr(value, "__name__", "")), getattr(value, "__wrapped__", None), parts.bound_to(value))
        return _hashed("\n".join(["function", *(self.of(v, at, depth + 1) for v in held)]))

    def _python_function(self, f: types.FunctionType, at: str, depth: int) -> str:
        named: dict[str, Any] = {"defaults": f.__defaults__, "keyword defaults": f.__kwdefaults__}
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            with suppress(ValueError):  # a cell that is still empty
                named[f"closure {name}"] = cell.cell_contents
        found = ["function"]
        if not is_own_code(f.__code__.co_filename):
            found.append(f.__name__)
        else:
            named |= dict(parts.globals_of(f))
            if self.with_code:
                found.append(self.of(f.__code__, at, depth + 1))
        return _hashed("\n".join(found + self._named(f, named, at, depth)))

    def _class(self, cls: type, at: str, depth: int) -> str:
        if not parts.is_own_class(cls):
            return _hashed(f"class {parts.short_name(cls)}")
        bases = [self.of(b, at, depth + 1) for b in cls.__bases__]
        named = self._named(cls, parts.class_parts(cls), f"class {parts.short_name(cls)}", depth)
        return _hashed("\n".join(["class", *bases, *named]))

    def _reduced(self, value: Any, at: str, depth: int) -> str:
        """A thing of C by what it would be pickled as."""
        try:
            registered = copyreg.dispatch_table.get(type(value))
            state: Any = registered(value) if registered is not None else value.__reduce_ex__(4)
        except Exception as e:  # noqa: BLE001 - whatever its author chose
            return self._unseen(value, at, f"it cannot be pickled: {type(e).__name__}")
        if isinstance(state, str):
            return _hashed(f"global {state}")
        held = [list(part) if isinstance(part, Iterator) else part for part in state[1:]]
        return _hashed("\n".join(self.of(part, at, depth + 1) for part in held))

    def _unseen(self, value: Any, at: str, why: str) -> str:
        self.unseen[f"{at or 'the model'} ({parts.short_name(type(value))}, {why})"] = None
        return _hashed(f"unseen {parts.short_name(type(value))}")


_changed: dict[int, tuple[weakref.ref[Any], dict[str, tuple[str | None, str]]]] = {}


def settle(model: object, before: Walk) -> None:
    """After a run: note which parts of the model's things it changed, so that a later walk takes them for unchanged."""
    after = Walk(before.with_code)
    for thing in before.alive:
        with suppress(Exception):  # a sparse tensor does not say its bytes
            if getattr(thing, "nbytes", 0) >= _HASHED_ONCE and id(thing) in before.known:
                after.known[id(thing)] = before.known[id(thing)]
    after.of(model)
    for key, (owner, _, found) in after.owners.items():
        if key not in before.owners:
            continue
        had = before.owners[key][2]
        news = {name: (had.get(name), digest) for name, digest in found.items() if had.get(name) != digest}
        if news:
            _note_changes(owner, news)


def _note_changes(owner: Any, news: Mapping[str, tuple[str | None, str]]) -> None:
    key, held = id(owner), _changed_by_a_run(owner)
    for name, (before, after) in news.items():
        earlier = held.get(name)
        held[name] = (earlier[0] if earlier is not None and earlier[1] == before else before, after)
    with suppress(TypeError):  # no weak reference to it: its changes make another identity
        _changed[key] = (weakref.ref(owner, lambda _: _changed.pop(key, None) and None), held)


def _changed_by_a_run(owner: Any) -> dict[str, tuple[str | None, str]]:
    ref, held = _changed.get(id(owner), (None, {}))
    return dict(held) if ref is not None and ref() is owner else {}


def differing(a: Walk, b: Walk) -> frozenset[str]:
    """Where two walks over models that were built alike differ: the innermost named parts."""
    names = [{f"{at}.{n}" if at else n: d for _, at, found in w.owners.values() for n, d in found.items()} for w in (a, b)]
    differ = {k for k in names[0].keys() & names[1].keys() if names[0][k] != names[1][k]}
    return frozenset(k for k in differ if not any(other.startswith((f"{k}.", f"{k}[")) for other in differ))


def _hashed(text: str, *raws: bytes | memoryview) -> str:
    h = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for raw in raws:
        h.update(raw)
    return h.hexdigest()


def _raw(tensor: Any, torch: Any) -> bytes | memoryview:
    t = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if t.is_complex():
        t = torch.view_as_real(t)
    return memoryview(t.reshape(-1).view(torch.uint8).numpy()) if t.numel() else b""  # no copy: there may be gigabytes
