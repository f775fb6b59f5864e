"""Pictures and lists of edge runs, from stored rows: the precision-recall curve, every image's own best F, and a sheet of maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from sambench.errors import RunError, UsageError
from sambench.files.writing import write_aside, write_csv
from sambench.layout import style
from sambench.metrics.edges import EdgeScores, edge_scores, f_measure
from sambench.results.names import line_names
from sambench.results.stored_masks import dataset_of
from sambench.store.views import CellView
from sambench.tasks.edge import map_of
from sambench.tasks.edge_measures import BY_PEOPLE, counts_of
from sambench.types import UInt8Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ISO_F = tuple(k / 10 for k in range(1, 10))
N_SHOWN = 8
TILE_PX = 300


def scores_of(cell: CellView) -> tuple[EdgeScores, list[str]]:
    """A cell's scores and its image ids, in one order. Raises RunError where images are missing or failed, or there is none."""
    live = cell.live
    if live.n_done < live.n_wanted or not live.n_done:
        raise RunError(
            f"{cell.dataset}, {cell.label}: no curve of a part of a set",
            where=cell.path,
            expected=f"{live.n_wanted} images",
            found=f"{live.n_done}",
            remedy="issue the run's command again, or choose the part with --limit or --subset",
        )
    frame = cell.scored(["image_id", "cluster_id", "t", "cnt_r", "sum_r", "cnt_p", "sum_p"])
    thresholds, counts, _ = counts_of(frame)
    return edge_scores(counts, thresholds), sorted(frame["image_id"].unique().tolist())


def write_pr_curve(cells: Sequence[CellView], folder: Path) -> list[Path]:
    """pr_curve.png, with lines of equal F, and pr_curve.csv: a row per run and threshold. Returns both paths."""
    found = [(cell, scores_of(cell)[0]) for cell in cells]
    png = write_aside(folder / "pr_curve.png", lambda path: _draw_curves(found, path))
    header = ("model", "run", "dataset", "threshold", "recall", "precision", "f")
    rows = [
        (cell.label, cell.run_name, cell.dataset, *map(float, point))
        for cell, s in found
        for point in zip(s.thresholds, s.recall, s.precision, s.f, strict=True)
    ]
    return [png, write_csv(folder / "pr_curve.csv", header, rows)]


def _draw_curves(found: Sequence[tuple[CellView, EdgeScores]], path: Path) -> None:
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(6.4, 5.6), layout="constrained")
        axes = figure.add_subplot()
        _iso_lines(axes)
        for i, ((_, s), name) in enumerate(zip(found, line_names([c for c, _ in found]), strict=True)):
            order = np.argsort(s.thresholds)
            people = s.thresholds.tolist() == [BY_PEOPLE]  # one point, of which there is no curve
            numbers = f"F {s.ods:.3f}" if people else f"ODS {s.ods:.3f}, OIS {s.ois:.3f}, AP {s.ap:.3f}"
            axes.plot(s.recall[order], s.precision[order], color=style.colour(i), label=f"{name}: {numbers}")
            axes.plot([s.ods_recall], [s.ods_precision], "o", color=style.colour(i))
        axes.plot([], [], "o", color=style.INK, label="dots: at the threshold of ODS; grey lines: equal F")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision", aspect="equal")
        axes.set_title(", ".join(dict.fromkeys(c.dataset for c, _ in found)))
        figure.legend(loc="outside lower left", alignment="left")
        path.write_bytes(style.saved(figure, "png", dpi=160))


def _iso_lines(axes: Axes) -> None:
    for f in ISO_F:
        recall = np.geomspace(f / (2 - f), 1, 200)  # from where precision is 1
        axes.plot(recall, f * recall / (2 * recall - f), color="#d9d9d9", lw=0.8, zorder=0)
        axes.text(1.01, f / (2 - f), f"F = {f:.1f}", color="#8c8c8c", fontsize=7.5, va="center", clip_on=False)


def write_image_table(cell: CellView, folder: Path) -> Path:
    """ois_<dataset>-<model>.csv: for every image its best F with threshold, recall and precision, and F at the set's ODS threshold.

    Best images first.
    """
    frame = cell.scored(["image_id", "cluster_id", "t", "cnt_r", "sum_r", "cnt_p", "sum_p", "n_annotators"])
    scores, image_ids = scores_of(cell)
    annotators = frame.groupby("image_id")["n_annotators"].first()
    thresholds, counts, _ = counts_of(frame)
    cnt_r, sum_r, cnt_p, sum_p = np.moveaxis(counts, -1, 0)
    recall, precision = cnt_r / np.maximum(sum_r, 1), cnt_p / np.maximum(sum_p, 1)
    f = f_measure(recall, precision)
    at_set = int(np.abs(thresholds - scores.ods_threshold).argmin())
    rows = []
    for i in np.argsort(-scores.image_f, kind="stable"):
        best = int(f[i].argmax())
        image_id = image_ids[i]
        numbers = (scores.image_f[i], scores.image_threshold[i], recall[i, best], precision[i, best], f[i, at_set])
        rows.append((image_id, int(annotators[image_id]), *map(float, numbers)))
    header = ("image_id", "n_annotators", "best_f", "threshold", "recall", "precision", "f_at_ods_threshold")
    return write_csv(folder / f"ois_{_name(cell)}.csv", header, rows)


