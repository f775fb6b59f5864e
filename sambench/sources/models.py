"""What a model's name means: of `prefix:...` the source of that prefix, of any other name the source of cards.

A source is found by its place: `sambench/sources/<prefix>.py`, or the module that an installed package names under the entry-point
group `sambench.model_sources`, as `prefix = package.module`. Either has a `SOURCE`, a `ModelSource`. Only here is a source chosen.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sambench import cards
from sambench.errors import ModelError, UsageError, near_names, said, unknown_name
from sambench.models.contract import identity_of, went_wrong
from sambench.sources import card
from sambench.sources.base import LateSource, ModelSource, ModelSpec, Progress, ResolvedModel, label_of
from sambench.types import Dataset
from sambench.values import FITTING, misfit, short

__all__ = [
    "ModelSpec",
    "ResolvedModel",
    "build",
    "code_of",
    "described",
    "gives_of",
    "notes_on",
    "parse_options",
    "resolve",
    "source_of",
    "sources",
]

GROUP = "sambench.model_sources"


def source_of(name: str) -> ModelSource:
    """The source that a model's whole name leads to. Raises UsageError: none does; ModelError: a plug-in that gives no source."""
    prefix, colon, _ = name.partition(":")
    source = _by_prefix(prefix) if colon else None
    if source is not None:
        return source
    if not cards.is_path(name) and name not in cards.model_cards():
        raise _unknown(name)
    return card.SOURCE


def sources() -> dict[str, ModelSource]:
    """The sources whose names have a prefix, by it, sorted; sambench's own and those of plug-ins."""
    names = {m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)])}
    names |= {e.name for e in metadata.entry_points(group=GROUP)}
    found = {name: source for name in sorted(names) if (source := _by_prefix(name)) is not None}
    return {name: source for name, source in found.items() if source.form}


def _by_prefix(prefix: str) -> ModelSource | None:
    own = _own(prefix)
    entries = {e.value: e for e in metadata.entry_points(group=GROUP) if e.name == prefix}  # one installed twice is one
    if len(entries) + (own is not None) > 1:
        where = " and ".join([*([f"sambench/sources/{prefix}.py"] if own else []), *entries])
        raise ModelError(f"two sources of models have the prefix {prefix!r}", where=where, remedy="uninstall one of them")
    return own or next(map(_plugged, entries.values()), None)


@cache
def _own(prefix: str) -> ModelSource | None:
    if re.fullmatch(r"[a-z]\w*", prefix, re.ASCII) is None or not (Path(__file__).parent / f"{prefix}.py").is_file():
        return None
    source: ModelSource | None = getattr(importlib.import_module(f"{__package__}.{prefix}"), "SOURCE", None)
    return None if source is card.SOURCE else source


def _plugged(entry: metadata.EntryPoint) -> ModelSource:
    try:
        source = entry.load().SOURCE
    except (Exception, SystemExit) as e:  # the module is anyone's
        raise ModelError(f"the plug-in {entry.name!r} gives no source of models", where=entry.value, found=said(e)) from e
    if not isinstance(source, ModelSource):
        raise ModelError(
            f"the plug-in {entry.name!r} gives no source of models",
            where=f"{entry.value}, SOURCE",
            expected="form, stored, gives, resolve, build and check",
            found=f"a {type(source).__name__}",
            remedy="see sambench.sources.base.ModelSource",
        )
    return source


def _unknown(name: str) -> UsageError:
    error, known = unknown_name("model", name, cards.model_cards()), sources()
    error.expected = ", ".join([str(error.expected), "a card's path", *(source.form for source in known.values())])
    prefix, colon, rest = name.partition(":")
    near = near_names(prefix, known, 1) if prefix and colon else []
    if near:
        error.remedy = f"did you mean {f'{near[0]}:{rest}'!r}?"
    return error


@contextmanager
def _at_work(source: ModelSource, name: str, what: str) -> Iterator[None]:
    """Within it a source works. What one of others raises, also an exit, is an error of it, and no end of sambench."""
    try:
        yield
    except MemoryError:
        raise
    except (Exception, SystemExit) as e:
        if _is_own(source):
            raise
        raise went_wrong(f"the source of a model failed to {what} it", e, where=name) from e


