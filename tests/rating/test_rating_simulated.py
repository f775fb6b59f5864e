"""Simulated raters: seeded, known to be none, and a known difference that the statistics find with the coverage that they claim."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sambench.errors import DataError, UsageError
from sambench.rating import tables
from sambench.rating.database import Database
from sambench.rating.drawing import Answer
from sambench.rating.intake import Planned, bring_in, find_study
from sambench.rating.queue import Queue
from sambench.rating.simulate import HIGHEST, LOWEST, Person, Raters, quality_of, simulate
from sambench.rating.statistics import ratings_from, read_ratings
from sambench.rating.stored import ratings_of
from tests.helpers.inprocess import Cli
from tests.helpers.rating_study import write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "s", n_inputs=30, n_controls=10)


def served(study: Path, place: Path, planned: Planned | None = None) -> Database:
    found = Database(place, create=True)
    bring_in(found, find_study(study), planned)
    return found


def test_one_seed_gives_one_study(study: Path, tmp_path: Path) -> None:
    held = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        database = served(study, tmp_path / name)
        simulate(database, Raters(5, seed=seed))
        records = ratings_of(database)[0]
        held.append(sorted((r["rater"], r["job_id"], r["score"], r["seconds"], r["shown_order"]) for r in records))
        database.close()
    assert held[0] == held[1]
    assert held[0] != held[2]


def test_simulated_ratings_say_so_and_do_not_mix_with_real_ones(study: Path, tmp_path: Path) -> None:
    database = served(study, tmp_path / "r.sqlite")
    queue = Queue(database)
    n = simulate(database, Raters(3), most=20)
    assert n == 20
    assert any("SIMULATED: 3 raters" in note for note in read_ratings(tmp_path / "r.sqlite").notes)
    simulate(database, Raters(2), most=5)  # more of them
    person = queue.invite("Ada")
    slot = queue.stand(person.rater_id).slots[0]
    queue.answer(person.rater_id, Answer(slot.slot, slot.round, 5, "a"))
    with pytest.raises(UsageError, match=r"(?s)people rate in that database.*--database"):
        simulate(database, Raters(3))
    with pytest.raises(UsageError, match="did you mean 'ritm'"):
        simulate(served(study, tmp_path / "t.sqlite"), Raters(3, effects={"rittm": 1.0}))
    for wrong in ({"n": 0}, {"careless": 9}, {"noise_sd": -1.0}, {"fatigue": float("nan")}):
        with pytest.raises(UsageError):
            Raters(**wrong)  # type: ignore[arg-type]


def test_a_study_without_ious_cannot_be_simulated(study: Path, tmp_path: Path) -> None:
    with (study / "key.csv").open() as f:
        rows = [row[:9] for row in csv.reader(f)]
    with (tmp_path / "key.csv").open("w", newline="") as f:
        csv.writer(f).writerows(rows)
    database = Database(tmp_path / "r.sqlite", create=True)
    bring_in(database, find_study(study, tmp_path / "key.csv"))
    with pytest.raises(DataError, match="how good its masks are"):
        simulate(database, Raters(3))


def test_the_careless_fail_controls_and_lower_agreement(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.rating.drawing.CONTROL_EVERY", 5)
    alphas = []
    for name, careless in (("a", 0), ("b", 1)):
        database = served(study, tmp_path / name, Planned(3, 1.0))
        simulate(database, Raters(4, careless=careless, seed=3))
        ratings = read_ratings(tmp_path / name)
        (agreement,) = tables.agreement_table(ratings).rows
        alphas.append(agreement.values["alpha"])
        passed = {r.values["rater"]: r.values["passed"] for r in tables.raters_table(ratings).rows}
        assert passed["r01"] == 1.0
        assert (passed["r04"] < 0.8) == bool(careless)
    assert alphas[0] > alphas[1] + 0.1


def test_fatigue_and_bias_are_what_is_asked_for() -> None:
    tired = Person(Raters(bias_sd=0, noise_sd=0.5, fatigue=1.0, unjudged=0), 0)
    scores = [tired.rate(7.0)[0] or 0 for _ in range(300)]
    assert np.mean(scores[:100]) - np.mean(scores[200:]) == pytest.approx(2.0, abs=0.2)
    biases = [Person(Raters(1000, bias_sd=0.7), n).bias for n in range(1000)]
    assert np.std(biases) == pytest.approx(0.7, abs=0.06)
    assert [quality_of(i) for i in (0.0, 1.0)] == [1.0, 9.5]


def expected_score(mean: float | np.ndarray, sd: float) -> np.ndarray:
    """The mean of whole scores from 1 to 10, of felt quality normal with these means and this deviation: the truth of a study."""
    cuts = np.arange(LOWEST, HIGHEST) + 0.5
    above = stats.norm.sf((cuts - np.asarray(mean, np.float64)[..., None]) / sd)
    return np.asarray(LOWEST + above.sum(-1), np.float64)


def test_expected_score_by_simulation() -> None:
    rng = np.random.default_rng(0)
    for mean in (0.5, 5.0, 9.8):
        felt = np.clip(np.rint(mean + rng.normal(0, 1.3, 400_000)), 1, 10)
        assert float(expected_score(mean, 1.3)) == pytest.approx(felt.mean(), abs=0.01)


@pytest.mark.parametrize("n", [pytest.param(30, id="quick"), pytest.param(200, id="all", marks=pytest.mark.slow)])
def test_a_known_difference_is_found_with_the_coverage_that_is_claimed(n: int) -> None:
    """Inputs of normal quality, two models that differ by half a point, masks dealt to eight raters at random. Intervals of 95 % of
    the bootstrap and of the mixed model hold the true difference as often as they say; the one-sided test finds it.
    """
    effect, quality_sd, raters = 0.5, 1.2, Raters(8, bias_sd=0.6, noise_sd=0.9, unjudged=0)
    sd = float(np.sqrt(quality_sd**2 + raters.bias_sd**2 + raters.noise_sd**2))
    truth = float(expected_score(6.0 + effect, sd) - expected_score(6.0, sd))
    assert 0.4 < truth < effect  # the scale's ends and steps take a little
    held, mixed_held, found = 0, 0, 0
    for seed in range(n):
        rng = np.random.default_rng([7, seed])
        people = [Person(Raters(8, bias_sd=0.6, noise_sd=0.9, unjudged=0, seed=1000 + seed), k) for k in range(8)]
        quality = rng.normal(6.0, quality_sd, 120)
        records = []
        for item, model in rng.permutation([(i, m) for i in range(120) for m in (0, 1)]):
            rater = int(rng.integers(8))
            score, seconds = people[rater].rate(quality[item] + effect * model)
            names = {"rater": f"r{rater}", "model": "better" if model else "worse", "dataset": "d", "item": f"i{item}"}
            records.append({**names, "score": str(score), "seconds": str(seconds)})
        pair, mixed = tables.differences(ratings_from(records), "better", "worse", level=0.95, n_resamples=1000, seed=seed)["d"]
        held += pair.low <= truth <= pair.high
        mixed_held += mixed.low <= truth <= mixed.high
        found += pair.tests.t.p_greater < 0.05
    for hits in (held, mixed_held):
        assert stats.binomtest(hits, n, 0.95).pvalue > 1e-3, f"{hits} of {n} intervals of 95 % hold the truth"
    assert found > 0.75 * n


def test_from_jobs_to_the_report_in_four_commands(study: Path, tmp_path: Path, cli: Cli) -> None:
    database = tmp_path / "r.sqlite"
    done = cli("rate", "simulate", study, "--database", database, "--raters", 4, "--effect", "sam=1.5", "--seed", 5)
    assert done.code == 0, done.err
    assert "simulated ratings are in" in done.out
    stats_of = cli("rate", "stats", database, "--a", "sam", "--b", "ritm", "--format", "json")
    assert stats_of.code == 0, stats_of.err
    assert '"SIMULATED: 4 raters' in stats_of.out
    report = cli("rate", "report", database, "--rated", "sam,ritm", "--format", "html,csv", "--out", tmp_path / "report")
    assert report.code == 0, report.err
    page = (tmp_path / "report" / "ratings.html").read_text()
    assert "SIMULATED" in page
    assert "no ratings of masks from a box" in report.err  # figure 11 is of boxes, and said to be missing
    assert {p.stem for p in (tmp_path / "report" / "tables").iterdir()} == {"runs", "table8"}
    assert {p.stem for p in (tmp_path / "report").rglob("fig*.csv")} == {"fig9b", "fig18"}
    wrong = cli("rate", "simulate", study, "--database", tmp_path / "x.sqlite", "--effect", "sam=much")
    assert (wrong.code, "MODEL=POINTS" in wrong.err) == (2, True)
    assert cli("rate", "stats", tmp_path / "none.sqlite").code == 2
    assert cli("rate", "report", database, "--key", tmp_path / "none.csv").code == 2
