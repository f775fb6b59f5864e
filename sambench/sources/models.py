"""What a model's name means: of `A+B` the source of compositions, of `prefix:...` the source of that prefix, else that of cards.

A source is found by its place: `sambench/sources/<prefix>.py`, or the module that an installed package names under the entry-point
group `sambench.model_sources`, as `prefix = package.module`. Either has a `SOURCE`, a `ModelSource`. Only here is a source chosen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sambench import cards
from sambench.device.precision import asked_of_model, check_precision, check_precision_of
from sambench.errors import ModelError, UsageError, near_names, unknown_name
from sambench.files.places import brought_name
from sambench.models.contract import identity_of
from sambench.sources import card, composed, here
from sambench.sources.base import LateSource, ModelSource, ModelSpec, Progress, ResolvedModel, label_of
from sambench.sources.found import Sources, is_own
from sambench.types import Dataset, Gives
from sambench.values import FITTING, misfit, short

__all__ = [
    "ModelSpec",
    "ResolvedModel",
    "build",
    "code_of",
    "described",
    "gives_of",
    "notes_on",
    "resolve",
    "source_of",
    "sources",
]

GROUP = "sambench.model_sources"
_SOURCES = Sources[ModelSource](
    package="sambench.sources",
    group=GROUP,
    follows=lambda source: isinstance(source, ModelSource),
    see="sambench.sources.base.ModelSource",
    members="form, stored, gives, resolve, build and check",
    plain=frozenset({"card", "composed"}),
    kind="models",
    error=ModelError,
)


def source_of(name: str) -> ModelSource:
    """The source that a model's whole name leads to. Raises UsageError: none does; ModelError: a plug-in that gives no source."""
    if composed.parts_of(name) is not None:
        return composed.SOURCE
    prefix, colon, _ = name.partition(":")
    source = _SOURCES.by_prefix(prefix) if colon else None
    if source is not None:
        return source
    if not cards.is_path(name) and name not in cards.model_cards():
        raise _unknown(name)
    return card.SOURCE


def sources() -> dict[str, ModelSource]:
    """The sources whose names have a prefix, by it, sorted; sambench's own and those of plug-ins."""
    return {name: source for name, source in _SOURCES.every().items() if source.form}


def _unknown(name: str) -> UsageError:
    error, known = unknown_name("model", name, cards.model_cards()), sources()
    forms = [composed.SOURCE.form, *(source.form for source in known.values())]
    error.expected = ", ".join([str(error.expected), "a card's path", *forms])
    prefix, colon, rest = name.partition(":")
    near = near_names(prefix, known, 1) if prefix and colon else []
    if not colon and (beside := here.as_models(name)):
        is_near = bool(near_names(name, cards.model_cards(), 1))
        error.remedy = "\n    or ".join([*([error.remedy] if is_near and error.remedy else []), *beside])
    if near:
        error.remedy = f"did you mean {f'{near[0]}:{rest}'!r}?"
    return error


def gives_of(name: str) -> Gives | None:
    """What the model of that name gives, as far as is known before it is built."""
    name = brought_name(name)
    source = source_of(name)
    with _SOURCES.at_work(source, name, "describe"):
        return source.gives(name)


def resolve(
    name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
) -> ResolvedModel:
    """Find the model, check its options, and get its weights (downloading them if the card says where from)."""
    options = {key: str(value) if isinstance(value, os.PathLike) else value for key, value in options.items()}
    name, options = brought_name(name), _brought(options)
    wrong = misfit(options)
    if wrong:
        raise UsageError(f"an option of model {name!r} does not fit", where="-M", expected=FITTING, found=wrong)
    if not isinstance(options.get("weights", ""), str):
        found = short(options["weights"])
        raise UsageError("weights are named by their file", where="-M weights", expected="the path of a checkpoint", found=found)
    check_precision(precision)
    source = source_of(name)
    with _SOURCES.at_work(source, name, "find"):
        model = source.resolve(name, options, device=device, precision=precision, progress=progress)
    model = model if is_own(source) else _checked(model, name, late=isinstance(source, LateSource))
    if source is card.SOURCE and model.card is not None and not cards.is_path(name):
        model = replace(model, notes=(*here.notes_on(name, "model", released=model.card.released), *model.notes))
    if model.identity:
        check_precision_of(str(model.identity["precision"]), str(model.identity["device_kind"]))
    return model


def _brought(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options, in which what is named by the URL of an object store is a path of this machine, to which it was brought."""
    return {key: brought_name(value) if isinstance(value, str) else value for key, value in options.items()}


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
    with _SOURCES.at_work(source, model.spec.name, "check"):
        return source.check(model.spec, dataset, image_ids)


def code_of(spec: ModelSpec) -> dict[str, str]:
    """Digests of the code that makes a model of a `LateSource`, by name."""
    source = _late(spec)
    with _SOURCES.at_work(source, spec.name, "describe"):
        return source.code(spec)


def described(model: ResolvedModel, found: Mapping[str, Any]) -> ResolvedModel:
    """A model of a `LateSource` with the identity that a worker found, and the device that it chose."""
    source = _late(model.spec)
    with _SOURCES.at_work(source, model.spec.name, "describe"):
        known = source.described(model, found)
    if model.spec.precision == "tf32":  # of the process, of which the model knows nothing
        check_precision_of("tf32", str(known.identity["device_kind"]))
        if known.identity["precision"] == asked_of_model("tf32"):
            known = replace(known, identity={**known.identity, "precision": "tf32"})
    return known


def _late(spec: ModelSpec) -> LateSource:
    source = source_of(spec.name)
    if not isinstance(source, LateSource):
        raise _unfit("a model's identity", spec.name, "all that can change a number", "nothing")
    return source


def build(spec: ModelSpec) -> Any:
    """The model itself. Raises ModelError, CheckpointError; also where one of its files changed since it was resolved."""
    weights = spec.weights and brought_name(spec.weights)
    spec = replace(spec, name=brought_name(spec.name), options=_brought(spec.options), weights=weights)
    source = source_of(spec.name)
    with _SOURCES.at_work(source, spec.name, "build"):
        return source.build(replace(spec, precision=asked_of_model(spec.precision)))
