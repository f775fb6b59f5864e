"""Files of ratings: read whole, and what is said of malformed ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sambench.errors import DataError
from sambench.rating import tables as rating_tables
from sambench.rating.statistics import read_ratings
from tests.helpers.rating_files import changed, rated, write


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    rows = rated()
    got = read_ratings(write(tmp_path / "r.csv", rows))
    assert got.notes == ()
    assert got.frame["score"].tolist() == [r["score"] for r in rows]
    assert got.frame["line"].tolist() == list(range(2, 20))
    assert got.frame["item"].iloc[0] == "im0/0"
    assert not got.frame["is_control"].any()
    pd.DataFrame(rows).to_parquet(tmp_path / "r.parquet")
    again = read_ratings(tmp_path / "r.parquet").frame
    pd.testing.assert_frame_equal(again.drop(columns="line"), got.frame.drop(columns="line"))
    items = [{"rater": r["rater"], "item": r["object_id"], "model": r["model"], "dataset": "x", "score": r["score"]} for r in rows]
    assert read_ratings(write(tmp_path / "i.csv", items)).frame["item"].nunique() == 6


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (changed(5, score=11), r"line 5: score 11 is outside 1 to 10; write a whole number from 1 to 10"),
        (changed(5, score=0), r"line 5: score 0 is outside 1 to 10"),
        (changed(5, score="nan"), r"line 5: score nan is outside"),
        (changed(7, score=7.5), r"line 7: score 7\.5 is not a whole number; the scale has steps of one"),
        (changed(7, score="good"), r"line 7: score 'good' is not a number"),
        (changed(7, score=""), r"line 7: no score; .*remove the line"),
        (changed(9, seconds=-3), r"line 9: seconds is '-3(\.0)?'; write a number from 0 on"),
        (changed(9, seconds="a while"), r"line 9: seconds is 'a while'"),
        (changed(3, rater=""), r"line 3: no rater"),
        (changed(3, model=""), r"line 3: no model"),
        (changed(3, image_id="", object_id=""), r"line 3: nothing says what was rated"),
        ([{**r, "is_control": "perhaps" if i == 2 else "no"} for i, r in enumerate(rated())], r"line 4: is_control is 'perhaps'"),
        ([*rated(), rated()[4]], r"line 20: rater 'r\d' has rated this job at line 6 already; keep the one that counts"),
        ([*rated(), {**rated()[4], "job_id": "other", "score": 2}], r"line 20: rater 'r\d' has rated this job at line 6 already"),
        ([*rated(), {**rated()[4], "object_id": "99", "model": "sam"}], r"line 20: job 'demo1ritm' is another mask at line 6"),
        (rated()[:-1], r"line 17: 'im2/5' of demo is rated for sam, ritm, not for ground_truth; .*--incomplete"),
        ([{**r, "model": "samm"} if i == 9 else r for i, r in enumerate(rated(30))], "line 11: unknown model 'samm'; did you mean"),
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_line_is_named_with_its_remedy(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(DataError) as e:
        read_ratings(write(tmp_path / "r.csv", rows))
    assert re.search(said, str(e.value)), str(e.value)
    assert "r.csv" in str(e.value)


def test_every_malformed_line_is_named_in_order_up_to_twenty(tmp_path: Path) -> None:
    rows = [{**r, "score": 11 if i % 2 else r["score"]} for i, r in enumerate(rated(20))]
    rows[0]["rater"] = ""
    with pytest.raises(DataError, match=r"(?s)31 ratings cannot.*line 2: no rater.*line 3: score 11.*line 39.*and 11 more"):
        read_ratings(write(tmp_path / "r.csv", rows))


def test_models_that_are_named_are_the_only_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", rated())
    assert len(read_ratings(path, models=["sam", "ritm", "ground_truth"]).frame) == 18
    with pytest.raises(DataError, match="line 3: unknown model 'ritm'; did you mean 'ritm_h32'"):
        read_ratings(path, models=["sam", "ritm_h32", "ground_truth"])


def test_missing_pairs_are_left_out_when_asked(tmp_path: Path) -> None:
    got = read_ratings(write(tmp_path / "r.csv", rated()[:-1]), allow_missing=True)
    assert any("1 inputs are not rated for all models" in n for n in got.notes)
    table = rating_tables.differences_table(got, "ground_truth", "sam", n_resamples=200)
    assert table.rows[0].values["n"] == 5


@pytest.mark.parametrize(
    ("encoding", "sep", "said"),
    [("utf-8-sig", ",", "byte order mark"), ("utf-8", ";", "semicolons"), ("utf-16", "\t", "UTF-16"), ("utf-8-sig", ";", "mark")],
)
def test_excels_habits_are_read_and_noted(tmp_path: Path, encoding: str, sep: str, said: str) -> None:
    plain = read_ratings(write(tmp_path / "plain.csv", rated()))
    decimal = "." if sep == "," else ","
    got = read_ratings(write(tmp_path / "r.csv", rated(), encoding=encoding, sep=sep, decimal=decimal, lineterminator="\r\n"))
    pd.testing.assert_frame_equal(got.frame, plain.frame)
    assert any(said in n for n in got.notes)


def test_sep_line_and_quoted_line_breaks_keep_line_numbers(tmp_path: Path) -> None:
    text = write(tmp_path / "r.csv", rated(), sep=";").read_text()
    (tmp_path / "r.csv").write_text("sep=;\n" + text)
    assert read_ratings(tmp_path / "r.csv").frame["line"].tolist() == list(range(3, 21))
    rows = [{**r, "started_at": "9:00\n9:01" if i == 0 else ""} for i, r in enumerate(changed(4, score=12))]
    with pytest.raises(DataError, match="line 5: score 12"):
        read_ratings(write(tmp_path / "q.csv", rows))


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
    rows = rated()
    key = write(tmp_path / "key.csv", [{k: v for k, v in r.items() if k not in ("rater", "score", "seconds")} for r in rows])
    blind = [{"job_id": r["job_id"], "rater": r["rater"], "score": r["score"]} for r in rows]
    got = read_ratings(write(tmp_path / "r.csv", blind), key=key)
    plain = read_ratings(write(tmp_path / "plain.csv", rows)).frame
    pd.testing.assert_frame_equal(got.frame.drop(columns="seconds"), plain.drop(columns="seconds"))
    fewer = read_ratings(write(tmp_path / "r.csv", blind[:-3]), key=key)
    assert "3 of 18 jobs of the key have no rating yet" in fewer.notes
    with pytest.raises(DataError, match=r"line 19: job 'demo5ground_truht' is not in key.csv; did you mean 'demo5ground_truth'"):
        read_ratings(write(tmp_path / "r.csv", [*blind[:-1], {**blind[-1], "job_id": "demo5ground_truht"}]), key=key)
    with pytest.raises(DataError, match=r"line 2: model is 'ritm', and 'sam' for job 'demo0sam' in key.csv"):
        read_ratings(write(tmp_path / "r.csv", [{**b, "model": "ritm" if i == 0 else ""} for i, b in enumerate(blind)]), key=key)
    with pytest.raises(DataError, match="not a key of rating jobs"):
        read_ratings(tmp_path / "r.csv", key=tmp_path / "r.csv")
