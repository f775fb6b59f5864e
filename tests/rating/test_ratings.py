"""The statistics of rating studies: by hand, against statsmodels, against table 8; and what is said of malformed files."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from sambench.errors import DataError, UsageError
from sambench.layout import to_frame
from sambench.metrics.mixed import MixedDifference, mixed_difference
from sambench.metrics.ratings import histogram, krippendorff_alpha, mean_rating, rating_difference, spread
from sambench.rating import tables as rating_tables
from sambench.rating.statistics import read_ratings
from tests.helpers import sambench

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


# --- files


def _write(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False, **options)
    return path


def _rows(
    n_inputs: int = 6, models: tuple[str, ...] = ("sam", "ritm", "ground_truth"), dataset: str = "demo"
) -> list[dict[str, Any]]:
    """A complete little study: line 2 is input 0 of the first model."""
    rng = np.random.default_rng(0)
    return [
        {"job_id": f"{dataset}{i}{m}", "rater": f"r{rng.integers(3)}", "dataset": dataset, "model": m, "image_id": f"im{i // 2}",
         "object_id": str(i), "score": int(np.clip(rng.normal(6 + j, 1.5), 1, 10).round()), "seconds": 7.5}
        for i in range(n_inputs)
        for j, m in enumerate(models)
    ]  # fmt: skip


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    rows = _rows()
    got = read_ratings(_write(tmp_path / "r.csv", rows))
    assert got.notes == ()
    assert got.frame["score"].tolist() == [r["score"] for r in rows]
    assert got.frame["line"].tolist() == list(range(2, 20))
    assert got.frame["item"].iloc[0] == "im0/0"
    assert not got.frame["is_control"].any()
    pd.DataFrame(rows).to_parquet(tmp_path / "r.parquet")
    again = read_ratings(tmp_path / "r.parquet").frame
    pd.testing.assert_frame_equal(again.drop(columns="line"), got.frame.drop(columns="line"))
    items = [{"rater": r["rater"], "item": r["object_id"], "model": r["model"], "dataset": "x", "score": r["score"]} for r in rows]
    assert read_ratings(_write(tmp_path / "i.csv", items)).frame["item"].nunique() == 6


def _changed(at: int, **values: Any) -> list[dict[str, Any]]:
    """`_rows` with other values on line `at`."""
    rows = [dict(r) for r in _rows()]
    rows[at - 2] |= values
    return rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (_changed(5, score=11), r"line 5: score 11 is outside 1 to 10; write a whole number from 1 to 10"),
        (_changed(5, score=0), r"line 5: score 0 is outside 1 to 10"),
        (_changed(5, score="nan"), r"line 5: score nan is outside"),
        (_changed(7, score=7.5), r"line 7: score 7\.5 is not a whole number; the scale has steps of one"),
        (_changed(7, score="good"), r"line 7: score 'good' is not a number"),
        (_changed(7, score=""), r"line 7: no score; .*remove the line"),
        (_changed(9, seconds=-3), r"line 9: seconds is '-3(\.0)?'; write a number from 0 on"),
        (_changed(9, seconds="a while"), r"line 9: seconds is 'a while'"),
        (_changed(3, rater=""), r"line 3: no rater"),
        (_changed(3, model=""), r"line 3: no model"),
        (_changed(3, image_id="", object_id=""), r"line 3: nothing says what was rated"),
        ([{**r, "is_control": "perhaps" if i == 2 else "no"} for i, r in enumerate(_rows())], r"line 4: is_control is 'perhaps'"),
        ([*_rows(), _rows()[4]], r"line 20: rater 'r\d' has rated this job at line 6 already; keep the one that counts"),
        ([*_rows(), {**_rows()[4], "job_id": "other", "score": 2}], r"line 20: rater 'r\d' has rated this job at line 6 already"),
        ([*_rows(), {**_rows()[4], "object_id": "99", "model": "sam"}], r"line 20: job 'demo1ritm' is another mask at line 6"),
        (_rows()[:-1], r"line 17: 'im2/5' of demo is rated for sam, ritm, not for ground_truth; .*--incomplete"),
        ([{**r, "model": "samm"} if i == 9 else r for i, r in enumerate(_rows(30))], "line 11: unknown model 'samm'; did you mean"),
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_line_is_named_with_its_remedy(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(DataError) as e:
        read_ratings(_write(tmp_path / "r.csv", rows))
    assert re.search(said, str(e.value)), str(e.value)
    assert "r.csv" in str(e.value)


def test_every_malformed_line_is_named_in_order_up_to_twenty(tmp_path: Path) -> None:
    rows = [{**r, "score": 11 if i % 2 else r["score"]} for i, r in enumerate(_rows(20))]
    rows[0]["rater"] = ""
    with pytest.raises(DataError, match=r"(?s)31 ratings cannot.*line 2: no rater.*line 3: score 11.*line 39.*and 11 more"):
        read_ratings(_write(tmp_path / "r.csv", rows))


def test_models_that_are_named_are_the_only_ones(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.csv", _rows())
    assert len(read_ratings(path, models=["sam", "ritm", "ground_truth"]).frame) == 18
    with pytest.raises(DataError, match="line 3: unknown model 'ritm'; did you mean 'ritm_h32'"):
        read_ratings(path, models=["sam", "ritm_h32", "ground_truth"])


def test_missing_pairs_are_left_out_when_asked(tmp_path: Path) -> None:
    got = read_ratings(_write(tmp_path / "r.csv", _rows()[:-1]), allow_missing=True)
    assert any("1 inputs are not rated for all models" in n for n in got.notes)
    table = rating_tables.differences_table(got, "ground_truth", "sam", n_resamples=200)
    assert table.rows[0].values["n"] == 5


@pytest.mark.parametrize(
    ("encoding", "sep", "said"),
    [("utf-8-sig", ",", "byte order mark"), ("utf-8", ";", "semicolons"), ("utf-16", "\t", "UTF-16"), ("utf-8-sig", ";", "mark")],
)
def test_excels_habits_are_read_and_noted(tmp_path: Path, encoding: str, sep: str, said: str) -> None:
    plain = read_ratings(_write(tmp_path / "plain.csv", _rows()))
    decimal = "." if sep == "," else ","
    got = read_ratings(_write(tmp_path / "r.csv", _rows(), encoding=encoding, sep=sep, decimal=decimal, lineterminator="\r\n"))
    pd.testing.assert_frame_equal(got.frame, plain.frame)
    assert any(said in n for n in got.notes)


def test_sep_line_and_quoted_line_breaks_keep_line_numbers(tmp_path: Path) -> None:
    text = _write(tmp_path / "r.csv", _rows(), sep=";").read_text()
    (tmp_path / "r.csv").write_text("sep=;\n" + text)
    assert read_ratings(tmp_path / "r.csv").frame["line"].tolist() == list(range(3, 21))
    rows = [{**r, "started_at": "9:00\n9:01" if i == 0 else ""} for i, r in enumerate(_changed(4, score=12))]
    with pytest.raises(DataError, match="line 5: score 12"):
        read_ratings(_write(tmp_path / "q.csv", rows))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds none"),
        (b"rater,item,model,dataset,score\n", "holds none"),
        (b"PK\x03\x04rest of a workbook", "save it as `CSV UTF-8`"),
        (b"rater,item,model,dataset,score\nJ\xf6rg,1,sam,demo,4\n", "line 2.*0xf6"),
        (b"rater,item,model,dataset,score\na,1,sam,demo,4\na,2,sam,demo\n", "line 3: 4 fields for 5 columns"),
        (b"rater,item,model,dataset,scores\na,1,sam,demo,4\n", "is .scores. meant to be .score."),
        (b"rater,item,model,dataset,score,score\na,1,sam,demo,4,4\n", "stands twice.*'score'"),
        (b"rater,model,dataset,score\na,sam,demo,4\n", "item .or image_id and object_id"),
        (b"job_id,rater,score\n1,a,4\n", "--key FILE"),
        (b"PAR1 and then nothing", "damaged"),
    ],
)
def test_a_file_that_is_no_ratings_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "r.csv").write_bytes(data)
    with pytest.raises(DataError) as e:
        read_ratings(tmp_path / "r.csv")
    assert re.search(said, str(e.value), re.DOTALL), str(e.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_ratings(tmp_path / "nowhere.csv")


def test_a_key_says_what_blinded_jobs_are(tmp_path: Path) -> None:
    rows = _rows()
    key = _write(tmp_path / "key.csv", [{k: v for k, v in r.items() if k not in ("rater", "score", "seconds")} for r in rows])
    blind = [{"job_id": r["job_id"], "rater": r["rater"], "score": r["score"]} for r in rows]
    got = read_ratings(_write(tmp_path / "r.csv", blind), key=key)
    plain = read_ratings(_write(tmp_path / "plain.csv", rows)).frame
    pd.testing.assert_frame_equal(got.frame.drop(columns="seconds"), plain.drop(columns="seconds"))
    fewer = read_ratings(_write(tmp_path / "r.csv", blind[:-3]), key=key)
    assert "3 of 18 jobs of the key have no rating yet" in fewer.notes
    with pytest.raises(DataError, match=r"line 19: job 'demo5ground_truht' is not in key.csv; did you mean 'demo5ground_truth'"):
        read_ratings(_write(tmp_path / "r.csv", [*blind[:-1], {**blind[-1], "job_id": "demo5ground_truht"}]), key=key)
    with pytest.raises(DataError, match=r"line 2: model is 'ritm', and 'sam' for job 'demo0sam' in key.csv"):
        read_ratings(_write(tmp_path / "r.csv", [{**b, "model": "ritm" if i == 0 else ""} for i, b in enumerate(blind)]), key=key)
    with pytest.raises(DataError, match="not a key of rating jobs"):
        read_ratings(tmp_path / "r.csv", key=tmp_path / "r.csv")


# --- tables


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets of 60 inputs, three models, 8 raters, 20 jobs a dataset rated by three more, controls that one rater fails."""
    rng = np.random.default_rng(5)
    rows = []
    for dataset in ("demo", "lvis"):
        for i in range(60):
            of_input = rng.normal(0, 1)
            for j, model in enumerate(("baseline", "sam", "ground_truth")):
                for rater in rng.choice(8, 4 if i < 20 else 1, replace=False):
                    score = np.clip(np.round(5 + 1.3 * j + of_input + 0.3 * (rater - 3.5) + rng.normal(0, 0.8)), 1, 10)
                    rows.append({"rater": f"r{rater}", "dataset": dataset, "model": model, "image_id": f"im{i // 3}", "object_id":
                    i,
                                 "is_control": False, "seconds": rng.uniform(3, 9), "score": int(score)})  # fmt: skip
        for i, rater in enumerate(range(8)):
            rows.append({"rater": f"r{rater}", "dataset": dataset, "model": "control", "image_id": "c", "object_id":
            f"{dataset}{i}",
                         "is_control": True, "seconds": 2.0, "score": 9 if rater == 0 else 2})  # fmt: skip
    return _write(tmp_path_factory.mktemp("study") / "ratings.csv", rows)