def _is_own(source: ModelSource) -> bool:
    return type(source).__module__.partition(".")[0] == __name__.partition(".")[0]


def gives_of(name: str) -> str | None:
    """What the model of that name gives, as far as is known before it is built."""
    source = source_of(name)
    with _at_work(source, name, "describe"):
        return source.gives(name)


def resolve(
    name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
) -> ResolvedModel:
    """Find the model, check its options, and get its weights (downloading them if the card says where from)."""
    options = {key: str(value) if isinstance(value, os.PathLike) else value for key, value in options.items()}
    wrong = misfit(options)
    if wrong:
        raise UsageError(f"an option of model {name!r} does not fit", where="-M", expected=FITTING, found=wrong)
    if not isinstance(options.get("weights", ""), str):
        found = short(options["weights"])
        raise UsageError("weights are named by their file", where="-M weights", expected="the path of a checkpoint", found=found)
    source = source_of(name)
    with _at_work(source, name, "find"):
        model = source.resolve(name, options, device=device, precision=precision, progress=progress)
    return model if _is_own(source) else _checked(model, name, late=isinstance(source, LateSource))


def _checked(model: ResolvedModel, name: str, *, late: bool) -> ResolvedModel:
    """What a source of others made of a name, fit for folders and records. Raises ModelError where it is not."""
    if not isinstance(model, ResolvedModel):
        raise _unfit("what it makes of a name", name, "a sambench.sources.base.ResolvedModel", f"a {type(model).__name__}")
    identity = identity_of(model, name)
    missing = [key for key in ("precision", "device_kind") if not isinstance(identity.get(key), str)]
    if missing and (identity or not late):
        raise _unfit("a model's identity", name, "texts as 'precision' and 'device_kind'", f"none as {' and '.join(missing)}")
    wrong = misfit(model.spec.options)
    if wrong:
        raise _unfit("options of a model", name, FITTING, wrong)
    return replace(model, id=label_of(model.id), identity=identity)


def _unfit(what: str, name: str, expected: str, found: str) -> ModelError:
    remedy = "mend the source: see sambench.sources.base.ModelSource"
    return ModelError(f"a source of models: {what} does not fit", where=name, expected=expected, found=found, remedy=remedy)


def notes_on(model: ResolvedModel, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
    """What must be said of a model beside a dataset of which these images run. Raises DataError where they do not fit."""
    source = source_of(model.spec.name)
    with _at_work(source, model.spec.name, "check"):
        return source.check(model.spec, dataset, image_ids)


def code_of(spec: ModelSpec) -> dict[str, str]:
    """Digests of the code that makes a model of a `LateSource`, by name."""
    source = _late(spec)
    with _at_work(source, spec.name, "describe"):
        return source.code(spec)


def described(model: ResolvedModel, found: Mapping[str, Any]) -> ResolvedModel:
    """A model of a `LateSource` with the identity that a worker found, and the device that it chose."""
    source = _late(model.spec)
    with _at_work(source, model.spec.name, "describe"):
        return source.described(model, found)


def _late(spec: ModelSpec) -> LateSource:
    source = source_of(spec.name)
    if not isinstance(source, LateSource):
        raise _unfit("a model's identity", spec.name, "all that can change a number", "nothing")
    return source


def build(spec: ModelSpec) -> Any:
    """The model itself. Raises ModelError, CheckpointError; also where one of its files changed since it was resolved."""
    source = source_of(spec.name)
    with _at_work(source, spec.name, "build"):
        return source.build(spec)


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs; values are read as TOML (numbers, true, "text", [lists]) and otherwise taken as text, dates too.

    Raises UsageError where a pair has no key, or a value is a number that no computer's number holds.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("a model option is not key=value", where="-M", expected="key=value", found=pair)
        out[key] = _value(pair, value)
    return out


def _value(pair: str, text: str) -> Any:
    try:
        found = tomllib.loads(f"v = {text}")
        value = found["v"]
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as e:
        raise UsageError("a model option cannot be read", where="-M", expected=FITTING, found=f"{short(pair)}: {e}") from e
    # To TOML the rest of `3#4` is a comment, and a second line a second value; to whoever wrote it they are a part of this one.
    cut = len(found) > 1 or ("#" in text and "#" not in repr(value))
    return text if cut or isinstance(value, date | time) else value
