"""The ledger has no row that the suite could not fill: methods without a card by the name of a run, ratings by a study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sambench import cards, tasks
from sambench.metrics.ratings import RatingDifference, rating_difference
from sambench.paper.claims import claims, judge
from sambench.paper.evidence import Evidence
from sambench.paper.ledger import Entry, ledger
from sambench.paper.published import published
from sambench.store.views import read_cell
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import edge_cell

QUICK = Bootstrap(n_resamples=100)


def test_every_row_can_be_filled_or_names_what_is_not_to_be_had() -> None:
    for v in published():
        if v.reason:
            assert "released" in v.reason or "private" in v.reason, v
            continue
        assert v.task in (*tasks.names(), "ratings"), v
        for name in filter(None, (v.model, v.baseline)):
            assert cards.model_cards()[name].state != "unavailable", v
        assert v.model or f"--name {v.method}" in v.remark, v
    for claim in claims():
        assert not claim.reason or "released" in claim.reason or "private" in claim.reason, claim


def _of(entries: list[Entry], where: str, method: str) -> list[Entry]:
    return [e for e in entries if (e.where, e.method) == (where, method)]


def test_a_method_without_a_card_is_measured_by_a_run_of_its_name(tmp_path: Path) -> None:
    cell = edge_cell(tmp_path, "edges_maps", [(788, 1000, 788, 1000)] * 99)
    assert {e.state for e in _of(ledger(Evidence([cell]), bootstrap=QUICK), "Table 3", "HED")} == {"not measured"}
    (cell.path.parent / "model.json").write_text(json.dumps({"label": "hed"}))
    entries = ledger(Evidence([read_cell(cell.path)]), bootstrap=QUICK)
    found = {e.what: e for e in _of(entries, "Table 3", "HED")}
    assert (found["ODS"].state, found["ODS"].measured) == ("reproduced", pytest.approx(0.788))
    assert {e.state for e in _of(entries, "Table 3", "EDETR")} == {"not measured"}


def _study(mean: float, n: int = 1500) -> RatingDifference:
    rng = np.random.default_rng(5)
    ours = np.clip(np.rint(6 + mean + rng.normal(0, 1, n)), 1, 10)
    return rating_difference(ours, np.clip(np.rint(6 + rng.normal(0, 1, n)), 1, 10), None, n_resamples=200, level=0.99, seed=0)


def test_ratings_fill_their_rows_and_their_claim() -> None:
    values = [v for v in published("ratings") if v.variant == "baseline"]
    middle = {v.dataset: ((v.low or 0) + (v.high or 0)) / 2 for v in values if v.low is not None}
    rated = {"baseline": {dataset: _study(mean) for dataset, mean in middle.items()}}
    entries = ledger(Evidence([], rated=rated), bootstrap=QUICK)
    rows = [e for e in entries if e.where == "Table 8"]
    states = {(e.what, e.state) for e in rows if not e.why.startswith("the single-output")}
    assert states == {("rating difference", "reproduced"), ("p value", "reproduced")}
    assert {e.state for e in rows if e.why.startswith("the single-output")} == {"unavailable"}
    claim = next(c for c in claims() if c.id == "rated_higher")
    found = judge(claim, Evidence([], rated=rated), QUICK)
    assert (found.state, found.found, found.printed) == ("reproduced", "8 of 8 datasets", "8 of 8 datasets")
    rated["baseline"]["dram"] = _study(-1.0)
    assert judge(claim, Evidence([], rated=rated), QUICK).state == "differs"
    entries = ledger(Evidence([], rated=rated), bootstrap=QUICK)
    assert {e.state for e in entries if e.where == "Table 8" and e.dataset == "dram" and e.measured is not None} == {"differs"}
    del rated["baseline"]["dram"]
    assert "7 of the 8" in judge(claim, Evidence([], rated=rated), QUICK).found
