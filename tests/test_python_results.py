"""What `import sambench` shows, and how results show themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import sambench
from sambench.engine.progress import CellProgress, PythonProgress
from sambench.errors import RunError, UsageError
from tests.helpers.cells import Maker


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make = Maker(tmp_path / "runs")
    make.cell("demo", n_images=3)
    make.cell("demo", run="box-grabcut-1a1a1a1a", task="box", n_images=3)
    return tmp_path / "runs"


def test_what_is_public_is_listed() -> None:
    public = [name for name in dir(sambench) if not name.startswith("_")]
    assert public == sorted(sambench.__all__)
    assert {"run", "load", "Results", "metrics"} <= set(public)
    assert all(getattr(sambench, name) is not None for name in public)


def test_every_protocol_has_a_table(runs: Path) -> None:
    results = sambench.load(runs=runs)
    assert [title.split(",")[0] for title in results.tables()] == ["box@1", "point@1"]
    assert all(len(frame) == 1 for frame in results.tables().values())
    with pytest.raises(UsageError, match="no single table") as e:
        results.table()
    assert ".tables()" in str(e.value)
    alone = sambench.load("point-grabcut", runs)
    (frame,) = alone.tables().values()
    assert alone.table().equals(frame)
    assert sambench.load(["point-grabcut", "box-grabcut", "point-grabcut"], runs=runs).paths == (
        sambench.load("point-grabcut", runs).paths + sambench.load("box-grabcut", runs).paths
    )


def test_results_show_their_tables(runs: Path) -> None:
    results = sambench.load(runs=runs)
    text, page = repr(results), results._repr_html_()
    assert page is not None
    for shown in (text, page):
        assert "box@1" in shown
        assert "point@1" in shown
        assert "mIoU" in shown
    assert not re.search(r" +$", text, flags=re.MULTILINE)
    assert "<script" not in page
    assert repr(sambench.Results(())) == "Results(no cells)"


def test_results_that_are_gone_say_so_and_do_not_raise(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = sambench.load(runs=runs)

    def gone(self: sambench.Results) -> Any:
        raise RunError("a shard is damaged", where=runs)

    monkeypatch.setattr(sambench.Results, "_tables", gone)
    assert str(results.paths[0]) in repr(results)
    assert "a shard is damaged" in repr(results)
    assert results._repr_html_() is None


@pytest.mark.parametrize(
    ("keyword", "said"),
    [("dataset", "'datasets'"), ("modle", "'model'"), ("limits", "'limit'"), ("clicks", "settings={'clicks': ...}")],
)
def test_a_wrong_keyword_gets_the_right_one(keyword: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"unknown argument '{keyword}'") as e:
        sambench.run("point", **{keyword: "demo"})  # type: ignore[arg-type]
    assert said in e.value.remedy
    with pytest.raises(UsageError, match="unknown argument"):
        sambench.evaluate(object(), **{keyword: "demo"})  # type: ignore[arg-type]


def _events(n: int) -> list[dict[str, Any]]:
    ids = [*map(str, range(n - 1)), "i"]
    begin = {"event": "begin", "cell_id": "c", "model": "m<1>", "dataset": "d", "n_images": n + 2, "missing": ids, "n_objects": 9}
    image = {"event": "image", "cell_id": "c", "n_objects": 2, "status": "ok", "error": "", "running": {"mIoU@1": (1.5, 2)}}
    images = [image | {"image_id": i} for i in ids]
    return [begin, {"event": "cell", "cell_id": "c"}, *images[:-1], images[-1] | {"status": "failed", "error": "torn"}]


def test_progress_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PythonProgress()
    for event in _events(3):
        progress.on_event(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "m<1> on d: going on, 2 of 5 images are done"
    assert "image i failed: torn" in lines[-2]
    assert re.match(r"m<1> on d: 5/5 images, 6 objects, .* so far mIoU@1 75.0, 1 FAILED$", lines[-1])


def test_progress_in_a_notebook_is_one_display(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    progress = PythonProgress()
    progress.in_notebook = True
    monkeypatch.setattr(PythonProgress, "_draw", lambda self: drawn.append(self.as_html()))
    for event in _events(2):
        progress.on_event(event)
    assert '<progress value="2" max="4">' in drawn[0]
    assert '<progress value="4" max="4">' in drawn[-1]
    assert "m&lt;1&gt; on d" in drawn[-1]
    assert "failed: torn" in drawn[-1]


def test_time_left_is_told_while_images_are_missing() -> None:
    cell = CellProgress("m on d", 10, frozenset("abcdefghij"))
    cell.started -= 10
    for i in "abcde":
        cell.take({"image_id": i, "n_objects": 1, "status": "ok", "running": {}})
    assert re.search(r"5/10 images, .* left$", cell.text())
