"""What `decode` returned, checked: the one place where a model's answers enter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sambench.errors import ModelError
from sambench.pixels.candidates import as_masks, to_numpy
from sambench.types import FloatArray, Prediction


def as_predictions(answers: object, n: int, height: int, width: int, *, where: object) -> list[Prediction]:
    """What `decode` returned for n prompts on a height x width image, with masks as `Masks` and scores float32 [C].

    Raises ModelError where it breaks the contract: too few answers, masks that `as_masks` refuses, scores that are not one finite
    real number a candidate, another number of carries. where: the image, for the error.
    """
    if not isinstance(answers, Sequence) or len(answers) != n:
        found = f"{len(answers)} answers" if isinstance(answers, Sequence) else type(answers).__name__
        raise _broken_contract(where, f"a list of {n} predictions, one per prompt", found)
    out = []
    for answer in answers:
        if not hasattr(answer, "masks") or not hasattr(answer, "scores"):
            raise _broken_contract(where, "objects with .masks and .scores", type(answer).__name__)
        masks = as_masks(answer.masks, height, width)
        carry = getattr(answer, "carry", None)
        if carry is not None and (not hasattr(carry, "__len__") or len(carry) != len(masks)):
            found = f"{len(carry)} carries" if hasattr(carry, "__len__") else type(carry).__name__
            raise _broken_contract(where, "one carry a mask, or None", found)
        out.append(Prediction(masks, _scores(answer.scores, len(masks), where), carry))
    return out


def _scores(given: object, n: int, where: object) -> FloatArray:
    """float32 [n]. Of infinite scores the first would be any of them, and no table or JSON can hold them: refused like NaN."""
    scores = to_numpy(given, "scores", "float32 [C]")
    described = f"{scores.dtype} {list(scores.shape)}"
    if scores.dtype.kind not in "fiub":
        raise _broken_contract(where, "scores that are real numbers", described)
    if scores.shape not in ((n,), ()) or scores.size != n:
        raise _broken_contract(where, f"one score a mask: [{n}]", described)
    with np.errstate(over="ignore"):
        out = np.asarray(scores, np.float32).reshape(n)
    if not np.isfinite(out).all():
        kind = "NaN" if np.isnan(out).any() else "infinite"
        raise _broken_contract(where, "scores that are finite numbers", f"{kind}: {out.tolist()}")
    return out


def _broken_contract(where: object, expected: str, found: str) -> ModelError:
    return ModelError(
        "decode() broke its contract",
        where=where,
        expected=expected,
        found=found,
        remedy="mend the model: see sambench.types.Segmenter",
    )
