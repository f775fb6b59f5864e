"""Models that have a card: named by its id, or by the path of its file. The source of every name without a prefix."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sambench import cards, provenance
from sambench.errors import ModelError, message_of, unknown_name
from sambench.files import content
from sambench.getting import weights as fetch
from sambench.models.card_factory import Noting
from sambench.models.contract import construct, examine
from sambench.models.hf.card import OnHub
from sambench.models.hf.installed import INSTALL
from sambench.sources import hf
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, pick_device, slug
from sambench.sources.inputs import by_content, check_contents, contents_of, weights_file
from sambench.types import Dataset, Gives

BASE = "card"  # `-M base=card`: a partial checkpoint is laid over the card's own weights


class CardSource:
    """A `ModelSource`."""

    form = ""
    stored = False

    def gives(self, name: str) -> Gives | None:
        return cards.model_card(name).gives

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        """Check the options, and get the weights (downloading them if the card says where from)."""
        card = cards.model_card(name)
        if card.state == "unavailable":
            raise ModelError(f"model {card.id!r} was never released", where=f"card {card.id}", remedy=card.notes or None)
        factory = cards.load_entry(card.factory, where=f"card {card.id}")
        given = {**card.options, **options}
        if isinstance(factory, OnHub):
            return self._on_hub(card, factory, given, device=device, precision=precision, progress=progress)
        explicit = given.pop("weights", None)
        _check_options(card, factory, given)
        _check_packages(card)
        path = fetch.weights_path(card, explicit=weights_file(explicit), download_ok=True, progress=progress)
        if isinstance(factory, Noting) and given.get("base") == BASE:
            given["base"] = str(fetch.weights_path(card, explicit=None, download_ok=True, progress=progress))
        sha = content.file_sha256(path) if path else None
        wanted, device = device, pick_device(device, card.uses_torch)
        identity = {
            "id": card.id,
            "revision": card.revision,
            "factory": cards.entry_identity(card.factory, where=f"card {card.id}"),
            "max_batch": card.max_batch,
            "options": by_content(given),
            "weights_sha256": sha,
            "precision": precision,
            "device_kind": device.partition(":")[0],
        }
        own = path is not None and card.weights is not None and sha != card.weights.sha256
        label = f"{card.id}-{slug(path.stem)}" if own and path is not None else card.id
        spec = ModelSpec(cards.absolute(name), given, device, precision, str(path) if path else None)
        spec = replace(spec, contents=contents_of(spec.options, spec.weights, lambda: _code(card)))
        size, notes = path.stat().st_size if path else 0, _notes_on_device(card.id, wanted, device)
        if isinstance(factory, Noting) and (own or "base" in given):
            notes += tuple(f"{label}: {note}" for note in factory.notes(weights=path, **given))
        return ResolvedModel(spec, label, card.name, identity, card.uses_torch, size, card, card.gives, notes=notes)

    def _on_hub(
        self, card: cards.ModelCard, factory: OnHub, options: Mapping[str, Any], **given: Any
    ) -> ResolvedModel:
        """The model of the hub that a card stands for: the same as that under its own name, but for what it is called."""
        _check_packages(card)
        name, rest = factory.named(options, f"card {card.id}")
        found = hf.SOURCE.resolve(name, rest, **given)
        if found.gives != card.gives:
            message = "a card's model gives something else than the card says"
            raise ModelError(message, where=name, expected=card.gives, found=found.gives)
        label = card.id if name.removeprefix(hf.PREFIX) == card.options.get("repo") else f"{card.id}-{slug(found.title)}"
        return replace(found, id=label, title=card.name, card=card)

    def build(self, spec: ModelSpec) -> Any:
        card = cards.model_card(spec.name)
        spec = _with_weights(card, spec)
        segmenter = _build_card(card, spec)
        check_contents(spec, lambda: _code(card))
        return segmenter

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return []


SOURCE = CardSource()


def _code(card: cards.ModelCard) -> str:
    """sha256 hex of what of the card's factory can change a number: another version of it is another model."""
    return provenance.digest([card.revision, cards.entry_identity(card.factory, where=f"card {card.id}")])


def _check_packages(card: cards.ModelCard) -> None:
    """Before any weights are fetched. Raises ModelError where a package is not installed."""
    for name in card.needs:
        if importlib.util.find_spec(name) is None:
            remedy = INSTALL if name == "transformers" else f"pip install {name}"
            message = f"model {card.id!r} needs the package {name}"
            raise ModelError(message, where=f"card {card.id}", expected="it in this environment", found="none", remedy=remedy)


def _notes_on_device(model: str, wanted: str, device: str) -> tuple[str, ...]:
    if wanted.partition(":")[0] == "cuda" and device.partition(":")[0] != "cuda":
        return (f"{model} does not use torch: it runs on the CPU, not on {wanted}",)
    return ()


def _with_weights(card: cards.ModelCard, spec: ModelSpec) -> ModelSpec:
    """The spec with a file of this machine: a node that does not see the one of the command's machine has a cache of its own, into
    which one of its workers fetches the card's weights, while the others wait. `check_contents` sees that they are the same."""
    if spec.weights is None or Path(spec.weights).exists() or card.weights is None or not card.weights.url:
        return spec
    if Path(spec.weights).name != fetch.cached_weights(card).name:  # a file of the user's own
        return spec
    return replace(spec, weights=str(fetch.weights_path(card, explicit=None, download_ok=True)))


def _build_card(card: cards.ModelCard, spec: ModelSpec) -> Any:
    where = f"card {card.id}, factory {card.factory}"
    factory = cards.load_entry(card.factory, where=where)
    arguments = {"weights": Path(spec.weights) if spec.weights else None, "device": spec.device, "precision": spec.precision}
    if card.gives == "detections":  # no model: the instance task reads a file
        return factory(**arguments, **spec.options)
    segmenter = construct(factory, {**arguments, **spec.options}, where=where)
    try:
        segmenter.max_batch = card.max_batch
    except Exception as e:  # it may have slots, or be frozen
        if getattr(segmenter, "max_batch", None) != card.max_batch:
            expected = f"an object that can be told max_batch = {card.max_batch}"
            raise ModelError(
                "a card's model has no place for its batch size", where=where, expected=expected, found=message_of(e)
            ) from e
    gives = examine(segmenter, where).gives
    if gives != (card.gives if card.gives in ("edges", "concepts") else "masks"):
        raise ModelError("a card's model gives something else than the card says", where=where, expected=card.gives, found=gives)
    return segmenter


def _check_options(card: cards.ModelCard, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some builtins have none: the call itself will tell
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [n for n in parameters if n not in ("weights", "device", "precision")]
    for key in options:
        if key not in known:
            raise unknown_name(f"option of model {card.id}", key, ["weights", *known], where="-M")
