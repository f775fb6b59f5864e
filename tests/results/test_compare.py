"""Two runs are compared object by object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from sambench import layout
from sambench.errors import UsageError
from sambench.results.compare import compare_cells
from sambench.results.rescore import rescore
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import CLICKS, Maker
from tests.helpers.tables import only_row

QUICK = Bootstrap(n_resamples=200)
FEW = Bootstrap(n_resamples=500)


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
    row = only_row(found.table, k=3)
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
    assert only_row(found.table, dataset="mean over datasets", k=1)["ci"] == (low, high)


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
