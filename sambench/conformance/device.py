"""A model on a device and in a precision, beside the same model on the CPU in IEEE float32: how far apart, and what that costs.

fp32 must be within the bounds that hold for implementations of one model; of tf32 and bf16 it is said what they cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.conformance import scenes
from sambench.conformance.findings import Finding
from sambench.device.precision import computing
from sambench.engine.threads import single_threaded
from sambench.errors import SambenchError, message_of
from sambench.models.contract import examine
from sambench.pixels.candidates import to_numpy
from sambench.prompts import center_click
from sambench.tasks.prompted import encode
from sambench.types import Prediction, Prompt, Sample

# In standard deviations of the reference's values: the bounds within which two implementations of SAM are one model.
EMBEDDING, LOGITS = 1e-4, 2e-3
SAME_IOU = 0.995
_DEEPEST = 5  # levels of objects in which arrays are looked for


def compare_devices(model: Any, reference: Any, *, precision: str) -> list[Finding]:
    """Findings on what encode returns, on logits, masks and scores, and on mIoU. Never raises what the model raises.

    model: on the device in question, run in `precision`. reference: the same on the CPU, in fp32.
    """
    try:
        on, kept = examine(model), examine(reference)
        if on.gives != "masks":
            return [Finding("device", "skip", f"a model of {on.gives}: compare two runs of its task")]
        if kept.device_kind != "cpu":
            return [Finding("device", "skip", f"it cannot be built for the CPU: it is on {kept.device_kind}")]
        pairs = []
        with single_threaded():
            for sample in (scenes.two_discs(), scenes.of_parts()):
                with computing(precision, on.device_kind):
                    ours = _asked(model, sample)
                with computing("fp32"):
                    pairs.append((sample, ours, _asked(reference, sample)))
    except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever a model raises is what was found
        text = f"{e.message}: {e.found}" if isinstance(e, SambenchError) else message_of(e)
        return [Finding("device", "fail", text, "answers on both devices")]
    strict = precision == "fp32"
    name = f"{on.device_kind} {precision} against cpu fp32"
    return [*_arrays(pairs, name, strict=strict), *_masks(pairs, name, strict=strict)]


Answered = tuple[Any, list[Prediction]]


def _asked(model: Any, sample: Sample) -> Answered:
    """The image's state, and the answers to a click on every object."""
    encoded = encode(model, sample)
    clicks = [center_click(i.region) for i in sample.instances]
    asked = [Prompt(np.array([[c.x, c.y]], np.float32), np.ones(1, np.int8)) for c in clicks]
    return encoded.state, encoded.decode(asked)[0]


def _arrays(pairs: Sequence[tuple[Sample, Answered, Answered]], name: str, *, strict: bool) -> Iterator[Finding]:
    """What encode returns, and the logits, in standard deviations of the reference's."""
    states = [(_floats(a[0]), _floats(b[0])) for _, a, b in pairs]
    logits = [(_logits(a[1]), _logits(b[1])) for _, a, b in pairs]
    for what, both, bound in (("embedding", states, EMBEDDING), ("logits", logits, LOGITS)):
        if any(not x or [v.shape for v in x] != [v.shape for v in y] for x, y in both):
            found = "what encode returns holds no arrays" if what == "embedding" else "its masks have no logits"
            yield Finding(f"{name}: {what}", "skip", f"{found} that can be compared")
            continue
        apart = max(_apart(a, b) for x, y in both for a, b in zip(x, y, strict=True))
        found = f"up to {apart:.2g} standard deviations apart"
        fine = apart <= bound or not strict
        remedy = "another kernel, or a precision below float32 that the model sets itself (autocast, half())"
        yield Finding(f"{name}: {what}", "pass" if fine else "fail", found, f"{bound:g} at most in fp32", remedy)


def _masks(pairs: Sequence[tuple[Sample, Answered, Answered]], name: str, *, strict: bool) -> Iterator[Finding]:
    """The first-ranked masks: pixels that differ, scores, and the mean IoU with the objects on either side."""
    shared, pixels, score = 1.0, 0, 0.0
    ious: dict[str, list[float]] = {"ours": [], "theirs": []}
    for sample, (_, ours), (_, theirs) in pairs:
        for instance, a, b in zip(sample.instances, ours, theirs, strict=True):
            score = max(score, float(np.abs(a.scores - b.scores).max()) if len(a.scores) == len(b.scores) else np.inf)
            x, y = a.masks.array(a.top_index), b.masks.array(b.top_index)
            apart, union = int(np.count_nonzero(x != y)), int(np.count_nonzero(x | y))
            pixels, shared = max(pixels, apart), min(shared, 1 - apart / union if union else 1.0)
            for key, answer in (("ours", a), ("theirs", b)):
                ious[key].append(float(answer.masks.iou(instance.region)[answer.top_index]))
    fine = shared >= SAME_IOU or not strict
    found = f"up to {pixels} pixels (IoU {shared:.4f}) and {score:.2g} in the scores apart"
    yield Finding(f"{name}: masks", "pass" if fine else "fail", found, f"IoU {SAME_IOU:g} or more in fp32")
    mine, other = (float(np.mean(v)) for v in ious.values())
    found = f"mIoU {mine:.4f} against {other:.4f}, {mine - other:+.4f} on {len(ious['ours'])} shapes"
    yield Finding(f"{name}: cost", "pass", found)


def _apart(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    spread = float(b.std())
    return float(np.abs(a - b).max()) / spread if spread else float(np.abs(a - b).max())


def _logits(answers: Sequence[Prediction]) -> list[npt.NDArray[np.float64]]:
    """Low-resolution logits of masks that have them."""
    return [np.asarray(a.masks.low_res, np.float64) for a in answers if hasattr(a.masks, "low_res")]


def _floats(state: Any, depth: int = 0) -> list[npt.NDArray[np.float64]]:
    """The arrays and tensors of floating point in an object that vary, in order of where they stand."""
    if type(state).__module__.partition(".")[0] in ("torch", "numpy") and hasattr(state, "shape"):
        with suppress(SambenchError):
            array = to_numpy(state, "a state", "an array")
            if array.dtype.kind == "f" and array.size > 1:
                return [array.astype(np.float64)]
        return []
    if depth == _DEEPEST:
        return []
    if is_dataclass(state):
        inside: Sequence[Any] = [getattr(state, f.name) for f in fields(state)]
    elif isinstance(state, Mapping):
        inside = list(state.values())
    elif isinstance(state, tuple | list):
        inside = state
    else:
        inside = list(vars(state).values()) if hasattr(state, "__dict__") and not hasattr(state, "parameters") else []
    return [array for part in inside for array in _floats(part, depth + 1)]
