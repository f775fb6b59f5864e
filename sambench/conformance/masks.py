"""Conformance of segmenters. See :mod:`sambench.conformance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sambench.conformance import scenes
from sambench.conformance.findings import Check, Finding, Probe, run_check
from sambench.errors import ModelError
from sambench.models.contract import examine, max_batch_of
from sambench.prompts import box_prompt, center_click
from sambench.tasks.point import PointTask
from sambench.tasks.prompted import Context, encode
from sambench.tasks.settings.point import PointSettings
from sambench.types import Prediction, Prompt, Sample

FINDS = 0.5  # IoU from which a plain shape is taken for found
SAME_IOU = 0.995  # of answers that differ by rounding alone: one prompt in another batch
SAME_SCORE = 1e-3
PLAIN = 0.3  # nearness from which one reading of coordinates is taken for the model's
WORSE = 0.02  # mIoU that further clicks may cost
SIZES = ((8, 8), (3, 60), (97, 31), (61, 240))


def _click(sample: Sample, i: int, *, multimask: bool = True, carry: Any = None) -> Prompt:
    click = center_click(sample.instances[i].region)
    return _points([(click.x, click.y)], [1], multimask=multimask, carry=carry)


def _points(xy: Sequence[tuple[float, float]], labels: Sequence[int], *, multimask: bool = True, carry: Any = None) -> Prompt:
    return Prompt(np.array(xy, np.float32), np.array(labels, np.int8), multimask=multimask, carry=carry)


def _best(prediction: Prediction, sample: Sample, i: int) -> float:
    """IoU of the best candidate with object i."""
    return float(prediction.masks.iou(sample.instances[i].region).max())


def _answers(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    before = sample.image.copy()
    several = probe.ask(sample, [_click(sample, 0), _click(sample, 1), _click(sample, 0)])
    counts = sorted({len(p.masks) for p in several})
    scores = np.concatenate([p.scores for p in several])
    if len(counts) > 1:
        yield Finding("answers", "fail", f"{counts} candidates", "the same number of candidates for every prompt of one kind")
        return
    size = f"{sample.height} x {sample.width}"
    yield Finding("answers", "pass", f"{counts[0]} candidate(s) of {size} pixels, scores {scores.min():.3g} to {scores.max():.3g}")
    (single,) = probe.ask(sample, [_click(sample, 0, multimask=False)])
    if len(single.masks) != 1:
        remedy = "return the model's single best mask where prompt.multimask is False"
        yield Finding("single output", "fail", f"{len(single.masks)} candidates", "1 candidate with multimask=False", remedy)
    else:
        yield Finding("single output", "pass", "1 candidate with multimask=False")
    if not np.array_equal(before, sample.image):
        remedy = "work on a copy: image = image.copy()"
        yield Finding("image", "fail", "encode or decode changed its pixels", "an image left as it was given", remedy)
    else:
        yield Finding("image", "pass", "left as it was given")


def _attributes(probe: Probe) -> Iterator[Finding]:
    found = examine(probe.model)  # raises ModelError
    if found.device_kind not in ("cpu", "cuda"):
        yield Finding("attributes", "fail", f"device_kind = {found.device_kind!r}", "'cpu' or 'cuda'")
        return
    keys = ", ".join(found.identity) or "nothing of its own (the suite adds the hash of a python: model's file)"
    about = f"max_batch {found.max_batch}, {found.device_kind}, {found.precision}"
    yield Finding("attributes", "pass", f"{about}; identity holds {keys}")


def _determinism(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    prompts = [_click(sample, 0), _click(sample, 1)]
    first = probe.ask(sample, prompts)
    again = encode(probe.model, sample).decode(prompts)[0]
    exact = getattr(probe.model, "device_kind", "cpu") == "cpu"
    found = _difference(first, again)
    if not found.same or (exact and not found.identical):
        remedy = "look for dropout (model.eval()), unseeded randomness, or state that a call leaves behind"
        yield Finding("determinism", "fail", f"the same image and clicks, twice: {found.text}", "the same answers", remedy)
    else:
        yield Finding("determinism", "pass", f"the same image and clicks, twice: {found.text}")


def _state(probe: Probe) -> Iterator[Finding]:
    sample, other = scenes.two_discs(), scenes.plain(120, 90)
    prompts = [_click(sample, 0), _click(sample, 1)]
    first = probe.ask(sample, prompts)
    encode(probe.model, other).decode([_click(other, 0)])
    found = _difference(first, probe.ask(sample, prompts))
    if not found.same:
        remedy = "keep all that decode needs in what encode returns, none of it in the model, and leave it unchanged"
        where = f"an image's state after another image was encoded: {found.text}"
        yield Finding("state", "fail", where, "decode depends only on its arguments", remedy)
    else:
        yield Finding("state", "pass", f"an image's state after another image was encoded: {found.text}")


def _batch(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    prompts = [_click(sample, 0), _click(sample, 1), _points([(20, 20)], [1]), _click(sample, 1)]
    prompts = prompts[: max(2, max_batch_of(probe.model))]
    together = probe.ask(sample, prompts)
    alone = [probe.ask(sample, [p])[0] for p in prompts]
    found = _difference(together, alone)
    if not found.same:
        remedy = "answers must come in the prompts' order, and one prompt's must not depend on the others beside it"
        yield Finding("batch", "fail", f"{len(prompts)} prompts together and alone: {found.text}", "the same answers", remedy)
    else:
        yield Finding("batch", "pass", f"{len(prompts)} prompts together and alone: {found.text}")


def _order_xy(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    answers = probe.ask(sample, [_click(sample, 0), _click(sample, 1)])
    own = float(np.mean([_best(p, sample, i) for i, p in enumerate(answers)]))
    other = float(np.mean([_best(p, sample, 1 - i) for i, p in enumerate(answers)]))
    found = f"mean IoU {own:.2f} with the object at (x, y), {other:.2f} with the one at (y, x)"
    remedy = "points are (x, y): x is the column; swap them if your model takes (row, column)"
    yield _decide("xy order", own, other, found, remedy, _nearness(answers, sample))


def _nearness(answers: Sequence[Prediction], sample: Sample) -> tuple[float, float]:
    """How near the first-ranked masks come to where they were asked for, and to that place with x and y exchanged; 1: they hold it.

    Of a model that finds no object this still tells how it reads coordinates. The scene's two objects lie at each other's (y, x).
    """
    own: list[float] = []
    other: list[float] = []
    for i, answer in enumerate(answers):
        pixels_yx = np.argwhere(answer.masks.array(answer.top_index))
        for j, out in ((i, own), (1 - i, other)):
            click = center_click(sample.instances[j].region)
            away = np.hypot(*(pixels_yx - [click.y, click.x]).T).min() if len(pixels_yx) else np.inf
            out.append(1 / (1 + away / 10))
    return float(np.mean(own)), float(np.mean(other))


def _labels(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    at = [(c.x, c.y) for c in (center_click(i.region) for i in sample.instances)]
    answers = probe.ask(sample, [_points(at, [1, 0]), _points(at, [0, 1])])
    own = float(np.mean([_best(p, sample, i) for i, p in enumerate(answers)]))
    other = float(np.mean([_best(p, sample, 1 - i) for i, p in enumerate(answers)]))
    found = f"mean IoU {own:.2f} with the object clicked as foreground, {other:.2f} with the one clicked as background"
    yield _decide("labels", own, other, found, "label 1 is foreground, 0 is background")


def _decide(
    name: str, own: float, other: float, found: str, remedy: str, near: tuple[float, float] | None = None
) -> Finding:
    """near: evidence of a model that finds neither, from 0 to 1 for the first reading and for the second."""
    if max(own, other) < FINDS and near is not None and abs(near[0] - near[1]) > PLAIN:
        own, other = near
        found += f"; its masks lie nearer to the {'first' if own > other else 'second'} of these places"
    elif max(own, other) < FINDS:
        return Finding(name, "skip", f"{found}: it finds neither, so this cannot be told", remedy="check with trained weights")
    return Finding(name, "pass" if own > other else "fail", found, "more with the first", remedy)


def _order_rgb(probe: Probe) -> Iterator[Finding]:
    right, wrong = (
        _best(probe.ask(s, [_click(s, 0)])[0], s, 0)
        for s in (scenes.one_disc(scenes.SEEN_AS_RGB, "seen_as_rgb"), scenes.one_disc(scenes.SEEN_AS_BGR, "seen_as_bgr"))
    )
    found = f"IoU {right:.2f} where brightness shows the object in RGB order, {wrong:.2f} where it would in BGR order"
    remedy = "images are RGB: exchange the first and last channel only if your model was trained on BGR"
    if wrong >= FINDS > right:
        yield Finding("RGB order", "fail", found, "the first", remedy)
    elif right >= FINDS > wrong:
        yield Finding("RGB order", "pass", found)
    else:
        seen = "it sees colours, and both" if min(right, wrong) >= FINDS else "it finds neither"
        remedy = "compare one mask with the model's own code on a photograph"
        yield Finding("RGB order", "skip", f"{found}: {seen}, so this cannot be told from outside", remedy=remedy)


def _improvement(probe: Probe) -> Iterator[Finding]:
    sample = scenes.of_parts()
    clicks = (1, 2, 3, 5)
    rows = PointTask(PointSettings(clicks=clicks)).rows(sample, probe.model, Context(save_masks="none"))
    means = [float(np.mean([r["iou_top"] for r in rows if r["k"] == k])) for k in clicks]
    found = "mIoU " + ", ".join(f"{m:.2f} at {k}" for m, k in zip(means, clicks, strict=True)) + " clicks"
    if max(means) < 0.3:
        yield Finding("more clicks", "skip", f"{found}: too low to tell", remedy="check with trained weights")
    elif means[-1] < means[0] - WORSE or (means[0] < 0.9 and max(means[1:]) <= means[0]):
        remedy = "all of prompt.points_xy counts, each with its label; carry is the state of the mask that goes on"
        yield Finding("more clicks", "fail", found, "more clicks help, and cost nothing", remedy)
    else:
        yield Finding("more clicks", "pass", found)


def _carry(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    (first,) = probe.ask(sample, [_click(sample, 0)])
    points = [(150.0, 50.0), (100.0, 100.0)]
    (without,) = probe.ask(sample, [_points(points, [1, 0], multimask=False)])  # the suite may give no carry
    if first.carry is None:
        yield Finding("carry", "pass", "none: every prompt stands for itself")
        return
    prompt = _points(points, [1, 0], multimask=False, carry=first.carry[first.top_index])
    found = _difference(probe.ask(sample, [prompt]), probe.ask(sample, [prompt]))
    if not found.same:
        remedy = "treat a carry as read-only, and return a new one"
        yield Finding("carry", "fail", f"one carry, used twice: {found.text}", "the same answers", remedy)
    else:
        yield Finding("carry", "pass", f"one a candidate; used twice: {found.text}; {len(without.masks)} candidate without one")


def _boxes(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    prompts = [Prompt(box_xyxy=box_prompt(i.region), multimask=False) for i in sample.instances]
    try:
        answers = probe.ask(sample, prompts)
    except ModelError as e:
        yield Finding("boxes", "skip", f"{e.message}: the box task does not apply")
        return
    own = float(np.mean([_best(p, sample, i) for i, p in enumerate(answers)]))
    other = float(np.mean([_best(p, sample, 1 - i) for i, p in enumerate(answers)]))
    found = f"mean IoU {own:.2f} with the object in the box, {other:.2f} with the one at (y, x)"
    yield _decide("boxes", own, other, found, "boxes are (x_min, y_min, x_max, y_max)", _nearness(answers, sample))


def _sizes(probe: Probe) -> Iterator[Finding]:
    for height, width in SIZES:
        sample = scenes.plain(height, width)
        name = f"image of {height} x {width}"
        found = run_check(name, _answers_on(sample), probe)
        yield from (f for f in found if f.status == "fail")
        if all(f.status == "pass" for f in found):
            yield Finding(name, "pass", found[0].found)


def _answers_on(sample: Sample) -> Check:
    def check(probe: Probe) -> Iterator[Finding]:
        answer = encode(probe.model, sample).decode([_click(sample, 0)])[0][0]
        iou = _best(answer, sample, 0)
        yield Finding(f"image of {sample.height} x {sample.width}", "pass", f"answered, IoU {iou:.2f} with the bright ellipse")

    return check


@dataclass(frozen=True)
class _Difference:
    """Between two lists of predictions: identical to the bit, or the same but for rounding."""

    identical: bool
    same: bool
    text: str


def _difference(a: Sequence[Prediction], b: Sequence[Prediction]) -> _Difference:
    pixels, iou, score = 0, 1.0, 0.0
    for p, q in zip(a, b, strict=True):
        if len(p.masks) != len(q.masks):
            return _Difference(False, False, f"{len(p.masks)} and {len(q.masks)} candidates")
        score = max(score, float(np.abs(p.scores - q.scores).max()))
        for i in range(len(p.masks)):
            x, y = p.masks.array(i), q.masks.array(i)
            n, union = int(np.count_nonzero(x != y)), int(np.count_nonzero(x | y))
            pixels, iou = max(pixels, n), min(iou, 1 - n / union if union else 1.0)
    identical = pixels == 0 and score == 0
    same = iou >= SAME_IOU and score <= SAME_SCORE
    text = "identical" if identical else f"up to {pixels} pixels (IoU {iou:.4f}) and {score:.2g} in the scores apart"
    return _Difference(identical, same, text)


MASK_CHECKS: tuple[tuple[str, Check], ...] = (
    ("answers", _answers),
    ("attributes", _attributes),
    ("determinism", _determinism),
    ("state", _state),
    ("batch", _batch),
    ("xy order", _order_xy),
    ("labels", _labels),
    ("RGB order", _order_rgb),
    ("more clicks", _improvement),
    ("carry", _carry),
    ("boxes", _boxes),
    ("image sizes", _sizes),
)
