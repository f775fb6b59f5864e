"""The statistics of rating studies: by hand, against statsmodels, and against table 8."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from sambench.metrics.mixed import MixedDifference, mixed_difference
from sambench.metrics.ratings import histogram, krippendorff_alpha, mean_rating, rating_difference, spread

_ = np.nan
# Krippendorff's own example (Computing Krippendorff's Alpha-Reliability, 2011): 4 observers, 12 units, 5 values, with holes.
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)


def _long(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores, units) of a table [raters, units] with holes."""
    rated = ~np.isnan(table)
    return table[rated], np.broadcast_to(np.arange(table.shape[1]), table.shape)[rated]


@pytest.mark.parametrize(("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs_own(metric: str, alpha: float) -> None:
    scores, units = _long(EXAMPLE)
    assert krippendorff_alpha(scores, units, metric=metric) == pytest.approx(alpha, abs=5e-4)


def test_alpha_by_hand() -> None:
    # Three jobs, two raters: (1, 1), (1, 2), (2, 2). Six ratings, three of each value: coincidences o11 = 2, o12 = o21 = 1, o22 =
    # 2, so disagreement 2 of 6 against 2 * 3 * 3 / (6 * 5) expected; with two values every metric's distance is one constant.
    scores, jobs = np.array([1, 1, 1, 2, 2, 2]), ["x", "x", "y", "y", "z", "z"]
    for metric in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha(scores, jobs, metric=metric) == pytest.approx(1 - (2 / 6) / (18 / 30), abs=1e-12)
    # Three values, ordinal, by hand: jobs (1, 2) and (2, 3), so n1 = 1, n2 = 2, n3 = 1 and ranks at .5, 2, 3.5: distances 1.5,
    # 1.5, 3.
    expected = (1 * 2 * 1.5**2 + 2 * 1 * 1.5**2 + 1 * 1 * 3**2) * 2 / (4 * 3)
    found = (1.5**2 + 1.5**2) * 2 / 4
    assert krippendorff_alpha(np.array([1, 2, 2, 3]), [0, 0, 1, 1]) == pytest.approx(1 - found / expected, abs=1e-12)


def test_alpha_at_its_edges() -> None:
    assert krippendorff_alpha(np.array([3, 3, 8, 8]), [0, 0, 1, 1]) == pytest.approx(1)
    assert krippendorff_alpha(np.array([3, 8, 3, 8]), [0, 0, 1, 1]) < 0
    assert math.isnan(krippendorff_alpha(np.array([3, 8]), [0, 1]))
    assert math.isnan(krippendorff_alpha(np.array([5, 5, 5, 5]), [0, 0, 1, 1]))
    assert math.isnan(krippendorff_alpha(np.array([]), []))
    rng = np.random.default_rng(0)
    assert krippendorff_alpha(rng.integers(1, 11, 20_000), np.repeat(np.arange(10_000), 2)) == pytest.approx(0, abs=0.03)
    scores, units = _long(EXAMPLE)
    alone = krippendorff_alpha(np.append(scores, 9), np.append(units, 99))  # a job rated once says nothing
    assert alone == pytest.approx(krippendorff_alpha(scores, units), abs=1e-12)


def test_spread_by_hand() -> None:
    got = spread(np.array([4, 6, 8, 3, 3, 9]), ["a", "a", "a", "b", "b", "c"])
    assert (got.n_jobs, got.n_ratings) == (2, 5)
    assert (got.mean_sd, got.mean_range) == (pytest.approx((2 + 0) / 2), pytest.approx(2))
    assert math.isnan(spread(np.array([4]), ["a"]).mean_sd)


def test_mean_rating_is_a_t_interval() -> None:
    x = np.random.default_rng(0).integers(1, 11, 40)
    got = mean_rating(x, level=0.95)
    assert (got.low, got.high) == pytest.approx(stats.t.interval(0.95, 39, x.mean(), stats.sem(x)))
    assert (mean_rating(np.array([7])).mean, math.isnan(mean_rating(np.array([7])).low)) == (7, True)
    assert mean_rating(np.array([])).n == 0


def test_histogram_counts_scores() -> None:
    assert histogram(np.array([1, 10, 10, 3])).tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert histogram(np.array([])).tolist() == [0] * 10
    for wrong in (0, 11, 7.5):
        with pytest.raises(ValueError, match="whole numbers from 1 to 10"):
            histogram(np.array([5, wrong]))


# Table 8: 99 % interval and p of "SAM rates higher", against the baseline and against single-output SAM.
TABLE_8 = {
    "LVIS v0.5, baseline": ((1.40, 1.84), 4e-69),
    "LVIS v0.5, single": ((0.29, 0.64), 2e-11),
    "VISOR, baseline": ((1.81, 2.24), 7e-98),
    "VISOR, single": ((0.58, 0.94), 7e-26),
    "DRAM, baseline": ((1.54, 2.00), 1e-76),
    "DRAM, single": ((0.62, 1.03), 2e-24),
    "IBD, baseline": ((1.03, 1.39), 2e-57),
    "IBD, single": ((0.32, 0.62), 1e-15),
    "NDD20, baseline": ((1.88, 2.37), 2e-86),
    "NDD20, single": ((0.19, 0.55), 5e-8),
    "OVIS, baseline": ((1.38, 1.84), 2e-64),
    "OVIS, single": ((0.27, 0.63), 3e-10),
    "iShape, baseline": ((1.97, 2.47), 2e-88),
    "iShape, single": ((0.65, 1.10), 7e-23),
    "LVIS v1 boxes, ViTDet-H": ((0.11, 0.42), 2e-5),
}
# The interval implies t = 4.40 and a one-sided p of 6e-6, 11 % from 2e-5 in log10; the two-sided 1.2e-5 lies within 5 %.
INCONSISTENT = "LVIS v1 boxes, ViTDet-H"


def _standardised(low: float, high: float, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Scores of n inputs under two models whose difference has exactly the mean and the standard error that the interval
    implies.
    """
    rng = np.random.default_rng(round(1000 * low))
    d = rng.integers(1, 11, n) - rng.integers(1, 11, n) + rng.random(n)
    d = (d - d.mean()) / d.std(ddof=1)
    error = (high - low) / 2 / stats.norm.isf(0.005)
    b = rng.normal(6, 2, n)
    return b + (low + high) / 2 + d * error * math.sqrt(n), b


@pytest.mark.parametrize("name", TABLE_8)
def test_table_8_follows_from_its_own_midpoints_and_errors(name: str) -> None:
    (low, high), p = TABLE_8[name]
    got = rating_difference(*_standardised(low, high))
    assert (got.low, got.high) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))
    one, two = (math.log10(x) / math.log10(p) for x in (got.tests.t.p_greater, got.tests.t.p_two_sided))
    assert (abs(one - 1) <= 0.1) == (name != INCONSISTENT)
    assert two == pytest.approx(1, abs=0.1)


def test_rating_difference_takes_images_as_clusters_beside() -> None:
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(50), 4)
    a = 6 + rng.normal(0.3, 1, 50)[images] + rng.normal(0, 0.3, 200)
    got = rating_difference(a, np.full(200, 6.0), images, n_resamples=500)
    assert got.by_image is not None
    assert got.by_image.df == 49
    assert got.by_image.std_error > 1.5 * got.tests.t.std_error
    with pytest.raises(ValueError, match="of one length"):
        rating_difference(a, a[:-1])


def _study(n_inputs: int, n_raters: int, *, seed: int, rater_sd: float = 0.7, difference: float = 0.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"input": np.repeat(np.arange(n_inputs), 2), "a": np.tile([1, 0], n_inputs)})
    frame["rater"] = rng.integers(0, n_raters, len(frame))
    effects = rng.normal(0, 1.2, n_inputs)[frame["input"]] + rng.normal(0, rater_sd, n_raters)[frame["rater"]]
    frame["score"] = 6 + difference * frame["a"] + effects + rng.normal(0, 0.9, len(frame))
    return frame


def _mixed(frame: pd.DataFrame, **options: float) -> MixedDifference:
    return mixed_difference(*(frame[c].to_numpy() for c in ("score", "a", "input", "rater")), **options)


def _statsmodels(frame: pd.DataFrame, formula: str, **effects: str) -> tuple[float, float, dict[str, float]]:
    """A - B, its error, and the effects' variances, by MixedLM with everything in one group."""
    model = smf.mixedlm(formula, frame, groups=np.ones(len(frame)), vc_formula=effects)
    fit = model.fit(method=["powell"])
    variances = dict(zip(model.exog_vc.names, fit.vcomp, strict=True)) | {"residual": fit.scale}
    return fit.fe_params["a"], fit.bse_fe["a"], variances


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mixed_model_is_statsmodels_with_an_effect_of_every_input(seed: int) -> None:
    frame = _study(100, 9, seed=seed)
    got = _mixed(frame, level=0.95)
    mean, error, variances = _statsmodels(frame, "score ~ a + C(input)", rater="0+C(rater)")
    assert got.fitted
    assert (got.mean, got.std_error) == (pytest.approx(mean, abs=1e-3 * error), pytest.approx(error, rel=1e-3))
    assert got.rater_sd == pytest.approx(math.sqrt(variances["rater"]), rel=2e-3)
    assert got.residual_sd == pytest.approx(math.sqrt(variances["residual"]), rel=1e-3)
    assert (got.n_ratings, got.n_inputs, got.n_raters) == (200, 100, 9)
    assert got.high - got.low == pytest.approx(2 * stats.t.isf(0.025, 99) * got.std_error)


@pytest.mark.parametrize("seed", [1, 2])
def test_mixed_model_is_near_the_crossed_one_of_random_inputs(seed: int) -> None:
    frame = _study(150, 9, seed=seed)
    got = _mixed(frame)
    mean, error, variances = _statsmodels(frame, "score ~ a", rater="0+C(rater)", input="0+C(input)")
    assert got.mean == pytest.approx(mean, abs=0.2 * error)
    assert got.std_error == pytest.approx(error, rel=0.03)
    for name, found in (("rater", got.rater_sd), ("input", got.input_sd), ("residual", got.residual_sd)):
        assert found == pytest.approx(math.sqrt(variances[name]), rel=0.1), name


def test_mixed_model_holds_the_true_difference_and_is_sharper_than_the_paired_test() -> None:
    inside, narrower = 0, 0
    for seed in range(60):
        frame = _study(80, 6, seed=seed, rater_sd=1.5)
        got = _mixed(frame, level=0.95)
        assert got.fitted, got.note
        inside += got.low <= 0.5 <= got.high
        wide = frame.pivot(index="input", columns="a", values="score")
        narrower += got.std_error < stats.sem(wide[1] - wide[0])
    assert inside >= 52  # of 60; 57 are expected, and fewer has a chance of 1 %
    assert narrower == 60


def test_mixed_model_says_why_it_has_no_answer() -> None:
    frame = _study(40, 5, seed=0)
    for change, why in (
        ({"rater": 0}, "only one rater"),
        ({"rater": np.arange(80)}, "no rater rated twice"),
        ({"rater": np.arange(80) // 2}, "40 raters for 40 inputs: too few"),
        ({"a": 1}, "only 0 inputs"),
        ({"score": 5.0}, "the difference is the same for every input"),
    ):
        got = _mixed(frame.assign(**change))
        assert not got.fitted
        assert why in got.note
        assert math.isnan(got.mean)
        assert math.isnan(got.p_greater)


def test_mixed_model_at_the_edge_says_so() -> None:
    notes = [_mixed(_study(200, 10, seed=s, rater_sd=0.0)) for s in range(6)]
    assert all(m.fitted for m in notes)
    edge = [m for m in notes if m.rater_sd == 0]
    assert edge  # the estimate of a variance that is 0 is 0 in about half of the samples
    assert all("estimated as 0" in m.note for m in edge)
    frame = _study(200, 10, seed=0, rater_sd=0.0)  # one of them: the paired t-test is what is left
    wide = frame.pivot(index="input", columns="a", values="score")
    assert notes[0].rater_sd == 0
    assert notes[0].p_greater == pytest.approx(stats.ttest_rel(wide[1], wide[0], alternative="greater").pvalue, rel=1e-3)


def test_mixed_model_counts_a_mask_once_however_often_it_is_rated() -> None:
    rng = np.random.default_rng(2)
    frame = _study(60, 6, seed=4, rater_sd=0.3)
    frame["score"] += rng.normal(0, 1, len(frame))  # the masks' own quality, which all of their raters see
    again = pd.concat([frame.assign(rater=(frame["rater"] + i) % 6) for i in range(6)])  # by all raters
    once, often = _mixed(frame), _mixed(again)
    assert often.mean == pytest.approx(once.mean, abs=0.15)
    assert often.std_error > 0.8 * once.std_error
    assert "whose effects cancel" in often.note


def test_mixed_model_leaves_inputs_without_a_partner_out() -> None:
    frame = _study(60, 5, seed=4)
    more = pd.DataFrame({"input": [900, 901], "a": [1, 0], "rater": [0, 1], "score": [10.0, 1.0]})
    assert _mixed(pd.concat([frame, more])).mean == _mixed(frame).mean


def test_mixed_model_does_not_pass_off_a_failed_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, fit = _study(60, 5, seed=1), MixedLM.fit

    def unconverged(model: MixedLM, **options: Any) -> Any:
        found = fit(model, **options)
        found.converged = False
        return found

    def astray(model: MixedLM, **options: Any) -> Any:
        found = fit(model, **options)  # as statsmodels' gradient methods end at times, and call it converged
        found.vcomp = np.array([40 * found.scale])
        return found

    for broken, why in (
        (unconverged, "powell: not converged; nm: not converged; bfgs"),
        (astray, "a worse likelihood than elsewhere"),
    ):
        monkeypatch.setattr(MixedLM, "fit", broken)
        got = _mixed(frame)
        assert not got.fitted
        assert why in got.note
        assert math.isnan(got.mean)
