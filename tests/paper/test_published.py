"""Published numbers: the file, the cards, and runs compared with them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sambench import cards
from sambench.errors import CardError, UsageError
from sambench.paper.compare import compare_values, paper_tables
from sambench.paper.evidence import Evidence, subset_of
from sambench.paper.published import best_known, everything, of, on_cards, published
from sambench.tasks.summary import Bootstrap
from tests.helpers import ROOT
from tests.helpers.cells import edge_cell, flat, point_cell

QUICK = Bootstrap(n_resamples=200)
REPORTS = ROOT / "reports"


def test_the_file_has_the_papers_tables() -> None:
    deltas = {v.dataset: v.value for v in published("suite")}
    assert len(deltas) == 23
    assert sum(v > 0 for v in deltas.values() if v) == 16
    assert deltas["ppdls"] == pytest.approx(0.469)
    assert deltas["gtea"] == pytest.approx(-0.214)
    suite = cards.suite_card("sa23")
    assert suite is not None
    assert set(deltas) == set(suite.members)
    edges = published("edges")
    assert [best_known(edges, "SAM", c).value for c in ("ods", "ois", "ap", "r50")] == [0.768, 0.786, 0.794, 0.928]  # type: ignore[union-attr]
    assert best_known(edges, "Sobel filter", "ap") is None
    ar = published("proposals")
    assert [best_known(ar, "SAM", c).value for c in ("all", "large")] == pytest.approx([0.593, 0.869])  # type: ignore[union-attr]
    assert best_known(published("instances_lvis"), "ViTDet-H", "aps").value == pytest.approx(0.35)  # type: ignore[union-attr]


def test_intervals_are_read_in_the_unit_of_their_number() -> None:
    first = published("fairness_people")[0]
    assert (first.value, first.low, first.high, first.level) == pytest.approx((0.544, 0.527, 0.561, 0.95))
    rating = next(v for v in published("ratings") if v.dataset == "ibd" and v.metric == "rating_difference")
    assert (rating.value, rating.low, rating.high, rating.level) == (None, 1.03, 1.39, 0.99)
    p = next(v for v in published("ratings") if v.dataset == "ibd" and v.metric == "p_value")
    assert p.value == 2.0e-57


def test_numbers_of_others_are_kept_apart_by_kind() -> None:
    kinds = {v.table: v.kind for v in published()}
    assert {t for t, k in kinds.items() if k == "reproduced"} == {"edges_reproduced", "proposals_reproduced"}
    assert set(kinds.values()) == {"published", "reproduced"}


def test_every_dataset_and_model_of_the_file_has_a_card() -> None:
    for value in published():
        if value.dataset:
            base, _, variant = value.dataset.partition(":")
            assert not variant or variant in cards.dataset_card(base).variants, value
        for model in (value.model, value.baseline):
            assert not model or model in cards.model_cards(), value


def test_cards_numbers_are_not_counted_twice() -> None:
    assert len(everything()) < len(published()) + len(on_cards())
    keys = [
        (v.model, v.task, v.dataset, v.metric, v.value, v.threshold, v.group) for v in everything() if v.model and v.task == "edge"
    ]
    assert len(keys) == len(set(keys))
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        of("papers")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ods = 0.788", "odds = 0.788", "unknown key 'odds'"),
        ('unit = "fraction"', 'unit = "furlongs"', "do not fit at 'tables.1.unit'"),
        ("[[tables]]", "[[tables]", "not valid TOML"),
        ("tolerance = 0.005", 'tolerance = "small"', "tables.1.tolerance"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "published.toml"
    path.write_text((REPORTS / "published.toml").read_text().replace(old, new, 1))
    with pytest.raises(CardError) as e:
        published(path=path)
    assert says in str(e.value)
    assert str(path) in str(e.value)


def test_green_amber_and_grey(tmp_path: Path) -> None:
    # recall = precision = F at the only threshold: 539 of 1000 is the published Sobel ODS, to the pixel.
    sobel = edge_cell(tmp_path / "a", "sobel", [(539, 1000, 539, 1000)])
    canny = edge_cell(tmp_path / "b", "canny", [(700, 1000, 700, 1000)])
    part = edge_cell(tmp_path / "c", "canny", [(600, 1000, 600, 1000)], limit=7)
    other = edge_cell(tmp_path / "d", "mine", [(788, 1000, 788, 1000)])

    def light(cell: object, method: str) -> tuple[str, str, float]:
        found = compare_values(Evidence([cell]), published("edges"), bootstrap=QUICK)  # type: ignore[list-item]
        a = next(a for a in found if a.published.method == method and a.published.column == "ods")
        return a.light, a.why, a.difference

    assert light(sobel, "Sobel filter") == ("green", "within the tolerance", pytest.approx(0.0))
    assert light(canny, "Canny") == ("amber", "beyond the tolerance", pytest.approx(0.1))
    state, why, difference = light(part, "Canny")
    assert (state, difference) == ("grey", pytest.approx(0.0))
    assert "first 7 of 200 images" in why
    assert light(other, "HED")[:2] == ("grey", "another model")


def test_a_published_difference_is_compared_with_the_paired_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 0.9, (182, 2)), rng.uniform(0.2, 0.6, (182, 2))
    sam = point_cell(tmp_path, "ppdls", "sam_vit_h", lambda i, n, k: float(a[i, n]), n_images=182, clicks=(1,))
    ritm = point_cell(tmp_path, "ppdls", "ritm_hrnet32", lambda i, n, k: float(b[i, n]), n_images=182, gap=None, clicks=(1,))
    (found,) = compare_values(Evidence([sam, ritm]), published("suite"), bootstrap=QUICK)
    assert found.measured == pytest.approx(float((a - b).mean()), abs=1e-12)
    assert found.difference == pytest.approx(float((a - b).mean()) - 0.469)
    assert found.low < found.difference < found.high
    assert (found.light, found.subset.kind) == ("grey", "other")  # 364 masks, and the paper has 2,347
    assert "2,347" in found.why
    assert not compare_values(Evidence([sam]), published("suite"), bootstrap=QUICK)


def test_a_redrawn_set_has_a_wider_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a = rng.uniform(0.5, 0.9, (40, 2))
    cells = {}
    for name, is_paper_size in (("redrawn", True), ("other", False)):
        out, subset = tmp_path / name, {"is_paper_size": is_paper_size}
        sam = point_cell(out, "bbbc038v1", "sam_vit_h", lambda i, n, k: float(a[i, n]), n_images=40, subset=subset, clicks=(1,))
        ritm = point_cell(out, "bbbc038v1", "ritm_hrnet32", flat(0.3), n_images=40, subset=subset, clicks=(1,))
        (cells[name],) = compare_values(Evidence([sam, ritm]), published("suite"), bootstrap=QUICK)
    redrawn, other = cells["redrawn"], cells["other"]
    assert (redrawn.subset.kind, other.subset.kind) == ("redrawn", "other")
    assert redrawn.high - redrawn.low == pytest.approx(math.sqrt(2) * (other.high - other.low))
    assert redrawn.light == "green" if abs(redrawn.difference) <= 0.01 else redrawn.light == "amber"
    assert "list is unpublished" in redrawn.why


def test_generated_copies_measure_nothing_of_the_paper(tmp_path: Path) -> None:
    subset = {"name": "generated"}
    sam = point_cell(tmp_path, "ppdls", "sam_vit_h", flat(0.9), subset=subset)
    ritm = point_cell(tmp_path, "ppdls", "ritm_hrnet32", flat(0.4), subset=subset)
    assert compare_values(Evidence([sam, ritm]), bootstrap=QUICK) == []
    assert subset_of(sam)[:2] == ("other", "a generated copy, not the dataset")
    with pytest.raises(UsageError, match=r"none .* published counterpart"):
        paper_tables([sam, ritm], bootstrap=QUICK)


def test_groups_of_people_are_compared_by_their_group(tmp_path: Path) -> None:
    values = {"gender_presentation": ["Predominantly Feminine", "Predominantly Masculine", "Unknown"]}

    def iou(image: int, n: int, k: int) -> float:
        return (0.4, 0.6, 0.9)[(image * 2 + n) % 3]

    cell = point_cell(tmp_path, "miap", "sam_vit_h", iou, prompt="random", groups=values, n_images=6)
    found = compare_values(Evidence([cell]), published("fairness_people"), bootstrap=QUICK)
    by = {(a.published.group, a.published.k): a.measured for a in found}
    assert by == {
        ("Predominantly Feminine", 1): pytest.approx(0.4),
        ("Predominantly Feminine", 3): pytest.approx(0.4),
        ("Predominantly Masculine", 1): pytest.approx(0.6),
        ("Predominantly Masculine", 3): pytest.approx(0.6),
    }
    center = point_cell(tmp_path / "c", "miap", "sam_vit_h", iou, prompt="center", groups=values)
    assert compare_values(Evidence([center]), published("fairness_people"), bootstrap=QUICK) == []
