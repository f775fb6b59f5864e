"""What can be said of a model object: the part of a run's identity that only the built object knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sambench.errors import ModelError
from sambench.models.answers import as_predictions
from sambench.models.contract import Attributes, examine
from sambench.sources.base import Description, ModelSpec
from sambench.sources.evaluation_mode import evaluation_mode
from sambench.sources.fingerprint import Walk, differing
from sambench.sources.models import build, code_of
from sambench.types import Prompt

_SMALL_BYTES = 1 << 28  # a model of fewer bytes of weights is built twice to be described


@dataclass(frozen=True)
class Described:
    """A model's part of the identity, and what must be said of it. walk: over the object, for `fingerprint.settle`.

    reusable: what was computed with it may be taken for what it would compute again. logits: whether its masks have logits, where
    that was looked at.
    """

    attributes: Attributes
    identity: dict[str, Any]
    device_kind: str
    notes: tuple[str, ...]
    walk: Walk
    reusable: bool = True
    logits: bool | None = None


def describe(segmenter: Any, spec: ModelSpec) -> Description:
    """Of a model of a `LateSource`, as plain values.

    A small model is built once more: what then differs (a time, the name of a temporary folder) is no part of what it is.
    """
    found = _described(segmenter, Walk(with_code=False), spec.probe)
    if found.walk.n_bytes < _SMALL_BYTES and "cuda" not in found.walk.devices:
        found = _without_what_differs(segmenter, found, spec)
    return {
        "identity": {**found.identity, **code_of(spec)},
        "device": spec.device if spec.device != "auto" else found.device_kind,
        "device_kind": found.device_kind,
        "precision": found.attributes.precision,
        "max_batch": found.attributes.max_batch,
        "gives": found.attributes.gives,
        "logits": found.logits,
        "notes": [*found.notes, *_in_training(found.walk)],
    }


def _in_training(walk: Walk) -> list[str]:
    """Of a factory that forgot `.eval()`: then numbers depend on chance, or on the images that came before."""
    kinds = {type(m).__name__ for m in walk.modules if m.training}
    found = sorted(k for k in kinds if "Dropout" in k or "BatchNorm" in k or "DropPath" in k)
    remedy = "numbers depend on chance or on earlier images; call .eval() in its factory"
    return [f"it runs in training mode ({', '.join(found[:3])}): {remedy}"] if found else []


def describe_object(segmenter: Any, *, probe: bool) -> Described:
    """A model object of this process. Reusable: it has an `identity`, or its weights were found and all of it could be seen."""
    found = _described(segmenter, Walk(), probe)
    unseen = ", ".join(list(found.walk.unseen)[:5])
    if found.attributes.identity:
        notes = [f"not looked into, and known only by the model's `identity`: {unseen}"] if unseen else []
        return Described(**{**vars(found), "notes": tuple(notes)})
    why = "no weights were found in it" if not found.walk.n_weights else f"not all of it could be looked into: {unseen}"
    if found.walk.n_weights and not unseen:
        return found
    note = f"{why}; nothing is reused. Give the model an `identity`: a dict of what can change a number"
    return Described(**{**vars(found), "notes": (note,), "reusable": False})


def _described(segmenter: Any, walk: Walk, probe: bool) -> Described:
    attributes = examine(segmenter)
    state = walk.of(segmenter)
    identity: dict[str, Any] = {"state_sha256": state}
    if attributes.identity:
        identity["own"] = attributes.identity
    kind = attributes.device_kind
    if not hasattr(segmenter, "device_kind") and "cuda" in walk.devices:
        kind = "cuda"
    notes = tuple(f"not looked into, and no part of the model's identity: {what}" for what in list(walk.unseen)[:5])
    return Described(attributes, identity, kind, notes, walk, logits=_asked_for_logits(segmenter, walk) if probe else None)


def _without_what_differs(segmenter: Any, found: Described, spec: ModelSpec) -> Described:
    try:
        other = Walk(with_code=False)
        other.of(build(spec))
    except Exception:  # noqa: BLE001 - it could be built once, which is all that a run needs
        return found
    names = differing(found.walk, other)
    if not names:
        return found
    listed = ", ".join(sorted(names)[:5])
    walk = Walk(with_code=False, left_out=names)
    rest = _described(segmenter, walk, probe=False)
    if walk.n_weights < found.walk.n_weights:
        note = f"its weights differ whenever it is built ({listed}): every worker runs another model. Seed it, or load its weights"
        return Described(**{**vars(found), "notes": (*found.notes, note)})
    note = f"no part of the model's identity, for it differs whenever the model is built: {listed}"
    return Described(**{**vars(rest), "notes": (*rest.notes, note), "logits": found.logits})


def _asked_for_logits(segmenter: Any, walk: Walk) -> bool | None:
    """A click is a run: in training mode it would move the statistics of a batch normalisation."""
    with evaluation_mode(walk.modules):
        return gives_logits(segmenter)


def gives_logits(segmenter: Any) -> bool | None:
    """Whether a segmenter's masks have logits, which stability needs; None where it does not answer a click on a small picture."""
    if not hasattr(segmenter, "decode"):
        return None
    image = np.full((48, 64, 3), 90, np.uint8)
    image[16:32, 20:44] = 200
    try:
        state = segmenter.encode(image)
        answers = segmenter.decode(state, [Prompt(np.array([[30, 24]], np.float32), np.ones(1, np.int8))])
        (answer,) = as_predictions(answers, 1, 48, 64, where="an image of 48 x 64")
    except Exception:  # noqa: BLE001 - the run itself will tell what is wrong
        return None
    try:
        answer.masks.area(1.0)
    except ModelError:
        return False
    return True
