"""What a model object must have besides its methods: one look at it when it is built, for every way in which models come.

`python:` models, cards' models and objects given to `sambench.evaluate` all pass `examine`, so that a batch size of -1, an identity
that JSON has no form for, or a property that raises ends with an error before the first image.
"""

from __future__ import annotations

import functools
import inspect
import json
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sambench.code_files import import_remedy
from sambench.errors import ModelError, SambenchError, message_of, shown
from sambench.types import Gives

DEFAULT_MAX_BATCH = 64
MAX_IDENTITY_CHARS = 1 << 20
_SEE = "see sambench.types.Segmenter"
_METHODS = "encode(image) and decode(state, prompts), edges(image), or encode(image) and concepts(state, prompts)"


@dataclass(frozen=True)
class Attributes:
    """What the suite reads of a model. max_batch: prompts a call, from 1 on. identity: plain values, as JSON gives them back.

    gives: `masks`, `edges` or `concepts`; its methods do not tell the others.
    """

    max_batch: int
    device_kind: str
    precision: str
    identity: dict[str, Any]
    gives: Gives


def construct(factory: Callable[..., object], arguments: Mapping[str, Any], *, where: str, file: Path | None = None) -> Any:
    """What the factory returns, its methods checked. where: how the user named it; file: in which it stands, for places in errors.

    Raises ModelError where it raises, exits, or returns no model; errors of sambench's own and MemoryError pass unchanged.
    """
    try:
        model = factory(**arguments)
    except MemoryError:
        raise
    except (Exception, SystemExit) as e:
        raise went_wrong("a model's factory raised an exception", e, where=where, file=file) from e
    check_methods(model, where)
    return model


def went_wrong(
    message: str,
    error: BaseException,
    *,
    where: str,
    file: Path | None = None,
    remedy: str | None = None,
    kind: type[SambenchError] = ModelError,
) -> SambenchError:
    """What was raised and where: the last line of the user's file that was at work, and the innermost line if it is another.

    An error of sambench's own is given back as it is, anything else is told of in one of class `kind`.
    """
    if isinstance(error, SambenchError):
        return error
    if remedy is None:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        other = import_remedy(error) or "mend it, or give it what it misses"
        remedy = f"install {missing!r} in this environment" if missing else other
    frames = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
    own = [f for f in frames if file is not None and f.startswith(f"{file}:")]
    if isinstance(error, SyntaxError) and error.filename:
        places = [f"{error.filename}:{error.lineno}"]
    else:
        places = list(dict.fromkeys([*own[-1:], *frames[-1:]]))
    raised = " from ".join(places)
    return kind(message, where=f"{where}, raised at {raised}" if raised else where, found=message_of(error), remedy=remedy)


def examine(model: object, where: object = None) -> Attributes:
    """The model's methods and attributes, checked. where: how the user named it.

    Raises ModelError for the first that does not fit: what was expected, and what was found or raised.
    """
    where = where if where is not None else f"a {type(model).__name__}"
    gives = check_methods(model, where)
    return Attributes(
        max_batch_of(model, where),
        _word(model, "device_kind", "cpu", where).partition(":")[0],
        _word(model, "precision", "fp32", where),
        identity_of(model, where),
        gives,
    )


def check_methods(model: object, where: object) -> Gives:
    """`masks` for an object with encode(image) and decode(state, prompts), `edges` for one with edges(image), `concepts` for one
    with encode(image) and concepts(state, prompts) (`sambench.concepts.ConceptSegmenter`). One that has `decode` too gives masks.

    Raises ModelError.
    """
    if model is None:
        raise ModelError(
            "a model's factory returned nothing",
            where=where,
            expected=f"an object with {_METHODS}",
            found="None",
            remedy="end the factory with `return model`",
        )
    if isinstance(model, type):
        raise ModelError(
            "a model's factory returned a class, not an object of it",
            where=where,
            found=model.__name__,
            remedy=f"return {model.__name__}(...)",
        )
    others: tuple[Gives, ...] = () if _attribute(model, "decode", None, where) is not None else ("edges", "concepts")
    gives: Gives = next((name for name in others if callable(_attribute(model, name, None, where))), "masks")
    answer = {"masks": "decode", "edges": "edges", "concepts": "concepts"}[gives]
    for name, arguments in (("edges", "image"),) if gives == "edges" else (("encode", "image"), (answer, "state, prompts")):
        _check_method(model, name, arguments, where)
    return gives


