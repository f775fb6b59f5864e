"""Tables of a rating study say what its frame says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sambench.errors import UsageError
from sambench.layout import to_frame
from sambench.rating import tables as rating_tables
from sambench.rating.statistics import read_ratings
from tests.helpers import sambench
from tests.helpers.rating_files import changed, write


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
    return write(tmp_path_factory.mktemp("study") / "ratings.csv", rows)


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
    bad = write(tmp_path / "bad.csv", changed(5, score=11))
    done = sambench("rate", "stats", str(bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 5: score 11 is outside 1 to 10" in done.stderr
