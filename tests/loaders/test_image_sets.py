"""Figures of runs over different images say so in the figure itself, line by line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest

from sambench.report.edges import write_pr_curve
from sambench.results.image_sets import labelled, set_names
from sambench.store.views import CellView
from tests.helpers.cells import edge_cell, flat, point_cell


def point(out: Path, model: str, **options: Any) -> CellView:
    return point_cell(out / model, options.pop("dataset", "ppdls"), model, flat(0.5), **options)


def test_lines_of_one_set_need_no_word(tmp_path: Path) -> None:
    cells = [point(tmp_path, model) for model in ("a", "b")]
    assert set_names([[c] for c in cells]) == ["", ""]
    assert set_names([]) == []
    assert labelled("sam", "") == "sam"


def test_lines_of_other_images_are_named(tmp_path: Path) -> None:
    whole, first, larger = point(tmp_path, "a"), point(tmp_path, "b", limit=2), point(tmp_path, "c", n_images=5)
    assert set_names([[whole], [first], [larger]]) == ["3 images", "2 of 3 images", "5 images"]
    listed = point(tmp_path, "d", subset={"name": "file:val", "digest": "x"})
    assert set_names([[listed], [larger]]) == ["val: 3 images", "5 images"]


def test_sets_of_equal_size_are_told_apart(tmp_path: Path) -> None:
    """One image failed in each of two runs, another one."""
    cells = [point(tmp_path, model) for model in ("a", "b")]
    for cell, lost in zip(cells, ("im0", "im1"), strict=True):
        shard = cell.store.read(0)
        shard.images[lost] = dataclasses.replace(shard.images[lost], status="failed")
        cell.store.path(0).unlink()
        cell.store.write(0, shard)
    names = set_names([[c] for c in cells])
    assert all(n.startswith("2 of 3 images, set ") for n in names)
    assert names[0] != names[1]


def test_only_the_datasets_that_differ_are_named(tmp_path: Path) -> None:
    a = [point(tmp_path / "1", "a"), point(tmp_path / "2", "a", dataset="gtea")]
    b = [point(tmp_path / "1", "b"), point(tmp_path / "2", "b", dataset="gtea", limit=1)]
    assert set_names([a, b]) == ["gtea: 3 images", "gtea: 1 of 3 images"]
    assert set_names([a[:1], b[1:]]) == ["ppdls: 3 images", "gtea: 1 of 3 images"]


def test_the_curve_of_edges_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [edge_cell(tmp_path / str(n), f"m{n}", [(7, 10, 7, 10)] * 99, n_images=n) for n in (2, 3)]
    drawn: list[str] = []

    def legend(figure: matplotlib.figure.Figure, *_: Any, **__: Any) -> None:
        drawn.extend(t for axes in figure.axes for t in axes.get_legend_handles_labels()[1])

    monkeypatch.setattr(matplotlib.figure.Figure, "legend", legend)
    write_pr_curve(cells, tmp_path)
    assert ["(2 images)" in drawn[0], "(3 images)" in drawn[1]] == [True, True]
