"""Figures 11 and 18: the share of each score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sambench.layout import style
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    shown_name,
)
from sambench.report.rated import GROUND_TRUTH, NO_RATINGS, notes_on, place_of, scored
from sambench.results.names import name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PANELS_ACROSS = 3


def rating_histograms(definition: Definition, inputs: Inputs) -> Section:
    """Figures 11 and 18: the share of each score, a panel a dataset. options: prompt (point or box)."""
    from sambench.metrics.ratings import histogram

    if not inputs.ratings:
        return definition.filled(absent=(f"Not measured: {NO_RATINGS}.",))
    prompt = definition.options["prompt"]
    frame = scored(inputs, prompt)
    if frame.empty:
        return definition.filled(absent=(f"Not measured: no ratings of masks from a {prompt} are among those given.",))
    datasets = list(dict.fromkeys(frame["dataset"]))
    models = sorted(set(frame["model"]), key=lambda m: (m == GROUND_TRUTH, m))
    counts = {
        (str(d), str(m)): histogram(g["score"].to_numpy(np.float64))
        for (d, m), g in frame.groupby(["dataset", "model"], sort=False)
    }
    shares = {key: n / n.sum() for key, n in counts.items()}
    across = min(PANELS_ACROSS, len(datasets))
    down = -(-len(datasets) // across)
    picture = Picture(
        definition.id,
        f"Ratings of masks from a {prompt}: share of each score",
        f"Histograms of ratings of {', '.join(map(name_of, models))} on {len(datasets)} datasets",
        lambda figure: _draw_histograms(figure, shares, datasets, models, across, down),
        ("dataset", "model", "score", "n", "share"),
        tuple((d, m, s + 1, int(counts[d, m][s]), float(shares[d, m][s])) for d, m in counts for s in range(10)),
        (max(4.7, 2.4 * across), 0.7 + 1.7 * down),
        notes_on(inputs),
    )
    return definition.filled(pictures=(picture,))


def _draw_histograms(
    figure: Figure, shares: dict[tuple[str, str], Any], datasets: Sequence[str], models: Sequence[str], across: int, down: int
) -> None:
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    width = 0.84 / len(models)
    scores = np.arange(1, 11)
    for at, axes in enumerate(grid.flat):
        if at >= len(datasets):
            axes.set_visible(False)
            continue
        for i, model in enumerate(models):
            held = shares.get((datasets[at], model))
            if held is not None:
                left, colour = scores - 0.42 + width * (i + 0.5), style.colour(place_of(i, model))
                axes.bar(left, 100 * held, width, color=colour, label=name_of(model))
        axes.set_title(shown_name(datasets[at]))
        axes.set_xticks(scores)
        axes.set_xlim(0.4, 10.6)
        axes.tick_params(labelbottom=True)
        axes.grid(axis="y")
    figure.supxlabel("rating, 1 (worst) to 10 (best)", fontsize=9)
    for row in grid:
        row[0].set_ylabel("percent of ratings")
    style.legend_above(grid[0][0], handle=1.0)


SECTION = rating_histograms
