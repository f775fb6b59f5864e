"""Figure 9b: mean ratings by dataset and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sambench.layout import style
from sambench.report.definitions import Definition
from sambench.report.document import Picture, Section
from sambench.report.inputs import (
    Inputs,
    shown_name,
)
from sambench.report.rated import NO_RATINGS, notes_on, place_of, scored
from sambench.results.names import name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Mean:
    dataset: str
    model: str
    mean: float
    low: float
    high: float
    n: int


def rating_means(definition: Definition, inputs: Inputs) -> Section:
    """Figure 9b: mean rating with its 95 % interval, by dataset and model."""
    from sambench.metrics.ratings import mean_rating

    if not inputs.ratings:
        return definition.filled(absent=(f"Not measured: {NO_RATINGS}.",))
    means = []
    for (dataset, model), group in scored(inputs).groupby(["dataset", "model"], sort=False):
        found = mean_rating(group.groupby("job")["score"].mean().to_numpy(np.float64))
        means.append(_Mean(str(dataset), str(model), found.mean, found.low, found.high, found.n))
    datasets = list(dict.fromkeys(m.dataset for m in means))
    models = sorted({m.model for m in means}, key=lambda name: -float(np.mean([m.mean for m in means if m.model == name])))
    picture = Picture(
        definition.id,
        "Mean ratings of masks, from 1 to 10",
        f"Mean ratings of {', '.join(map(name_of, models))} on {len(datasets)} datasets",
        lambda figure: _draw_means(figure, means, datasets, models),
        ("dataset", "model", "mean", "ci_low", "ci_high", "n_masks"),
        tuple((m.dataset, m.model, m.mean, m.low, m.high, m.n) for m in means),
        (4.7, 0.9 + 0.2 * len(datasets) * (len(models) + 1) * 0.8),
        ("Points: mean over masks, several ratings of a mask averaged; lines: 95 % interval over masks.", *notes_on(inputs)),
    )
    return definition.filled(pictures=(picture,))


def _draw_means(figure: Figure, means: Sequence[_Mean], datasets: Sequence[str], models: Sequence[str]) -> None:
    axes = figure.add_subplot()
    step = 0.8 / len(models)
    for i, model in enumerate(models):
        held = [m for m in means if m.model == model]
        y = [-datasets.index(m.dataset) + 0.4 - step * (i + 0.5) for m in held]
        x = np.array([m.mean for m in held])
        spans = [x - [m.low for m in held], np.array([m.high for m in held]) - x]
        look = style.series(place_of(i, model), line=False)
        axes.errorbar(x, y, xerr=spans, **look, label=name_of(model), elinewidth=1.1, capsize=0)
    axes.set_yticks([-i for i in range(len(datasets))], [shown_name(d) for d in datasets])
    axes.set(xlabel="mean rating, 1 (worst) to 10 (best)", ylim=(-len(datasets) + 0.4, 0.6), xlim=(0.75, 10.25))
    axes.set_xticks(range(1, 11))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for edge in range(len(datasets) - 1):
        axes.axhline(-edge - 0.5, color=style.GRID, lw=0.7)
    axes.grid(axis="x")
    style.legend_above(axes)


SECTION = rating_means