def test_tables_say_what_the_frame_says(study: Path) -> None:
    ratings = read_ratings(study)
    raw = pd.read_csv(study).query("not is_control")
    means = to_frame(rating_tables.means_table(ratings)).set_index(["dataset", "model"])
    jobs = raw.groupby(["dataset", "model", "object_id"])["score"].mean()
    for at, group in jobs.groupby(["dataset", "model"]):
        assert means.loc[at, "mean"] == pytest.approx(group.mean())
        assert means.loc[at, "n"] == 60
        assert (means.loc[at, "ci_low"], means.loc[at, "ci_high"]) == pytest.approx(
            stats.t.interval(0.95, 59, group.mean(), stats.sem(group))
        )
    assert means.loc["demo"].index.tolist() == ["ground_truth", "sam", "baseline"]
    histograms = to_frame(rating_tables.histogram_table(ratings)).set_index(["dataset", "model"])
    assert histograms.loc[("demo", "sam"), "n_7"] == len(raw.query("dataset == 'demo' and model == 'sam' and score == 7"))
    assert histograms.filter(like="share_").sum(axis=1).to_numpy() == pytest.approx(1)


def test_differences_table_is_the_paired_test_and_the_mixed_model(study: Path) -> None:
    ratings = read_ratings(study)
    table = to_frame(rating_tables.differences_table(ratings, "sam", "baseline", n_resamples=3000)).set_index("dataset")
    raw = pd.read_csv(study).query("not is_control")
    for dataset, group in raw.groupby("dataset"):
        wide = group.groupby(["object_id", "model"])["score"].mean().unstack()
        test = stats.ttest_rel(wide["sam"], wide["baseline"], alternative="greater")
        got = table.loc[dataset]
        assert (got["difference"], got["n"]) == (pytest.approx((wide["sam"] - wide["baseline"]).mean()), 60)
        assert got["p_greater"] == pytest.approx(test.pvalue, rel=1e-8)
        assert got["ci_low"] < 1.3 < got["ci_high"]
        assert abs(got["mixed"] - 1.3) < 0.45
        assert got["rater_sd"] == pytest.approx(0.3 * np.arange(8).std(), abs=0.45)
    assert table["p_holm"].max() == pytest.approx(max(table["p_greater"].max(), 2 * table["p_greater"].min()), rel=1e-9)
    with pytest.raises(UsageError, match=r"(?s)unknown model 'sma'.*'sam'"):
        rating_tables.differences_table(ratings, "sma", "baseline")
    with pytest.raises(UsageError, match="itself"):
        rating_tables.differences_table(ratings, "sam", "sam")


