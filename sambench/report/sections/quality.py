"""Section 5 of the paper: how well automatic masks agree with their corrected versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sambench.layout import Column, Row, Table, Value, style
from sambench.metrics.quality import ABOVE, MaskQuality, mask_quality
from sambench.paper.published import published
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import Inputs
from sambench.report.mask_pairs import MaskPairs, mask_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 40
NOT_PRINTED = "not published"
ONE_IMAGE = "no interval: all pairs are of one image"


def quality(definition: Definition, inputs: Inputs) -> Section:
    """IoUs of pairs of masks, by size, beside the published shares. options: published (a table of reports/published.toml)."""
    values = published(definition.options["published"])
    columns = [Column("what", "masks"), Column("n", "pairs", "count"), Column("images", "images", "count")]
    for key, label in (("mean", "mean IoU"), *((f"above_{100 * t:g}", f"IoU above {100 * t:g} %") for t in ABOVE)):
        columns += [Column(key, label, "percent"), Column(f"{key}_ci", "95 % CI", "interval")]
    printed: dict[str, Value | str | None] = {c.key: Value(reason=NOT_PRINTED) for c in columns}
    printed["what"] = f"{values[0].method}, published"
    printed |= {f"above_{100 * v.threshold:g}": Value(v.value) for v in values if v.threshold is not None}
    rows = [Row(printed, "published")]
    if inputs.automatic is None or inputs.corrected is None:
        absent = "Not measured: no pairs of masks are given (--automatic FILE --corrected FILE: two files in COCO's form)."
        return definition.filled(tables=(Table(definition.title, tuple(columns), tuple(rows), id=definition.id),), absent=(absent,))
    pairs = mask_pairs(inputs.automatic, inputs.corrected)
    bootstrap = inputs.bootstrap
    found = mask_quality(
        pairs.ious, pairs.areas_px, pairs.image_ids, n_resamples=bootstrap.n_resamples, level=bootstrap.level, seed=bootstrap.seed
    )
    names = f"{inputs.automatic.name} against {inputs.corrected.name}"
    rows += [_row(one, names) for one in found]
    notes = (
        "Pairs are masks of one image and one annotation id. Sizes are COCO's, by the area of the second file's mask (both ends "
        "included).",
        f"Intervals by a bootstrap over images, {bootstrap.n_resamples} resamples.",
        *(f"{note}." for note in pairs.notes),
    )
    table = Table(definition.title, tuple(columns), tuple(rows), notes, id=definition.id)
    return definition.filled(tables=(table,), pictures=(_picture(definition, pairs, names),))


def _row(one: MaskQuality, names: str) -> Row:
    row: dict[str, Value | str | None] = {"what": f"{names}: {one.group}" if one.group == "all" else one.group}
    row |= {"n": Value(one.n), "images": Value(one.n_clusters)}
    for key, (value, low, high) in (("mean", one.mean), *((f"above_{100 * t:g}", v) for t, v in one.above.items())):
        row[key] = Value(value)
        row[f"{key}_ci"] = Value(None if np.isnan(low) else (low, high), reason=ONE_IMAGE)
    return Row(row)


def _picture(definition: Definition, pairs: MaskPairs, names: str) -> Picture:
    shares, edges = np.histogram(pairs.ious, np.linspace(0, 1, BINS + 1))
    rows = tuple((float(a), float(b), int(n), n / len(pairs.ious)) for a, b, n in zip(edges[:-1], edges[1:], shares, strict=True))
    return Picture(
        f"{definition.id}_iou",
        f"IoU of pairs of masks: {names}",
        f"Histogram of {len(pairs.ious)} IoUs, and the share of pairs above each IoU",
        lambda figure: _draw(figure, pairs),
        ("iou_from", "iou_to", "pairs", "share"),
        rows,
        (7.4, 3.0),
        ("Right: the share of pairs whose IoU is greater; lines stand at the paper's 75 and 90 %.",),
    )


def _draw(figure: Figure, pairs: MaskPairs) -> None:
    from sambench.metrics.proposals import AREA_SETS, reference_sets

    left, right = figure.subplots(1, 2)
    edges = np.linspace(0, 100, BINS + 1)
    weights = np.full(len(pairs.ious), 100 / len(pairs.ious))
    left.hist(100 * pairs.ious, edges, weights=weights, color=style.colour(0))
    left.set(xlabel="IoU, percent", ylabel="percent of pairs", xlim=(0, 100))
    sets = reference_sets(pairs.areas_px, [None] * len(pairs.areas_px))
    for i, name in enumerate(("all", *AREA_SETS)):
        held = np.sort(100 * pairs.ious[sets[name]])
        if not len(held):
            continue
        # Of n values in order the share above the j-th is (n - j) / n: a step down at each.
        above = 100 * (1 - np.arange(len(held) + 1) / len(held))
        look = style.series(i) | {"marker": "none"}
        right.step([0, *held], above, where="post", **look, label=f"{name} ({len(held):,})")
    for axes in (left, right):
        for at in (75, 90):
            axes.axvline(at, color=style.FAINT, lw=0.8, ls=":")
        axes.grid(axis="y")
    right.set(xlabel="IoU, percent", ylabel="percent of pairs above", xlim=(0, 100), ylim=(0, 101))
    style.legend_above(right)


SECTION = quality
