"""`rescore --evaluator`: what each evaluator of others says of a run, and what is said where it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

import sambench
from sambench.errors import UsageError
from sambench.results.instance_evaluators import EVALUATORS, rows_by
from sambench.results.rescore import rescore
from sambench.store.views import CellView
from tests.helpers.detection_worlds import truth_and_results, write


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, CellView]]:
    """A run of a file's own masks where annotation is federated, and where it is not."""
    root, found = tmp_path_factory.mktemp("evaluators"), {}
    with pytest.MonkeyPatch.context() as m:
        m.setenv("SAMBENCH_HOME", str(root / "home"))
        for federated in (False, True):
            at = root / str(federated)
            card = write(at, *truth_and_results(federated=federated, seed=21))
            settings = {"boxes": str(at / "results.json"), "boundary": True}
            run = sambench.run("instances", str(card), "detections", settings=settings, root=str(at), out=at / "runs", workers=1)
            found[federated] = run.cells[0]
        yield found


def check(evaluator: str, cell: CellView, within: float) -> None:
    rows = rows_by(evaluator, cell)
    keys = ("metric", "variant", "threshold", "group", "max_dets")
    ours = {tuple(r[k] for k in keys): r for r in rescore(cell)}
    assert len(rows) >= 6
    for row in rows:
        mine = ours[tuple(row[k] for k in keys)]
        assert list(row) == list(mine)
        assert row["value"] == pytest.approx(mine["value"], abs=within, nan_ok=True)
        assert {k: row[k] for k in row if k not in ("value", "n_clusters", "n_candidates")} == {
            k: mine[k] for k in mine if k not in ("value", "n_clusters", "n_candidates")
        }


@pytest.mark.parametrize("federated", [False, True])
def test_pycocotools_says_the_runs_numbers(cells: dict[bool, CellView], federated: bool) -> None:
    check("pycocotools", cells[federated], 0)
    assert {r["variant"] for r in rows_by("pycocotools", cells[federated])} == {"mask"}


@pytest.mark.parametrize("federated", [False, True])
def test_hotcoco_says_the_runs_numbers(cells: dict[bool, CellView], federated: bool) -> None:
    pytest.importorskip("hotcoco")
    check("hotcoco", cells[federated], 1e-12)


def test_lvis_says_the_runs_numbers(cells: dict[bool, CellView]) -> None:
    pytest.importorskip("lvis")
    check("lvis", cells[True], 1e-9)


def test_what_is_not_installed_and_what_does_not_fit(cells: dict[bool, CellView], monkeypatch: pytest.MonkeyPatch) -> None:
    for evaluator in EVALUATORS[1:]:
        monkeypatch.setitem(sys.modules, evaluator, None)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"the evaluator {evaluator} is not installed") as e:
            rows_by(evaluator, cells[True])
        assert "pip install" in str(e.value)
    monkeypatch.setitem(sys.modules, "lvis", SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="only federated annotation"):
        rows_by("lvis", cells[False])
    with pytest.raises(UsageError, match="did you mean 'pycocotools'"):
        rows_by("pycocotool", cells[False])
