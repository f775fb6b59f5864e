"""Tables of results: means and intervals, what is partial, and the means of suites."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from sambench import layout
from sambench.cards import SuiteCard
from sambench.errors import UsageError
from sambench.metrics.bootstrap import mean_intervals
from sambench.results.compare import compare_cells
from sambench.results.tables import metrics_frame, result_table, suite_interval, table_of, tables
from sambench.schema import METRIC_COLUMNS
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import CLICKS, Maker, edited
from tests.helpers.tables import only_row, terminal

QUICK = Bootstrap(n_resamples=200)
FEW = Bootstrap(n_resamples=500)


def _suite(*members: str) -> SuiteCard:
    return SuiteCard(kind="suite", id="duo", name="Duo", members=members)


def test_table_of_holds_the_means_and_intervals_of_the_rows(make: Maker) -> None:
    cell = make.cell(clusters=7)
    table = table_of([cell])
    row, rows = only_row(table), cell.rows()
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
    row = only_row(table_of([cell]))
    assert row["oracle@1"][1] == 5
    assert row["miou@1"] < row["oracle3@1"] < row["oracle@1"][0]


def test_table_of_has_both_boundary_measures(make: Maker) -> None:
    cell = make.cell(run="box-grabcut-0a1b2c3d", task="box", candidates=1)
    table = result_table([cell])
    row, rows = only_row(table), cell.rows()
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
    row = only_row(table)
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
    assert only_row(table_of([variant]))["dataset"] == "ade20k:stuff"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"limit": 10}, "first 10 of 20 images (--limit)"),
        ({"failed": [3]}, "1 image failed"),
        ({"absent": [17, 18]}, "2 of 20 images not computed (interrupted)"),
    ],
)
def test_partial_is_said_in_every_form(make: Maker, given: dict[str, Any], words: str) -> None:
    table = table_of([make.cell(**given)], bootstrap=QUICK)
    assert f"PARTIAL: demo, grabcut: {words}" in table.notes
    assert "status" in {c.key for c in table.shown}
    for form in layout.FORMATS:
        assert "PARTIAL" in layout.render(table, form), form
    assert "PARTIAL" in terminal(table)


def test_interrupted_cells_are_scored_from_their_rows(make: Maker) -> None:
    cell = make.cell(absent=range(9, 20))
    assert cell.metrics() is None
    rows = cell.rows()
    row = only_row(table_of([cell], bootstrap=QUICK))
    assert row["miou@9"] == pytest.approx(rows.loc[rows["k"] == 9, "iou_top"].mean(), abs=1e-12)
    assert (row["n_images"], row["n_objects"]) == (9, 27)
    frame = metrics_frame([cell], QUICK)
    assert frame["partial"].all()
    failing = make.cell("failing", absent=[19], failed=[1])
    begun = edited(failing, counts={"n_images_failed": 0})  # as a killed run leaves it: written before anything failed
    assert set(metrics_frame([begun], QUICK)["n_failed"]) == {1}
    nothing = make.cell("empty", absent=range(20))
    assert only_row(table_of([nothing]))["n_images"] == 0
    assert layout.DASH in terminal(table_of([cell, nothing], bootstrap=QUICK))


def test_metrics_of_another_state_are_not_shown(make: Maker) -> None:
    cell = make.cell(limit=10)
    assert cell.metrics() is not None
    assert edited(cell, limit=None, status="complete").metrics() is None  # killed between the metrics and the record
    assert edited(cell, status="running").metrics() is None


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
    mean = only_row(table, dataset="mean of duo")
    assert table.rows[-1].summary
    values = [only_row(table, dataset=d) for d in ("aa", "bb")]
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
    mean = only_row(table, dataset="mean of 1 of 3 in duo")
    assert mean["status"] == "1 of 3, not comparable"
    assert mean["miou@1"] == pytest.approx(only_row(table, dataset="aa")["miou@1"], abs=1e-15)
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
