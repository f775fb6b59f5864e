"""Properties of datasets, each read once a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sambench.errors import SambenchError
from sambench.metrics.properties import (
    MaskProperties,
    mask_properties,
)
from sambench.provenance import keyed_order
from sambench.report.inputs import (
    Inputs,
)
from sambench.sources.datasets import build, resolve

NOT_NAMED = "Not measured: no dataset is named (--properties NAME,NAME)."
MAX_IMAGES = 2000
PANELS_ACROSS = 3


@dataclass(frozen=True)
class Properties:
    dataset: str
    n_images: int
    n_all: int
    counts: Any
    masks: MaskProperties


def measured(inputs: Inputs, most: int) -> tuple[list[Properties], list[str]]:
    """The named datasets' properties, each read once a report; and why some have none."""
    held: dict[str, Properties] = inputs.cache.setdefault("properties", {})
    why = []
    for name in inputs.masks:
        if name not in held:
            try:
                held[name] = _read(name, most)
            except SambenchError as e:
                why.append(f"{name}: {e.message}.")
    return [held[n] for n in inputs.masks if n in held], why


def _read(name: str, most: int) -> Properties:
    found = resolve(name)
    dataset = build(found)
    ids = [r.image_id for r in dataset.index()]
    chosen = keyed_order(ids, found.card.id)[:most]
    counts, regions = [], []
    for image_id in chosen:
        sample = dataset.load(image_id)
        counts.append(len(sample.instances))
        regions += [o.region for o in sample.instances]
    return Properties(name, len(chosen), len(ids), np.array(counts), mask_properties(regions))


def notes_on(found: Sequence[Properties]) -> list[str]:
    parts = [f"{p.dataset}: {p.n_images:,} of {p.n_all:,} images, in keyed-hash order" for p in found if p.n_images < p.n_all]
    counted = ", ".join(f"{len(p.masks.relative_size):,} masks in {p.n_images:,} images of {p.dataset}" for p in found)
    return [f"{counted}.", *(f"PARTIAL: {p}." for p in parts)]