def _check_method(model: object, name: str, arguments: str, where: object) -> None:
    method = _attribute(model, name, None, where)
    if not callable(method):
        methods = [n for n in sorted(dir(type(model))) if not n.startswith("_") and callable(getattr(type(model), n, None))][:8]
        raise ModelError(
            f"this object is not a model: it has no method {name!r}",
            where=where,
            expected=f"an object with {_METHODS}",
            found=f"{type(model).__name__}, with {', '.join(methods) or 'no methods'}",
            remedy=_SEE,
        )
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # no signature to be had
        return
    try:
        signature.bind(*arguments.split(", "))
    except TypeError as e:
        raise ModelError(
            f"a model's {name} takes other arguments",
            where=where,
            expected=f"{name}({arguments})",
            found=shown(f"{name}{signature}"),
            remedy=_SEE,
        ) from e


def max_batch_of(model: object, where: object = None) -> int:
    """Prompts a call to decode: the model's `max_batch`, 64 where it says nothing. Raises ModelError unless it is 1 or more."""
    value = _attribute(model, "max_batch", DEFAULT_MAX_BATCH, where)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ModelError(
            "a model's max_batch does not fit",
            where=where if where is not None else type(model).__name__,
            expected="a whole number from 1 on: how many prompts decode takes at once",
            found=f"{type(value).__name__} {_repr(value)}",
            remedy="set max_batch = 1 for a model that takes one prompt at a time, or leave it out (64)",
        )
    return int(value)


_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
_PLAIN = (str, bytes, int, float, complex, list, tuple, set, frozenset)


def identity_of(model: object, where: object = None) -> dict[str, Any]:
    """The model's own `identity`, a mapping or a method that returns one; {} without. Raises ModelError unless of plain values.

    An attribute of that name that is a thing of another kind, as `nn.Identity()` or an array, is a part of the model.
    """
    value = _attribute(model, "identity", None, where)
    if not isinstance(value, (Mapping, *_FUNCTIONS, *_PLAIN)):
        return {}
    try:
        value = value() if callable(value) else value
    except (Exception, SystemExit) as e:
        raise _raised("identity", e, where) from e
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _no_identity("is not a mapping", where, "a dict of plain values", type(value).__name__)
    try:
        text = json.dumps(_plain(value), sort_keys=True, allow_nan=False)
    except RecursionError as e:
        raise _no_identity("nests too deeply", where, "a dict of plain values", "values within values without end") from e
    except (TypeError, ValueError) as e:
        raise _no_identity("holds a value that JSON has no form for", where, "numbers, texts, lists, dicts", message_of(e)) from e
    except Exception as e:
        raise _raised("identity", e, where) from e
    if len(text) > MAX_IDENTITY_CHARS:
        found = f"{len(text):,} characters"
        raise _no_identity("is too large", where, f"up to {MAX_IDENTITY_CHARS:,} characters of JSON", found)
    out: dict[str, Any] = json.loads(text)
    return out


def _plain(value: Any, depth: int = 0) -> Any:
    """Mappings as dicts, sequences as lists. Raises TypeError for other keys than texts, RecursionError beyond 50 levels."""
    if depth > 50:
        raise RecursionError
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {shown(repr(key))} is a {type(key).__name__}, not a text")
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    return value


def _no_identity(flaw: str, where: object, expected: str, found: str) -> ModelError:
    remedy = "name what can change a number in plain values; of an array or a file its sha256"
    return ModelError(f"a model's `identity` {flaw}", where=where, expected=expected, found=found, remedy=remedy)


def _repr(value: object) -> str:
    try:
        return shown(repr(value))
    except Exception:  # noqa: BLE001 - a `__repr__` of anyone's
        return shown(value)


def _word(model: object, name: str, default: str, where: object) -> str:
    given = _attribute(model, name, default, where)
    value = shown(given)
    if not value or len(value) > 40 or not value.isprintable():
        expected = f"a word, as {default!r}"
        raise ModelError(f"a model's {name} does not fit", where=where, expected=expected, found=shown(repr(value)), remedy=_SEE)
    return value


def _attribute(model: object, name: str, default: Any, where: object) -> Any:
    """getattr; whatever a property raises (but AttributeError) is the model's fault."""
    try:
        return getattr(model, name, default)
    except (Exception, SystemExit) as e:
        raise _raised(name, e, where) from e


def _raised(name: str, error: BaseException, where: object) -> ModelError:
    return ModelError(
        f"a model's {name} raised an exception", where=where, found=message_of(error), remedy="mend it: the suite reads it"
    )
