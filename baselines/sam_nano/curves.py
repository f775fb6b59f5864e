"""Condense curves of training runs (means of 20 steps) and draw them.

    python baselines/sam_nano/curves.py OUT_FOLDER NAME=runs/nano/curve.csv [NAME=...]
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

EVERY = 20
SHOWN = {
    "loss": "loss",
    "dense": "dense loss",
    "iou_1_point_top": "IoU, 1 click, first-ranked",
    "iou_1_point_best": "IoU, 1 click, best of 3",
    "iou_box": "IoU, box",
    "iou_last_point": "IoU, last click",
}


def condense(source: Path, out: Path) -> list[dict[str, float]]:
    """Means of EVERY steps, written to `out`."""
    with source.open() as f:
        rows = list(csv.DictReader(f))
    means = []
    for i in range(0, len(rows), EVERY):
        part = rows[i : i + EVERY]
        mean = {"step": float(part[-1]["step"]), "seconds": float(part[-1]["seconds"])}
        for name in part[0]:
            if name not in mean:
                values = [float(r[name]) for r in part if r[name] not in ("", "nan", None)]
                mean[name] = sum(values) / len(values) if values else math.nan
        means.append(mean)
    with out.open("w", newline="") as f:
        table = csv.DictWriter(f, means[0])
        table.writeheader()
        table.writerows({k: f"{v:.5g}" if k not in ("step", "seconds") else f"{v:g}" for k, v in m.items()} for m in means)
    return means


def draw(curves: dict[str, list[dict[str, float]]], out: Path) -> None:
    """One small panel a figure, one line a run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 3, figsize=(11, 5.5), sharex=True, layout="constrained")
    for ax, (name, title) in zip(axes.flat, SHOWN.items(), strict=True):
        for i, (run, rows) in enumerate(curves.items()):
            shown = [(r["step"], r[name]) for r in rows if name in r and not math.isnan(r[name])]
            if shown:
                ax.plot(*zip(*shown, strict=True), label=run, color=f"C{i}", linewidth=1)
        ax.set_title(title, fontsize=9)
        ax.grid(alpha=0.3)
        if name == "loss":
            ax.set_ylim(0.8, 5)
    handles = {label: h for ax in axes.flat for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("step")
    fig.savefig(out, dpi=66)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    runs = dict(a.split("=", 1) for a in sys.argv[2:])
    draw({name: condense(Path(path), folder / f"{name}.csv") for name, path in runs.items()}, folder / "curves.png")
