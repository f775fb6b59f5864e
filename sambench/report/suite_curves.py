"""Means over datasets by clicks, with their intervals: what lines of figures are drawn of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from sambench.metrics.bootstrap import Float64Array, resampled_means
from sambench.paper.evidence import Entry, System
from sambench.report.inputs import (
    Inputs,
)
from sambench.results.image_sets import labelled, set_names
from sambench.results.over_datasets import coverage, interval_over_datasets, mean_over_datasets
from sambench.tasks.summary import Bootstrap

Systems = Mapping[System, Mapping[str, Entry]]


def shared_datasets(systems: Systems, inputs: Inputs) -> tuple[list[str], str]:
    """The datasets that every system has complete: of the suite, else of any, else partial ones; and what must be said of them."""
    shared = [d for d in next(iter(systems.values())) if all(d in by for by in systems.values())]
    if not shared:
        return [], "No dataset was measured by all models of the runs given: their curves would not be of the same objects."
    whole = [d for d in shared if not any(by[d].partial for by in systems.values())]
    here = coverage(inputs.members, {d: d in whole for d in shared})
    members = list(here.complete)
    if here.whole:
        return members, f"Mean over the {here.wanted} datasets of {inputs.suite.id}."
    names = ", ".join(members or whole or shared)
    if members:
        of = f"{len(members)} of the {here.wanted} datasets of {inputs.suite.id}"
        return members, f"Mean over {of}, not comparable with the suite's: {names}."
    if whole:
        return whole, f"Mean over datasets outside of {inputs.suite.id}: {names}."
    return shared, f"PARTIAL: mean over parts of {names}."


def named_lines(entries: Sequence[Sequence[Entry]], systems: Systems) -> list[tuple[str, str]]:
    """(label in the data, name in the figure) of each system, with the images of its line where they are not all the same."""
    images = set_names([[e.cell for e in of] for of in entries])
    return [(labelled(s.label, of), labelled(s.name, of)) for s, of in zip(systems, images, strict=True)]


Curve = dict[int, tuple[float, float, float]]


def curves_of(entries: Sequence[Entry], bootstrap: Bootstrap) -> tuple[Curve, Curve]:
    """(mIoU, low, high) by click count, of the top mask and of the oracle: means over datasets, clusters resampled within each."""
    draws: dict[tuple[str, int], list[Float64Array | None]] = {}
    means: dict[tuple[str, int], list[float]] = {}
    for i, entry in enumerate(entries):
        frame = entry.cell.scored(["k", "iou_top", "iou_oracle", "n_candidates", "cluster_id"])
        for k, rows in frame.groupby("k", sort=True):
            count = int(str(k))
            columns = ["iou_top", "iou_oracle"] if (rows["n_candidates"] > 1).any() else ["iou_top"]
            values = rows[columns].to_numpy(np.float64)
            clusters = rows["cluster_id"].to_numpy()
            drawn = resampled_means(values, clusters, n_resamples=bootstrap.n_resamples, seed=[bootstrap.seed, i])
            known = len(set(clusters)) > 1
            for j, name in enumerate(columns):
                draws.setdefault((name, count), []).append(drawn[:, j] if known else None)
                means.setdefault((name, count), []).append(math.fsum(values[:, j]) / len(values))
    out: dict[str, Curve] = {"iou_top": {}, "iou_oracle": {}}
    for (name, count), held in means.items():
        if len(held) == len(entries):
            out[name][count] = (mean_over_datasets(held), *interval_over_datasets(draws[name, count], bootstrap.level))
    return out["iou_top"], out["iou_oracle"]
