"""Conformance of edge detectors: size, range, determinism, small images. See :mod:`sambench.conformance`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sambench.conformance import scenes
from sambench.conformance.findings import Check, Finding, Probe
from sambench.models.contract import examine
from sambench.types import Sample

SIZES = ((8, 8), (3, 60), (97, 31))


def _finding(name: str, ok: bool, found: str, expected: str = "", remedy: str = "") -> Finding:
    return Finding(name, "pass" if ok else "fail", found, expected, remedy)


def _map_of(probe: Probe, sample: Sample) -> npt.NDArray[Any]:
    return np.asarray(probe.model.edges(sample.image.copy()))


def _wrong(edges: npt.NDArray[Any], sample: Sample) -> str:
    """What is wrong with an edge map, '' if nothing is."""
    size = (sample.height, sample.width)
    if edges.dtype == np.bool_:
        return "" if edges.ndim == 3 and edges.shape[1:] == size and len(edges) else f"bool {list(edges.shape)}"
    if edges.shape != size or edges.dtype not in (np.float32, np.float64):
        return f"{edges.dtype} {list(edges.shape)}"
    if not np.isfinite(edges).all():
        return "values that are not finite"
    low, high = float(edges.min()), float(edges.max())
    return "" if low >= 0 and high <= 1 else f"values from {low:g} to {high:g}"


def _form(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    edges = _map_of(probe, sample)
    wrong = _wrong(edges, sample)
    expected = f"float [{sample.height}, {sample.width}] in [0, 1], or bool [T, {sample.height}, {sample.width}]"
    yield _finding("map", not wrong, wrong or f"{edges.dtype} {list(edges.shape)}", expected, "return the strength of every pixel")
    yield _finding("attributes", True, f"identity holds {', '.join(examine(probe.model).identity) or 'nothing'}")


def _same(probe: Probe) -> Iterator[Finding]:
    sample = scenes.two_discs()
    same = np.array_equal(_map_of(probe, sample), _map_of(probe, sample))
    yield _finding("determinism", same, "the same map twice" if same else "another map the second time", "the same map")


def _on_discs(probe: Probe) -> Iterator[Finding]:
    """The rim of a disc is stronger than the ground, and where (x, y) says it is."""
    sample = scenes.two_discs()
    edges = _map_of(probe, sample)
    strength = edges.mean(axis=0) if edges.ndim == 3 else edges
    rim = np.zeros(strength.shape, np.bool_)
    for i in sample.instances:
        x0, y0, x1, y1 = i.box_xyxy
        for x, y in ((x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1)):
            rim[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = True
    on, off = float(strength[rim].mean()), float(strength[~rim].mean())
    yield _finding("edges", on > off, f"mean strength {on:.3f} on rims, {off:.3f} elsewhere", "more on the rims of plain shapes")


def _sizes(probe: Probe) -> Iterator[Finding]:
    for height, width in SIZES:
        sample = scenes.plain(height, width)
        wrong = _wrong(_map_of(probe, sample), sample)
        yield _finding(f"image of {height} x {width}", not wrong, wrong or "answered", "a map of the image's size in [0, 1]")


EDGE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("map", _form),
    ("determinism", _same),
    ("edges", _on_discs),
    ("image sizes", _sizes),
)