def test_agreement_and_raters_tables(study: Path) -> None:
    ratings = read_ratings(study)
    agreement = to_frame(rating_tables.agreement_table(ratings)).set_index("dataset")
    assert agreement.loc["demo", ["n_jobs", "n_ratings"]].tolist() == [60, 240]
    assert agreement.loc["all datasets", "n_jobs"] == 120
    assert 0.5 < agreement.loc["demo", "mean_sd"] < 1.2
    assert 0.6 < agreement.loc["demo", "alpha"] < 0.95
    raters = to_frame(rating_tables.raters_table(ratings)).set_index("rater")
    assert raters.loc["r0", ["n_control", "control_mean", "passed"]].tolist() == [2, 9, 0]
    assert raters.loc["r1", ["n_control", "control_mean", "passed"]].tolist() == [2, 2, 1]
    assert raters["n"].sum() == len(ratings.scored)


def test_rate_stats_from_the_command_line(study: Path, tmp_path: Path) -> None:
    done = sambench("rate", "stats", str(study), "--a", "sam", "--b", "baseline", "--resamples", "500")
    assert done.returncode == 0, done.stderr
    for word in ("mean ratings", "A = sam, B = baseline", "share of each score", "agreement between raters", "passed %"):
        assert word in done.stdout
    one = sambench("rate", "stats", str(study), "--table", "means", "--format", "csv")
    assert pd.read_csv(io.StringIO(one.stdout))["model"].nunique() == 3
    whole = json.loads(sambench("rate", "stats", str(study), "-f", "json").stdout)
    assert set(whole) == {"means", "histogram", "agreement", "raters"}
    for wrong, said in (
        (["--a", "sam"], "a difference needs two models"),
        (["--table", "mean"], "'means'"),
        (["--format", "cvs"], "'csv'"),
        (["--a", "sam", "--b", "nobody"], "unknown model 'nobody'"),
    ):
        done = sambench("rate", "stats", str(study), *wrong)
        assert done.returncode == 2
        assert said in done.stderr
    bad = _write(tmp_path / "bad.csv", _changed(5, score=11))
    done = sambench("rate", "stats", str(bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 5: score 11 is outside 1 to 10" in done.stderr


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