def write_sheet(cell: CellView, folder: Path, *, n: int = N_SHOWN, root: Path | None = None) -> Path:
    """sheet_<dataset>-<model>.png: image, annotators' mean and edge map, of images spread evenly from the best F to the worst.

    Needs the dataset's files and stored maps. Raises UsageError where the run kept none, DataMissingError.
    """
    scores, image_ids = scores_of(cell)
    ranked = np.argsort(-scores.image_f, kind="stable")
    chosen = [int(i) for i in ranked[np.unique(np.linspace(0, len(ranked) - 1, min(n, len(ranked))).round().astype(int))]]
    maps = stored_maps(cell, [image_ids[i] for i in chosen])
    dataset = dataset_of(cell, root)
    tiles = []
    for i in chosen:
        sample = dataset.load(image_ids[i])
        truth = np.mean(np.stack(sample.boundaries), axis=0)
        edges = maps[image_ids[i]]
        edges = edges.mean(axis=0) if edges.ndim == 3 else edges
        caption = f"{image_ids[i]}   F {scores.image_f[i]:.3f} at {scores.image_threshold[i]:.2f}"
        tiles.append((caption, sample.image, truth, np.asarray(edges, np.float64)))
    picture = _sheet(tiles)
    return write_aside(folder / f"sheet_{_name(cell)}.png", lambda path: _save_png(picture, path))


def stored_maps(cell: CellView, image_ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The kept edge maps by image id. Raises UsageError where the run kept none."""
    table = cell.store.table(image_ids, ["image_id", "edge_map"]).to_pylist()
    maps = {row["image_id"]: map_of(row["edge_map"]) for row in table if row["edge_map"] is not None}
    if len(maps) < len(image_ids):
        raise UsageError(
            "the run kept no edge maps to show",
            where=cell.path,
            remedy="run it with --save-maps into another directory (--out)",
        )
    return maps


_HEADS = ("image", "mean of the annotators", "edge map of the model, scaled")


def _sheet(tiles: Sequence[tuple[str, UInt8Array, npt.NDArray[Any], npt.NDArray[Any]]]) -> UInt8Array:
    """Two entries a row, each of three pictures below a caption; what the pictures are stands above each column of entries."""
    gap, caption_px = 8, 22
    entries = []
    for caption, image, truth, edges in tiles:
        pictures = [_tile(image), _tile(ink(truth)), _tile(ink(scaled(edges)))]
        strip = np.full((caption_px + TILE_PX, 3 * TILE_PX + 2 * gap, 3), 255, np.uint8)
        _write(strip, caption, 2)
        x = 0
        for picture in pictures:
            strip[caption_px : caption_px + picture.shape[0], x : x + picture.shape[1]] = picture
            x += TILE_PX + gap
        entries.append(strip[: caption_px + max(p.shape[0] for p in pictures)])
    framed = [np.pad(e, ((gap, gap), (gap, 2 * gap), (0, 0)), constant_values=255) for e in entries]
    columns = [np.concatenate([_headings(gap), *column]) for column in (framed[0::2], framed[1::2]) if column]
    height = max(c.shape[0] for c in columns)
    padded = [np.pad(c, ((0, height - c.shape[0]), (0, 0), (0, 0)), constant_values=255) for c in columns]
    return np.concatenate(padded, axis=1)


def _headings(gap: int) -> UInt8Array:
    """What the three pictures of an entry are, as wide as one with its frame."""
    strip = np.full((26, 3 * TILE_PX + 5 * gap, 3), 255, np.uint8)
    for i, head in enumerate(_HEADS):
        _write(strip, head, gap + 2 + i * (TILE_PX + gap), 18)
    return strip


def _write(picture: UInt8Array, text: str, x: int, y: int = 16) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (40, 40, 40), 1, cv2.LINE_AA)


def _tile(picture: UInt8Array) -> UInt8Array:
    scale = TILE_PX / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def ink(strength: npt.NDArray[Any]) -> UInt8Array:
    """Black on white; thin lines are widened by averaging alone, so a power below 1 keeps them visible."""
    shade = np.rint(255 * (1 - np.sqrt(np.clip(strength, 0, 1)))).astype(np.uint8)
    return np.repeat(shade[:, :, None], 3, axis=2)


def scaled(strength: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An edge map by its own strongest edges, for looking at: of a model whose values are all small nothing else is seen."""
    return strength / max(float(np.quantile(strength, 0.995)), 1e-9)


def _save_png(picture: UInt8Array, path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path, format="PNG")


def _name(cell: CellView) -> str:
    return f"{cell.dataset.replace(':', '_')}-{cell.model}"
