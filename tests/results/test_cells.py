"""Cells of runs are found, read, moved and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sambench import layout
from sambench.errors import RunError, UsageError
from sambench.results.tables import table_of
from sambench.store.leases import try_lease
from sambench.store.lookup import find_cells
from sambench.store.views import read_cell
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import CLICKS, RUN, Maker, edited

QUICK = Bootstrap(n_resamples=200)
FEW = Bootstrap(n_resamples=500)


def test_cells_are_found_by_path_name_prefix_and_dataset(make: Maker) -> None:
    demo, nuclei = make.cell("demo"), make.cell("bbbc038v1")
    make.cell("demo", run="point-otsu-11112222", model="otsu")
    for run in (RUN, "point-grabcut", "point-g", str(make.out / RUN)):
        assert [c.path.name for c in find_cells(run, make.out)] == [nuclei.path.name, demo.path.name], run
    for run in (f"{RUN}/demo", "point-grabcut/de", str(demo.path)):
        assert [c.record.cell_id for c in find_cells(run, make.out)] == [f"{RUN}/demo"]
    assert len(find_cells(str(make.out), make.out)) == 3


def test_the_name_without_its_hash_wins_over_longer_names(make: Maker) -> None:
    make.cell(run="point-sam-00000000")
    make.cell(run="point-sam-fast-00000000")
    assert [c.run_name for c in find_cells("point-sam", make.out)] == ["point-sam-00000000"]


def test_runs_that_are_not_there_name_the_directory_and_near_names(make: Maker, tmp_path: Path) -> None:
    make.cell()
    with pytest.raises(UsageError) as e:
        find_cells("point-grabcat", make.out)
    assert str(make.out) in str(e.value)
    assert f"did you mean '{RUN}'?" in str(e.value)
    with pytest.raises(UsageError, match="no such directory"):
        find_cells("anything", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no cell of that run 'dome'"):
        find_cells(f"{RUN}/dome", make.out)
    make.cell(run="point-grabcut-ffffffff")
    with pytest.raises(UsageError, match="could be several") as e:
        find_cells("point-grabcut", make.out)
    assert RUN in str(e.value)
    assert "point-grabcut-ffffffff" in str(e.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no results here"):
        find_cells(str(tmp_path / "empty"), make.out)
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match="not a run"):
        find_cells(str(tmp_path / "a.txt"), make.out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "damaged"),
        ('{"schema_version": 2}', "another version"),
        ('{"schema_version": 1, "cell_id": "x"}', "lacks keys"),
    ],
)
def test_damaged_records_are_refused(make: Maker, text: str, message: str) -> None:
    cell = make.cell()
    (cell.path / "cell.json").write_text(text)
    with pytest.raises(RunError, match=message) as e:
        find_cells(RUN, make.out)
    assert str(cell.path / "cell.json") in str(e.value)


def test_a_cell_without_images_or_with_damaged_files_says_which(make: Maker) -> None:
    cell = make.cell()
    (cell.path / "metrics.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunError, match=r"(?s)metrics cannot be read.*metrics\.parquet"):
        cell.metrics()
    (cell.path / "shards" / "000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"000001\.parquet"):
        read_cell(cell.path).rows()
    (cell.path / "images.txt").unlink()
    with pytest.raises(RunError, match=r"images\.txt"):
        read_cell(cell.path).rows()


def test_rows_are_those_of_the_wanted_images(make: Maker) -> None:
    cell = make.cell(failed=[4])
    rows = cell.rows()
    assert len(rows) == 19 * 3 * len(CLICKS) + 1
    assert list(rows["image_id"].unique()) == list(cell.image_ids)
    assert list(rows.loc[rows["status"] == "failed", "image_id"]) == ["im004"]
    assert rows["attributes"].iloc[-1] == {"group": "y"}
    assert list(cell.rows(["k", "iou_top"]).columns) == ["k", "iou_top"]
    with pytest.raises(UsageError, match=r"(?s)unknown column 'iou_tap'.*'iou_top'"):
        cell.rows(["iou_tap"])
    limited = edited(cell, limit=3, status="partial")  # a smaller record over more stored images: the record speaks
    assert list(limited.rows()["image_id"].unique()) == ["im000", "im001", "im002"]


def test_live_state_counts_shards_and_sees_who_works(make: Maker) -> None:
    assert make.cell("a").live.status == "complete"
    partial = make.cell("b", limit=10).live
    assert (partial.status, partial.n_wanted, partial.n_images, partial.n_done, partial.n_stored) == ("partial", 10, 20, 10, 10)
    incomplete = make.cell("c", failed=[0, 7]).live
    assert (incomplete.status, incomplete.n_done, incomplete.n_failed) == ("incomplete", 18, 2)
    assert (incomplete.n_objects, incomplete.n_dropped) == (54, 18)
    killed = make.cell("d", absent=range(8, 20))
    assert (killed.live.status, killed.live.n_done) == ("interrupted", 8)
    assert killed.partial_reasons() == ["12 of 20 images not computed (interrupted)"]
    lease = try_lease(killed.store.lease_path(1))
    assert lease is not None
    with lease:
        running = read_cell(killed.path)
        assert running.live.status == "running"
        assert "still running, pid" in running.partial_reasons()[0]


def test_a_moved_run_directory_reads_the_same(make: Maker, tmp_path: Path) -> None:
    cell = make.cell()
    before = layout.to_json(table_of([cell]))
    shutil.move(make.out, tmp_path / "elsewhere")
    assert layout.to_json(table_of(find_cells(str(tmp_path / "elsewhere" / RUN)))) == before
