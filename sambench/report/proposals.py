"""Pictures and lists of proposal runs, from stored rows: recall by number of proposals, area and frequency, and a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import RunError, UsageError
from sambench.files.writing import write_aside, write_csv
from sambench.layout import style
from sambench.metrics.proposals import ALL, AREA_SETS, FREQUENCY_SETS, SETS, recalled
from sambench.pixels.region import Region
from sambench.report.masks import overlay
from sambench.results.names import line_names
from sambench.results.stored_masks import dataset_of
from sambench.results.tables import metric_rows_of
from sambench.store.views import CellView
from sambench.text import counted
from sambench.types import UInt8Array

if TYPE_CHECKING:
    import pandas as pd

OBJECTS, PROPOSALS = ("kind", "object"), ("kind", "proposal")
N_POINTS = 60  # of a curve
N_SHOWN = 8
SHOWN_PROPOSALS = 100  # of an image, on its third tile
TILE_PX = 320

Curves = dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]  # by reference set


def recall_curve(cell: CellView) -> Curves:
    """By reference set that has objects: numbers of proposals, from 1 to the run's largest, and average recall there, in [0, 1].

    Raises RunError where nothing is computed.
    """
    reported = cell.task.settings.max_dets
    at = np.unique([*np.geomspace(1, max(reported), N_POINTS).round().astype(np.int64), *reported])
    frame = _objects(cell)
    out = {}
    for name in SETS:
        column = frame[f"ranks_{name}"].dropna()
        if len(column):
            ranks = np.stack(column.to_list()).T
            out[name] = at, np.array([recalled(ranks, int(n)).mean() for n in at])
    return out


def write_recall_curve(cells: Sequence[CellView], folder: Path) -> list[Path]:
    """recall.png, average recall by number of proposals, a line a run; recall.csv, a row per run, set and number. Returns both."""
    curves = [(cell, recall_curve(cell)) for cell in cells]
    png = write_aside(folder / "recall.png", lambda path: _draw_curves(curves, path))
    header = ("model", "run", "dataset", "set", "proposals", "average_recall")
    rows = [
        (cell.label, cell.run_name, cell.dataset, name, int(k), float(v))
        for cell, found in curves
        for name, (n, recall) in found.items()
        for k, v in zip(n, recall, strict=True)
    ]
    return [png, write_csv(folder / "recall.csv", header, rows)]


def _draw_curves(curves: Sequence[tuple[CellView, Curves]], path: Path) -> None:
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        for i, ((cell, found), name) in enumerate(zip(curves, line_names([c for c, _ in curves]), strict=True)):
            n, recall = found[ALL]
            label = f"{name}: AR@{n[-1]} {100 * recall[-1]:.1f}"
            axes.step(n, 100 * recall, where="post", color=style.colour(i), label=label)
            reported = cell.task.settings.max_dets
            axes.plot(reported, [100 * recall[n == k][0] for k in reported], "o", color=style.colour(i))
        axes.plot([], [], "o", color=style.INK, label="dots: the numbers of the table")
        axes.set_xscale("log")
        axes.set(ylim=(0, None), xlabel="proposals per image", ylabel="average recall, IoU .50 to .95, in %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_title(", ".join(dict.fromkeys(c.dataset for c, _ in curves)))
        axes.grid()
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def write_groups(cells: Sequence[CellView], folder: Path) -> Path:
    """recall_by_group.png: average recall at the largest number of proposals, by area and frequency, with intervals."""
    values = [_by_group(cell) for cell in cells]
    return write_aside(folder / "recall_by_group.png", lambda path: _draw_groups(cells, values, path))


def _draw_groups(cells: Sequence[CellView], values: Sequence[dict[str, tuple[float, float, float, int]]], path: Path) -> None:
    from matplotlib.figure import Figure

    groups = [g for g in SETS if any(g in v for v in values)]
    with style.styled():
        figure = Figure(figsize=(1.6 + 0.95 * len(groups), 4.2), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / len(cells)
        for i, (name, found) in enumerate(zip(line_names(cells), values, strict=True)):
            here = [(j, *found[g]) for j, g in enumerate(groups) if g in found]
            x = np.array([j for j, *_ in here]) + (i - (len(cells) - 1) / 2) * width
            height, low, high = (100 * np.array([h[k] for h in here], np.float64) for k in (1, 2, 3))
            axes.bar(x, height, 0.92 * width, color=style.colour(i), label=name)
            known = ~np.isnan(low)  # a group whose objects lie in one image has no interval
            spread = np.abs(np.stack([height - low, high - height]))[:, known]
            axes.errorbar(x[known], height[known], yerr=spread, fmt="none", ecolor=style.INK, elinewidth=0.9, capsize=2)
        counts = [max(v[g][3] for v in values if g in v) for g in groups]
        names = [f"{g}\n{counted(n, 'object')}" for g, n in zip(groups, counts, strict=True)]
        axes.set_xticks(range(len(groups)), names)
        for edge in _borders(groups):
            axes.axvline(edge, color=style.GRID, lw=0.8, zorder=0)
        most = max(max(c.task.settings.max_dets) for c in cells)
        axes.set(ylim=(0, None), ylabel=f"AR@{most} in %; lines: 95 % intervals")
        axes.set_title(", ".join(dict.fromkeys(c.dataset for c in cells)))
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def _borders(groups: Sequence[str]) -> list[float]:
    kinds = [0 if g == ALL else 1 if g in AREA_SETS else 2 for g in groups]
    return [j + 0.5 for j in range(len(groups) - 1) if kinds[j] != kinds[j + 1]]


def _by_group(cell: CellView) -> dict[str, tuple[float, float, float, int]]:
    """(value, low, high, objects) at the largest number of proposals, by set."""
    most = max(cell.task.settings.max_dets)
    rows = [r for r in metric_rows_of(cell) if r["metric"] == "ar" and r["max_dets"] == most]
    if not rows:
        raise _nothing(cell)
    known = (*AREA_SETS, *FREQUENCY_SETS)
    return {r["group"] if r["group"] in known else ALL: (r["value"], r["ci_low"], r["ci_high"], int(r["n_objects"])) for r in rows}


def write_sheet(cell: CellView, folder: Path, *, n: int = N_SHOWN, root: Path | None = None) -> Path:
    """sheet_<dataset>-<model>.png: images spread evenly from the highest recall to the lowest.

    Of each the ground truth, the proposals that found an object at IoU .5 (in its colour), and the first hundred proposals.

    Needs the dataset's files and stored masks. Raises UsageError where the run kept none, DataMissingError.
    """
    frame = _objects(cell)
    most = max(cell.task.settings.max_dets)
    frame["recall"] = recalled(np.stack(frame["ranks_all"].to_list()).T, most)
    by_image = frame.groupby("image_id")["recall"].mean().sort_values(ascending=False, kind="stable")
    chosen = [by_image.index[i] for i in np.unique(np.linspace(0, len(by_image) - 1, min(n, len(by_image))).round().astype(int))]
    stored = cell.store.table(chosen, ["image_id", "rank", "height", "width", "mask_rle"], PROPOSALS).to_pandas()
    if stored.empty and frame["n_proposals"].max() > 0:
        remedy = "run it with --save-masks scored into another directory (--out)"
        raise UsageError("the run kept no proposals to show", where=cell.path, remedy=remedy)
    dataset = dataset_of(cell, root)
    rows = []
    for image_id in chosen:
        sample = dataset.load(image_id)
        objects = frame[frame["image_id"] == image_id].set_index("object_id")
        truth = {i.object_id: i.region.rle() for i in sample.instances}
        here = stored[stored["image_id"] == image_id].set_index("rank")
        size = [sample.height, sample.width]
        masks = {int(rank): {"size": size, "counts": counts} for rank, counts in here["mask_rle"].items()}
        empty = {"size": size, "counts": b""}
        found = [masks.get(int(objects["ranks_all"][o][0]), empty) if o in objects.index else empty for o in truth]
        hits = sum(m is not empty for m in found)
        caption = (
            f"{image_id}   AR@{most} {100 * by_image[image_id]:.1f}   {hits} of {len(truth)} found at .5, {len(masks)} proposals"
        )
        first = [masks[k] for k in sorted(masks)[:SHOWN_PROPOSALS]]
        blank = Region.empty(*size).rle()
        pictures = [
            overlay(sample.image, list(truth.values())),
            overlay(sample.image, [blank if m is empty else m for m in found]),
            overlay(sample.image, first),
        ]
        rows.append((caption, pictures))
    name = f"{cell.dataset.replace(':', '_')}-{cell.model}"
    picture = _sheet(rows)
    return write_aside(folder / f"sheet_{name}.png", lambda path: _save_png(picture, path))


def _objects(cell: CellView) -> pd.DataFrame:
    columns = ["image_id", "cluster_id", "object_id", "n_proposals", *(f"ranks_{name}" for name in SETS)]
    frame = cell.scored(columns, OBJECTS)
    if frame.empty:
        raise _nothing(cell)
    return frame


def _nothing(cell: CellView) -> RunError:
    remedy = "issue the run's command again"
    return RunError(f"{cell.dataset}, {cell.label}: there is nothing to draw", where=cell.path, found="no objects", remedy=remedy)


_HEADS = ("ground truth", "proposals that found an object", f"first {SHOWN_PROPOSALS} proposals")


def _sheet(rows: Sequence[tuple[str, Sequence[UInt8Array]]]) -> UInt8Array:
    """An image a row: its caption, and three pictures below it."""
    gap, caption_px = 8, 24
    strips = [_strip([np.full((1, TILE_PX, 3), 255, np.uint8)] * 3, gap)]
    strips[0] = np.full((26, strips[0].shape[1], 3), 255, np.uint8)
    for i, head in enumerate(_HEADS):
        _write(strips[0], head, 2 + i * (TILE_PX + gap), 18)
    for caption, pictures in rows:
        strip = _strip([_tile(p) for p in pictures], gap)
        above = np.full((caption_px, strip.shape[1], 3), 255, np.uint8)
        _write(above, caption, 2, 17)
        strips += [above, strip]
    return np.pad(np.concatenate(strips), ((gap, gap), (gap, gap), (0, 0)), constant_values=255)


def _strip(tiles: Sequence[UInt8Array], gap: int) -> UInt8Array:
    height = max(t.shape[0] for t in tiles)
    out = np.full((height, len(tiles) * TILE_PX + (len(tiles) - 1) * gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        x = i * (TILE_PX + gap)
        out[: tile.shape[0], x : x + tile.shape[1]] = tile
    return out


def _write(picture: UInt8Array, text: str, x: int, y: int) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)


def _tile(picture: UInt8Array) -> UInt8Array:
    scale = TILE_PX / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _save_png(picture: UInt8Array, path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path, format="PNG")
