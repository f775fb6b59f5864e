"""Results rooms: reading cells, tables, suite means, comparison, rescoring; on cells written with the engine's own store."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sambench import layout
from sambench.cards import SuiteCard
from sambench.errors import DataError, RunError, SambenchError, UsageError
from sambench.metrics.bootstrap import mean_intervals
from sambench.results.compare import compare_cells
from sambench.results.rescore import check_masks, rescore
from sambench.results.tables import metrics_frame, result_table, suite_interval, table_of, tables
from sambench.schema import METRIC_COLUMNS
from sambench.store.leases import try_lease
from sambench.store.lookup import find_cells
from sambench.store.views import CellView, read_cell
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import RUN, Maker

QUICK = Bootstrap(n_resamples=200)
FEW = Bootstrap(n_resamples=500)
CLICKS = (1, 2, 3, 5, 9)








@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "runs")


def _suite(*members: str) -> SuiteCard:
    return SuiteCard(kind="suite", id="duo", name="Duo", members=members)


def _by(table: layout.Table, **where: Any) -> dict[str, Any]:
    rows = [r.values for r in table.rows if all(r.values.get(k) == v for k, v in where.items())]
    assert len(rows) == 1, rows
    return dict(rows[0])


def _edit(cell: CellView, **changes: Any) -> CellView:
    file = cell.path / "cell.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return read_cell(cell.path)


# --- finding and reading cells


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
    limited = _edit(cell, limit=3, status="partial")  # a smaller record over more stored images: the record speaks
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


# --- tables


def test_table_of_holds_the_means_and_intervals_of_the_rows(make: Maker) -> None:
    cell = make.cell(clusters=7)
    table = table_of([cell])
    row, rows = _by(table), cell.rows()
    for k in CLICKS:
        assert row[f"miou@{k}"] == pytest.approx(rows.loc[rows["k"] == k, "iou_top"].mean(), abs=1e-12)
    first = rows[rows["k"] == 1]
    assert row["oracle@1"] == (pytest.approx(first["iou_oracle"].mean(), abs=1e-12), 3)
    assert row["biou@1"] == pytest.approx(0.9 * first["iou_top"].mean(), abs=1e-12)
    _, low, high = mean_intervals(
        first["iou_top"].to_numpy()[:, None], first["cluster_id"].to_numpy(), n_resamples=2000, level=0.95, seed=0
    )
    assert row["miou@1_ci"] == (low[0], high[0])
    assert (row["n_images"], row["n_objects"], row["n_failed"], row["status"]) == (20, 60, 0, "complete")
    assert [c.key for c in table.shown] == [
        "dataset", "miou@1", "miou@1_ci", "miou@2", "miou@3", "miou@5", "miou@9", "oracle@1", "biou@1",
        "n_images", "n_objects", "n_failed",
    ]  # fmt: skip
    assert table.title == "point@1, Grabcut"


def test_one_candidate_has_no_oracle_and_more_than_three_have_oracle_of_three(make: Maker) -> None:
    one = table_of([make.cell("a", candidates=1)])
    assert not any("oracle" in c.key for c in one.columns)
    cell = make.cell("b", candidates=5)
    row = _by(table_of([cell]))
    assert row["oracle@1"][1] == 5
    assert row["miou@1"] < row["oracle3@1"] < row["oracle@1"][0]


def test_table_of_has_both_boundary_measures(make: Maker) -> None:
    cell = make.cell(run="box-grabcut-0a1b2c3d", task="box", candidates=1)
    table = result_table([cell])
    row, rows = _by(table), cell.rows()
    assert row["miou"] == pytest.approx(rows["iou_top"].mean(), abs=1e-12)
    assert row["mbiou_2pct"] == pytest.approx(0.9 * row["miou"], abs=1e-12)
    assert row["mbiou_1pct"] == pytest.approx(0.8 * row["miou"], abs=1e-12)
    assert row["miou_ci"][0] < row["miou"] < row["miou_ci"][1]
    assert [c.key for c in table.shown][:5] == ["dataset", "miou", "miou_ci", "mbiou_2pct", "mbiou_1pct"]
    assert table == table_of([cell])


def test_noc_columns_stand_where_the_run_has_them(make: Maker) -> None:
    clicks = list(range(1, 21))
    noc = make.cell("a", settings={"clicks": clicks, "noc": [0.8, 0.95]}, bonus=-0.1)
    table = table_of([noc], bootstrap=QUICK)
    rows = noc.rows()
    reached = rows[rows["iou_top"] >= 0.8].groupby(["image_id", "object_id"])["k"].min()
    n = rows.groupby(["image_id", "object_id"]).ngroups
    row = _by(table)
    assert row["noc@80"] == pytest.approx((reached.sum() + 20 * (n - len(reached))) / n, abs=1e-12)
    assert row["noc_failures@95"] > row["noc_failures@80"]
    assert [c.key for c in table.columns if c.key.startswith("miou@") and not c.key.endswith("_ci")] == [
        f"miou@{k}" for k in CLICKS
    ]
    assert "noc = 0.8,0.95" in table.title
    until = make.cell("b", settings={"clicks": clicks, "noc": [0.9], "until_iou": 0.9})
    keys = {c.key for c in table_of([until]).columns}
    assert "noc@90" in keys
    assert not any(k.startswith(("miou", "oracle", "biou")) for k in keys)


def test_several_models_and_equal_names_are_told_apart(make: Maker) -> None:
    a = make.cell()
    b = make.cell(run="point-otsu-11112222", model="otsu")
    assert [c.key for c in table_of([a, b]).shown][:2] == ["dataset", "model"]
    c = make.cell(run="point-grabcut-99999999")
    assert [c.key for c in table_of([a, c]).shown][:2] == ["dataset", "run"]
    variant = make.cell("ade20k", variant="stuff")
    assert _by(table_of([variant]))["dataset"] == "ade20k:stuff"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"limit": 10}, "first 10 of 20 images (--limit)"),
        ({"failed": [3]}, "1 images failed"),
        ({"absent": [17, 18]}, "2 of 20 images not computed (interrupted)"),
    ],
)
def test_partial_is_said_in_every_form(make: Maker, given: dict[str, Any], words: str) -> None:
    table = table_of([make.cell(**given)], bootstrap=QUICK)
    assert f"PARTIAL: demo, grabcut: {words}" in table.notes
    assert "status" in {c.key for c in table.shown}
    for form in layout.FORMATS:
        assert "PARTIAL" in layout.render(table, form), form
    assert "PARTIAL" in _terminal(table)


def test_interrupted_cells_are_scored_from_their_rows(make: Maker) -> None:
    cell = make.cell(absent=range(9, 20))
    assert cell.metrics() is None
    rows = cell.rows()
    row = _by(table_of([cell], bootstrap=QUICK))
    assert row["miou@9"] == pytest.approx(rows.loc[rows["k"] == 9, "iou_top"].mean(), abs=1e-12)
    assert (row["n_images"], row["n_objects"]) == (9, 27)
    frame = metrics_frame([cell], QUICK)
    assert frame["partial"].all()
    failing = make.cell("failing", absent=[19], failed=[1])
    begun = _edit(failing, counts={"n_images_failed": 0})  # as a killed run leaves it: written before anything failed
    assert set(metrics_frame([begun], QUICK)["n_failed"]) == {1}
    nothing = make.cell("empty", absent=range(20))
    assert _by(table_of([nothing]))["n_images"] == 0
    assert layout.DASH in _terminal(table_of([cell, nothing], bootstrap=QUICK))


def test_metrics_of_another_state_are_not_shown(make: Maker) -> None:
    cell = make.cell(limit=10)
    assert cell.metrics() is not None
    assert _edit(cell, limit=None, status="complete").metrics() is None  # killed between the metrics and the record
    assert _edit(cell, status="running").metrics() is None


def test_the_subsets_note_is_printed(make: Maker) -> None:
    table = table_of([make.cell(note="not the paper's subset (redrawn)")])
    assert "demo: not the paper's subset (redrawn)" in table.notes
    assert "not the paper's subset (redrawn)" in layout.to_csv(table)


def test_few_clusters_are_said_and_the_level_is_the_columns_name(make: Maker) -> None:
    few, many = make.cell("few", clusters=19), make.cell("many", clusters=20)
    table = table_of([few, many])
    warned = [n for n in table.notes if "too narrow" in n]
    assert warned == ["few: 19 independent images or scenes only; intervals are likely too narrow"]
    assert "95 % CI" in [c.label for c in table.shown]
    other = make.cell("few", run="q-otsu-1", clusters=19)
    assert warned[0] in compare_cells([few], [other], k=1, bootstrap=QUICK).notes
    bare = make.cell("bare", finish=False)
    assert "90 % CI" in [c.label for c in table_of([bare], bootstrap=Bootstrap(200, 0.9)).shown]


def test_metrics_frame_has_the_schemas_columns(make: Maker) -> None:
    frame = metrics_frame([make.cell("a"), make.cell("b", limit=4)])
    assert tuple(frame.columns) == METRIC_COLUMNS
    assert frame.groupby("dataset")["partial"].first().to_dict() == {"a": False, "b": True}
    assert tuple(metrics_frame([]).columns) == METRIC_COLUMNS


def test_a_suite_mean_needs_every_member_complete(make: Maker) -> None:
    a, b = make.cell("aa", seed=1), make.cell("bb", seed=2, n_images=5, bonus=0.1)
    other = make.cell("demo", seed=3)
    table = table_of([a, b, other], suites=[_suite("aa", "bb")])
    mean = _by(table, dataset="mean of duo")
    assert table.rows[-1].summary
    values = [_by(table, dataset=d) for d in ("aa", "bb")]
    assert mean["miou@3"] == pytest.approx((values[0]["miou@3"] + values[1]["miou@3"]) / 2, abs=1e-12)
    assert mean["oracle@1"] == (pytest.approx((values[0]["oracle@1"][0] + values[1]["oracle@1"][0]) / 2, abs=1e-12), 3)
    assert mean["status"] == "complete"
    assert (mean["n_images"], mean["n_objects"]) == (25, 75)
    assert not any("not comparable" in n for n in table.notes)


@pytest.mark.parametrize("given", [{"limit": 10}, {"failed": [1]}, {"absent": [19]}])
def test_a_suite_with_a_partial_member_is_not_comparable(make: Maker, given: dict[str, Any]) -> None:
    a, b = make.cell("aa"), make.cell("bb", **given)
    table = table_of([a, b], suites=[_suite("aa", "bb", "cc")], bootstrap=QUICK)
    assert not any(r.values["dataset"] == "mean of duo" for r in table.rows)
    mean = _by(table, dataset="mean of 1 of 3 in duo")
    assert mean["status"] == "1 of 3, not comparable"
    assert mean["miou@1"] == pytest.approx(_by(table, dataset="aa")["miou@1"], abs=1e-15)
    assert "duo, grabcut: 1 of 3 members complete, not comparable (PARTIAL: bb; absent: cc)" in table.notes
    for form in layout.FORMATS:
        assert "not comparable" in layout.render(table, form), form


def test_a_suite_without_a_complete_member_has_no_mean_row(make: Maker) -> None:
    table = table_of([make.cell("aa", limit=2)], suites=[_suite("aa", "bb")])
    assert len(table.rows) == 1
    assert any("0 of 2 members complete, not comparable" in n for n in table.notes)


def test_every_run_has_a_suite_mean_of_its_own(make: Maker) -> None:
    cells = [make.cell(d, run=r, model=m, seed=i) for i, (r, m) in enumerate((("p-a-00000000", "a"), ("p-b-00000000", "b")))
             for d in ("aa", "bb")]  # fmt: skip
    table = table_of(cells, suites=[_suite("aa", "bb")])
    means = [r.values for r in table.rows if r.summary]
    assert [m["model"] for m in means] == ["a", "b"]
    assert means[0]["miou@1"] != means[1]["miou@1"]


def test_the_suite_interval_draws_within_every_dataset(make: Maker) -> None:
    a, b = make.cell("aa", seed=1, n_images=40), make.cell("bb", seed=2, n_images=40, bonus=0.15)
    low, high = suite_interval([a, b], 1, Bootstrap(n_resamples=8000))
    errors, means = [], []
    for cell in (a, b):
        rows = cell.rows()
        by_image = rows[rows["k"] == 1].groupby("image_id")["iou_top"].mean()  # three objects each: the ratio is their mean
        errors.append(by_image.std(ddof=0) / len(by_image) ** 0.5)
        means.append(by_image.mean())
    half = stats.norm.ppf(0.975) * np.hypot(*errors) / 2
    assert (low + high) / 2 == pytest.approx(np.mean(means), abs=0.1 * half)
    assert high - low == pytest.approx(2 * half, rel=0.06)
    assert np.isnan(suite_interval([a, make.cell("cc", n_images=1)], 1, QUICK)).all()


def test_protocols_never_share_a_table(make: Maker) -> None:
    center = make.cell("a")
    wide = make.cell("a", run="point-grabcut-22222222", settings={"clicks": [1, 3]})
    box = make.cell("a", run="box-grabcut-33333333", task="box")
    found = tables([center, wide, box])
    assert [t.title for t in found] == ["point@1, Grabcut", "point@1, Grabcut (clicks = 1,3)", "box@1, Grabcut"]
    with pytest.raises(UsageError, match=r"(?s)no single table.*box@1"):
        result_table([center, box])
    with pytest.raises(UsageError, match="no cells"):
        result_table([])
    with pytest.raises(UsageError, match=r"(?s)unknown suite 'sa32'.*sa23"):
        result_table([center], suites=["sa32"])
    assert any("not comparable" in n for n in result_table([center], suites=["all"]).notes)


# --- forms


def _terminal(table: layout.Table, width: int = 200) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(layout.render_rich(table))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


TABLE = layout.Table(
    "A & B",
    (
        layout.Column("name", "name"),
        layout.Column("x", "x", "percent"),
        layout.Column("x_ci", "CI", "interval"),
        layout.Column("o", "oracle", "of"),
        layout.Column("d", "diff", "points"),
        layout.Column("p", "p", "p"),
        layout.Column("secret", "secret", hidden=True),
    ),
    (
        layout.Row({"name": "a_b|c[red]", "x": 1 / 3, "x_ci": (0.25, 0.5), "o": (0.75, 3), "d": -0.015, "p": 1e-9, "secret": "s"}),
        layout.Row({"name": "mean", "x": float("nan"), "x_ci": (float("nan"), float("nan")), "p": 0.25}, kind="summary"),
    ),
    ("PARTIAL: 5 % of a_b",),
)


def test_text_forms_round_and_escape() -> None:
    markdown = layout.to_markdown(TABLE)
    assert "| a_b\\|c[red] | 33.3 | [25.0, 50.0] | 75.0 (3) | −1.5 | <0.0001 |" in markdown
    assert "| **mean** | **–** | **–** | **–** | **–** | **0.2500** |" in markdown
    assert "| --- | ---: |" in markdown
    assert "- PARTIAL: 5 % of a_b" in markdown
    latex = layout.to_latex(TABLE)
    assert "\\caption{A \\& B}" in latex
    assert "a\\_b|c[red] & 33.3 & [25.0, 50.0] & 75.0 (3) & $-$1.5 & \\textless{}0.0001 \\\\" in latex
    assert "PARTIAL: 5 \\% of a\\_b" in latex
    assert latex.count("\\midrule") == 2
    assert "\\begin{tabular}{lrrrrr}" in latex
    for words in ("a_b|c[red]", "[25.0, 50.0]", "PARTIAL: 5 % of a_b"):  # brackets are text, not rich's markup
        assert words in _terminal(TABLE)
    assert "left out" not in _terminal(TABLE, 200)
    # Too narrow: columns go as a whole, and are named; a number that stays is whole.
    head, _, left_out = _terminal(TABLE, 30).partition("left out for width:")
    assert "33.3" in head
    for column in TABLE.shown[1:]:
        assert (column.label in head.splitlines()[2]) != (column.label in left_out), column.label
    assert all(len(line) <= 30 for line in _terminal(TABLE, 30).splitlines())
    assert "secret" not in markdown + latex + _terminal(TABLE)


def test_csv_and_json_keep_full_precision_and_pairs() -> None:
    rows = list(csv.DictReader(io.StringIO(layout.to_csv(TABLE))))
    assert float(rows[0]["x"]) == 1 / 3
    assert {k: rows[0][k] for k in ("x_ci_low", "x_ci_high", "o", "o_candidates", "secret")} == {
        "x_ci_low": "0.25", "x_ci_high": "0.5", "o": "0.75", "o_candidates": "3", "secret": "s"
    }  # fmt: skip
    assert (rows[1]["x"], rows[1]["x_ci_low"], rows[1]["d"]) == ("", "", "")
    whole = json.loads(layout.to_json(TABLE))
    assert whole["rows"][0]["x"] == 1 / 3
    assert whole["rows"][1]["x_ci_low"] is None
    assert whole["rows"][1]["summary"] is True
    assert whole["notes"] == list(TABLE.notes)
    frame = layout.to_frame(TABLE)
    assert list(frame.columns) == list(rows[0])
    assert frame["x"].tolist()[0] == 1 / 3


def test_an_unknown_format_has_near_names() -> None:
    with pytest.raises(UsageError, match=r"(?s)unknown format 'markdwon'.*did you mean 'markdown'"):
        layout.render(TABLE, "markdwon")


# --- comparison


def _pair(make: Maker, **b: Any) -> tuple[CellView, CellView]:
    return make.cell(), make.cell(run="point-otsu-11112222", model="otsu", **{"bonus": 0.05, "seed": 1} | b)


def test_compare_pairs_objects_and_agrees_with_a_paired_t_test(make: Maker) -> None:
    a, b = make.cell(n_objects=1), make.cell(run="q-otsu-1", model="otsu", n_objects=1, bonus=0.05, seed=1)
    found = compare_cells([a], [b], bootstrap=FEW)
    assert [d.k for d in found.differences] == list(CLICKS)
    for d in found.differences:
        left, right = (c.rows().query(f"k == {d.k}").set_index("image_id")["iou_top"] for c in (a, b))
        right = right.reindex(left.index)
        assert d.paired.mean == pytest.approx((left - right).mean(), abs=1e-12)
        assert d.paired.p_value == pytest.approx(stats.ttest_rel(left, right).pvalue, rel=1e-9)
        assert (d.paired.mean_a, d.paired.mean_b) == pytest.approx((left.mean(), right.mean()), abs=1e-12)
        assert d.paired.low < d.paired.mean < d.paired.high
        assert (d.paired.n, d.n_only_a, d.n_only_b, d.partial) == (20, 0, 0, False)
    row = _by(found.table, k=3)
    assert row["difference"] == found.differences[2].paired.mean
    assert "status" not in {c.key for c in found.table.shown}
    for form in layout.FORMATS:
        assert "q-otsu-1" in layout.render(found.table, form) or form == "csv"


@pytest.mark.parametrize("metric", ["iou_oracle", "iou_oracle@3", "boundary_iou_2pct", "boundary_iou_1pct"])
def test_compare_takes_other_measures_and_one_count(make: Maker, metric: str) -> None:
    a, b = _pair(make, candidates=5)
    (d,) = compare_cells([a], [b], metric=metric, k=1, bootstrap=QUICK).differences
    variant = {"iou_oracle": ("miou", "oracle", None), "iou_oracle@3": ("miou", "oracle@3", None),
               "boundary_iou_2pct": ("mbiou", "top", 0.02), "boundary_iou_1pct": ("mbiou", "top", 0.01)}[metric]  # fmt: skip
    for cell, mean in ((a, d.paired.mean_a), (b, d.paired.mean_b)):
        rows = [r for r in rescore(cell, bootstrap=QUICK) if r["k"] == 1]
        assert mean == pytest.approx(
            next(r["value"] for r in rows if (r["metric"], r["variant"], r["threshold"]) == variant), abs=1e-12
        )


def test_compare_counts_and_says_what_has_no_partner(make: Maker) -> None:
    a = make.cell(failed=[2])
    b = make.cell(run="q-otsu-1", model="otsu", skip_objects=[1], limit=10, seed=1)
    extra = make.cell("bbbc038v1")
    found = compare_cells([a, extra], [b], k=1, bootstrap=QUICK)
    (d,) = found.differences
    assert (d.paired.n, d.n_only_a, d.n_only_b, d.partial) == (9 * 2, 19 * 3 - 18, 2, True)
    assert "demo: objects without a partner left out, 39 of A and 2 of B" in found.notes
    assert "only in A, left out: bbbc038v1" in found.notes
    assert any("PARTIAL" in n and "--limit" in n for n in found.notes)
    assert {"n_only_a", "n_only_b", "status"} <= {c.key for c in found.table.shown}


def test_compare_says_other_subsets_and_pairs_what_they_share(make: Maker) -> None:
    a, b = _pair(make, digest="6" * 64, n_images=12)
    found = compare_cells([a], [b], k=1, bootstrap=QUICK)
    assert found.differences[0].paired.n == 36
    assert any("different subsets (55555555 and 66666666)" in n for n in found.notes)


def test_compare_over_several_datasets_has_their_mean(make: Maker) -> None:
    a = [make.cell(d, seed=i) for i, d in enumerate(("aa", "bb"))]
    b = [make.cell(d, run="q-otsu-1", model="otsu", seed=10 + i, bonus=0.1) for i, d in enumerate(("aa", "bb"))]
    found = compare_cells(a, b, bootstrap=FEW)
    at_one = [d.paired for d in found.differences if d.k == 1]
    k, mean, low, high = found.means[0][:4]
    assert (k, len(found.means)) == (1, len(CLICKS))
    assert mean == pytest.approx((at_one[0].mean + at_one[1].mean) / 2, abs=1e-15)
    assert low < mean < high < 0
    se = np.hypot(at_one[0].std_error, at_one[1].std_error) / 2
    assert high - low == pytest.approx(2 * 1.96 * se, rel=0.2)
    assert _by(found.table, dataset="mean over datasets", k=1)["ci"] == (low, high)


def test_compare_of_clicks_to_a_target(make: Maker) -> None:
    settings = {"clicks": list(range(1, 11)), "noc": [0.85], "until_iou": 0.85}
    a, b = make.cell(settings=settings), make.cell(run="q-otsu-1", settings=settings, seed=1, bonus=0.1)
    found = compare_cells([a], [b], metric="noc@85", bootstrap=QUICK)
    (d,) = found.differences
    assert d.k is None
    for cell, mean in ((a, d.paired.mean_a), (b, d.paired.mean_b)):
        assert mean == pytest.approx(next(r["value"] for r in rescore(cell, bootstrap=QUICK) if r["metric"] == "noc"), abs=1e-12)
    assert "clicks" not in {c.label for c in found.table.shown}
    with pytest.raises(UsageError, match=r"(?s)only the hard ones.*noc@85"):
        compare_cells([a], [b], k=1)
    with pytest.raises(UsageError, match=r"(?s)unknown metric 'noc@84'.*noc@85"):
        compare_cells([a], [b], metric="noc@84")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"settings": {"clicks": [1, 2]}}, "task clicks"),
        ({"settings": {"mask_feedback": False}}, "task mask_feedback"),
        ({"task": "box"}, "task protocol"),
        ({"annotations": "b" * 64}, "dataset annotation_digest"),
        ({"options": {"min_area": 5}}, "dataset options"),
    ],
)
def test_compare_refuses_what_does_not_mean_the_same(make: Maker, given: dict[str, Any], named: str) -> None:
    a, b = _pair(make, **given)
    with pytest.raises(UsageError, match=f"differ in .*{named}"):
        compare_cells([a], [b])


def test_a_seed_that_is_not_used_does_not_part_two_runs(make: Maker) -> None:
    a, b = _pair(make, settings={"seed": 7})
    assert compare_cells([a], [b], k=1, bootstrap=QUICK).differences[0].paired.n == 60


def test_compare_refuses_other_errors_clearly(make: Maker) -> None:
    a, b = _pair(make)
    with pytest.raises(UsageError, match=r"(?s)unknown metric 'iou_tip'.*iou_top"):
        compare_cells([a], [b], metric="iou_tip")
    with pytest.raises(UsageError, match=r"(?s)click count.*one of 1, 2, 3, 5, 9.*4"):
        compare_cells([a], [b], k=4)
    with pytest.raises(UsageError, match=r"(?s)no dataset in common.*A: demo; B: other"):
        compare_cells([a], [make.cell("other")])
    with pytest.raises(UsageError, match="A has several results on demo"):
        compare_cells([a, b], [b])
    late = make.cell(run="q-late-1", absent=range(12))
    early = make.cell(run="q-early-1", limit=8)
    with pytest.raises(UsageError, match="no object in common"):
        compare_cells([early], [late])


def test_compare_refuses_another_ground_truth_under_the_same_digest(make: Maker) -> None:
    a, b = _pair(make)
    shard = b.store.read(1)
    for row in shard.rows["im009"]:
        row["area_px"] += 1
    b.store.write(1, shard)
    with pytest.raises(UsageError, match=r"(?s)scored against different masks.*im009"):
        compare_cells([a], [b], k=1)


# --- rescoring


def test_rescored_metrics_are_those_that_the_run_wrote(make: Maker) -> None:
    for cell in (make.cell(), make.cell("b", failed=[1, 2]), make.cell("c", limit=9)):
        stored = cell.metrics()
        assert stored is not None
        again = pd.DataFrame(rescore(cell), columns=list(METRIC_COLUMNS))
        assert again.to_csv(index=False) == (cell.path / "metrics.csv").read_text()


def test_rescore_by_category_and_attribute(make: Maker) -> None:
    cell = make.cell(failed=[2])
    rows = cell.rows().query("status == 'ok' and k == 1")

    def first(group_by: str) -> list[dict[str, Any]]:
        found = rescore(cell, group_by=group_by, bootstrap=QUICK)
        return [r for r in found if (r["metric"], r["variant"], r["k"]) == ("miou", "top", 1)]

    by_category = first("category")
    assert [(r["group_by"], r["group"]) for r in by_category] == [("category", "a"), ("category", "b")]
    for r in by_category:
        assert r["value"] == pytest.approx(rows.loc[rows["category"] == r["group"], "iou_top"].mean(), abs=1e-12)
    by_group = first("attribute:group")
    assert [r["group"] for r in by_group] == ["(none)", "x", "y", "z"]
    assert sum(r["n_objects"] for r in by_group) == len(rows)
    assert all(r["n_failed"] == 1 and r["partial"] for r in by_group)


def test_rescore_refuses_groups_that_are_not_there(make: Maker) -> None:
    cell = make.cell()
    with pytest.raises(UsageError, match=r"(?s)unknown attribute of demo 'grup'.*'group'"):
        rescore(cell, group_by="attribute:grup")
    with pytest.raises(UsageError, match="did you mean 'attribute:group'"):
        rescore(cell, group_by="group")
    with pytest.raises(UsageError, match=r"category, or attribute:NAME"):
        rescore(cell, group_by="size")
    bare = make.cell("bare", n_images=1)
    shard = bare.store.read(0)
    for row in shard.rows["im000"]:
        row["category"], row["attributes"] = "", {}
    bare.store.write(0, shard)
    with pytest.raises(UsageError, match="have no categories"):
        rescore(bare, group_by="category")
    with pytest.raises(UsageError, match="have no attributes"):
        rescore(bare, group_by="attribute:group")


READER = '''
import numpy as np
from sambench.pixels.region import Region
from sambench.types import ImageRecord, Instance, Sample

class Squares:
    def __init__(self, root, *, name, variant, shift=0, digest="a"):
        self.name, self.variant, self.shift, self.digest = name, variant, shift, digest
    def index(self):
        return [ImageRecord(f"im{i:03}", 3) for i in range(20)]
    def annotation_digest(self):
        return self.digest * 64
    def load(self, image_id):
        image, out = int(image_id[2:]), []
        for n in range(3):
            mask = np.zeros((24, 24), bool)
            mask[2 + n : 12 + n, 3 + image % 5 + self.shift : 13 + image % 5 + self.shift] = True
            out.append(Instance(f"o{n}", Region.from_array(mask)))
        return Sample(self.name, image_id, 24, 24, tuple(out), lambda: np.zeros((24, 24, 3), np.uint8))
'''


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a card and its reader, whose objects are those of the synthetic rows; gives the dataset's root."""
    import sys

    from sambench import cards

    (tmp_path / "squares_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    home = tmp_path / "home"
    monkeypatch.setenv("SAMBENCH_HOME", str(home))
    folder = home / "cards" / "datasets"
    folder.mkdir(parents=True)
    (folder / "squares.toml").write_text(
        'id = "squares"\nname = "Squares"\nreader = "squares_reader:Squares"\n[access]\nstate = "manual"\n'
        '[variants.shifted]\ndescription = "x"\noptions = { shift = 2 }\n'
        '[variants.other]\ndescription = "x"\noptions = { digest = "b" }\n'
    )
    cards.forget()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").touch()
    yield tmp_path / "data"
    cards.forget()
    sys.modules.pop("squares_reader", None)


def test_stored_masks_give_the_stored_ious_exactly(make: Maker, squares: Path) -> None:
    cell = make.cell("squares", masks=True, failed=[3])
    check = check_masks(cell, root=squares)
    assert (check.largest, check.n_differing, check.where) == (0.0, 0, None)
    assert check.n_rows == 19 * 3 * len(CLICKS)
    assert check.n_masks == 19 * 3 * (3 + len(CLICKS) - 1)


def test_the_single_stored_mask_of_several_candidates_is_the_top_one(make: Maker, squares: Path) -> None:
    cell = make.cell("squares", masks=True)
    shard = cell.store.read(0)
    for row in shard.rows["im001"]:
        row["mask_rles"] = [row["mask_rles"][row["top_index"]]]
    cell.store.write(0, shard)
    assert check_masks(cell, root=squares).largest == 0.0


def test_a_changed_number_or_mask_is_found_and_located(make: Maker, squares: Path) -> None:
    cell = make.cell("squares", masks=True)
    shard = cell.store.read(1)
    row = next(r for r in shard.rows["im010"] if r["object_id"] == "o2" and r["k"] == 5)
    row["ious"] = [row["ious"][0] - 0.125]
    cell.store.write(1, shard)
    check = check_masks(cell, root=squares)
    assert check.largest == pytest.approx(0.125)
    assert (check.where, check.n_differing) == (("im010", "o2", 5, 0), 1)
    moved = check_masks(make.cell("squares", run="q-m-1", masks=True, variant="shifted"), root=squares)
    assert moved.n_differing > 0.5 * moved.n_masks
    assert moved.largest > 0.1


def test_masks_are_not_checked_against_other_files(make: Maker, squares: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)not those of the run.*bbbb"):
        check_masks(make.cell("squares", masks=True, variant="other"), root=squares)
    with pytest.raises(UsageError, match=r"(?s)no stored masks.*--save-masks"):
        check_masks(make.cell("squares", run="q-n-1"), root=squares)
    cell = make.cell("squares", run="q-s-1", masks=True)
    shard = cell.store.read(0)
    shard.rows["im000"][0]["object_id"] = "o9"
    cell.store.write(0, shard)
    with pytest.raises(DataError, match=r"(?s)'o9'.*no such object"):
        check_masks(cell, root=squares)
    with pytest.raises(SambenchError, match="not here"):
        check_masks(cell)
    shard = cell.store.read(0)
    shard.rows["im000"][0] |= {"object_id": "o0", "mask_rles": shard.rows["im000"][0]["mask_rles"][:2]}
    cell.store.write(0, shard)
    with pytest.raises(DataError, match=r"(?s)do not fit its candidates.*3 masks, or one"):
        check_masks(cell, root=squares)


def test_a_moved_run_directory_reads_the_same(make: Maker, tmp_path: Path) -> None:
    cell = make.cell()
    before = layout.to_json(table_of([cell]))
    shutil.move(make.out, tmp_path / "elsewhere")
    assert layout.to_json(table_of(find_cells(str(tmp_path / "elsewhere" / RUN)))) == before
