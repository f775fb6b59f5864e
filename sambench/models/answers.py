"""What `decode` or `concepts` returned, checked: the one place where a model's answers enter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sambench.concepts import ConceptPrediction
from sambench.errors import ModelError, shown
from sambench.pixels.candidates import DenseMasks, as_masks, to_numpy
from sambench.types import Prediction

DECODE = ("decode", "sambench.types.Segmenter")  # the method that answered, and where its contract is
CONCEPTS = ("concepts", "sambench.concepts.ConceptSegmenter")


def as_predictions(answers: object, n: int, height: int, width: int, *, where: object) -> list[Prediction]:
    """What `decode` returned for n prompts on a height x width image, with masks as `Masks` and scores float32 [C].

    Raises ModelError where it breaks the contract: too few answers, masks that `as_masks` refuses, scores that are not one finite
    real number a candidate, another number of carries. where: the image, for the error.
    """
    out = []
    for answer in _one_each(answers, n, where):
        masks = as_masks(answer.masks, height, width)
        carry = getattr(answer, "carry", None)
        if carry is not None and (not hasattr(carry, "__len__") or len(carry) != len(masks)):
            found = f"{len(carry)} carries" if hasattr(carry, "__len__") else type(carry).__name__
            raise _broken_contract(where, "one carry a mask, or None", found)
        out.append(Prediction(masks, _scores(answer.scores, len(masks), where), carry))
    return out


def as_concept_predictions(answers: object, n: int, height: int, width: int, *, where: object) -> list[ConceptPrediction]:
    """What `concepts` returned for n prompts on a height x width image, with masks as `Masks` and scores float64 [N] in [0, 1].

    A set may be empty. Raises ModelError where it breaks the contract: too few answers, masks that `as_masks` refuses, scores or a
    presence that are no probabilities. where: the image, for the error.
    """
    out = []
    for answer in _one_each(answers, n, where, CONCEPTS):
        none = DenseMasks(np.zeros((0, height, width), np.bool_))
        masks = none if _is_empty(answer.masks) else as_masks(answer.masks, height, width)
        scores = _scores(answer.scores, len(masks), where, CONCEPTS, np.float64)  # as given: one just below .5 does not count
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
            raise _broken_contract(where, "scores in [0, 1]", f"{scores.min():g} to {scores.max():g}", CONCEPTS)
        presence = getattr(answer, "presence", None)
        out.append(ConceptPrediction(masks, scores, None if presence is None else _probability(presence, where)))
    return out


def _is_empty(masks: Any) -> bool:
    """Whether it is a set of no masks: a `Masks`, list, array or tensor of length 0, whatever shape it was left in."""
    try:
        return len(masks) == 0
    except TypeError:
        return False


def _probability(given: object, where: object) -> float:
    value = to_numpy(given, "presence", "a number in [0, 1]")
    if value.size != 1 or value.dtype.kind not in "fiub" or not 0 <= float(value.reshape(())) <= 1:
        raise _broken_contract(where, "a presence in [0, 1], or None", shown(repr(given)), CONCEPTS)
    return float(value.reshape(()))


def _one_each(answers: object, n: int, where: object, asked: tuple[str, str] = DECODE) -> Sequence[Any]:
    if not isinstance(answers, Sequence) or len(answers) != n:
        found = f"{len(answers)} answers" if isinstance(answers, Sequence) else type(answers).__name__
        raise _broken_contract(where, f"a list of {n} predictions, one per prompt", found, asked)
    for answer in answers:
        if not hasattr(answer, "masks") or not hasattr(answer, "scores"):
            raise _broken_contract(where, "objects with .masks and .scores", type(answer).__name__, asked)
    return answers


def _scores(given: object, n: int, where: object, asked: tuple[str, str] = DECODE, dtype: type[np.floating] = np.float32) -> Any:
    """dtype [n]. Of infinite scores the first would be any of them, and no table or JSON can hold them: refused like NaN."""
    scores = to_numpy(given, "scores", "float32 [C]")
    described = f"{scores.dtype} {list(scores.shape)}"
    if scores.dtype.kind not in "fiub":
        raise _broken_contract(where, "scores that are real numbers", described, asked)
    if scores.shape not in ((n,), ()) or scores.size != n:
        raise _broken_contract(where, f"one score per mask: [{n}]", described, asked)
    with np.errstate(over="ignore"):
        out = np.asarray(scores, dtype).reshape(n)
    if not np.isfinite(out).all():
        kind = "NaN" if np.isnan(out).any() else "infinite"
        raise _broken_contract(where, "scores that are finite numbers", f"{kind}: {out.tolist()}", asked)
    return out


def _broken_contract(where: object, expected: str, found: str, asked: tuple[str, str] = DECODE) -> ModelError:
    method, see = asked
    return ModelError(
        f"{method}() broke its contract",
        where=where,
        expected=expected,
        found=found,
        remedy=f"mend the model: see {see}",
    )
