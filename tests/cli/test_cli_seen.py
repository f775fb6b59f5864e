"""What people who tried the command line stumbled over: names of runs, documents of tables, keys, generated copies, pictures."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench import cards, layout
from sambench.conformance.doctor import examine
from sambench.errors import DataError
from sambench.getting import weights as fetch
from sambench.models.sam.segmenter import resized_size
from sambench.rating.statistics import read_ratings
from tests.helpers import ROOT
from tests.helpers.cells import edge_cell, flat, point_cell
from tests.helpers.inprocess import Cli


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point runs of two models, and an edge run, under `runs`."""
    monkeypatch.chdir(tmp_path)
    for model, iou in (("sam_nano", 0.7), ("grabcut", 0.5)):
        point_cell(tmp_path / "runs", "demo", model, flat(iou))
    edge_cell(tmp_path / "runs", "canny", [(540, 1000, 540, 1000)], n_images=2)
    return tmp_path / "runs"


def test_a_models_name_finds_its_run(cli: Cli, runs: Path) -> None:
    ended = cli("compare", "sam_nano", "grabcut")
    assert ended.code == 0, ended.err
    assert "20.0" in ended.out
    point_cell(runs, "demo", "sam_nano", flat(0.6), prompt="random")
    ended = cli("compare", "sam_nano", "grabcut")
    assert ended.code == 2
    names = [p.name for p in runs.glob("point-sam_nano-*")]
    assert len(names) == 2
    assert all(n in ended.err for n in names)
    assert cli("compare", names[0], "grabcut").code in (0, 2)
    assert cli("table", "nano").code == 2  # a part of a name is none


def test_the_advice_for_an_unknown_run_works(cli: Cli, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ended = cli("gallery", "otsu")
    assert ended.code == 2
    assert "--runs DIR" in ended.err
    assert "there are: " in cli("gallery", "otsu", "--runs", str(runs)).err


def test_no_runs_are_no_error(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("status")
    assert (ended.code, ended.out) == (0, "no runs in runs\n")
    (tmp_path / "runs").mkdir()
    assert cli("status").code == 0
    assert cli("status", "point-otsu").code == 2  # one that was asked for is


def test_tables_of_several_protocols_are_one_document(cli: Cli, runs: Path) -> None:
    made = json.loads(cli("table", "runs", "-f", "json").out)
    assert [t["title"].partition("@")[0] for t in made] == ["edge", "point"]
    rows = list(csv.DictReader(io.StringIO(cli("table", "runs", "-f", "csv").out)))
    assert [r["table"].partition("@")[0] for r in rows] == ["edge", "point", "point"]
    assert rows[0]["ods"]
    assert not rows[0]["miou@1"]
    assert sorted(round(float(r["miou@1"]), 9) for r in rows[1:]) == [0.5, 0.7]
    assert {None} & {key for r in rows for key in r} == set()  # no line is longer than the header
    alone = json.loads(cli("table", "sam_nano", "-f", "json").out)
    assert alone["rows"][0]["model"] == "sam_nano"
    assert cli("table", "sam_nano", "-f", "csv").out.startswith("dataset,")
    assert len(json.loads(cli("table", "runs", "--metrics", "-f", "json").out)) > 3
    assert cli("table", "runs", "--metrics", "-f", "latex").code == 2


def test_the_ledger_is_one_document(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [t["title"] for t in json.loads(cli("reproduce", "-f", "json").out)] == ["Published numbers", "Claims"]
    lines = list(csv.reader(io.StringIO(cli("reproduce", "-f", "csv").out)))
    assert {len(line) for line in lines} == {len(lines[0])}


def test_one_document_of_tables_with_other_columns() -> None:
    columns = (layout.Column("x", "x"), layout.Column("p", "p", "interval"))
    a = layout.Table("A", columns, (layout.Row({"x": "1", "p": (0.1, 0.2)}),))
    b = layout.Table("B", (layout.Column("y", "y"), layout.Column("x", "x")), (layout.Row({"y": 2}),))
    assert layout.render_all([("a", a), ("b", b)], "csv") == "table,x,p_low,p_high,y\na,1,0.1,0.2,\nb,,,,2\n"
    assert layout.render_all([("a", a)], "csv") == layout.to_csv(a)
    assert layout.render_all([("a", a), ("b", b)], "markdown") == layout.to_markdown(a) + "\n" + layout.to_markdown(b)


def test_blinded_ratings_take_their_key(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = [(f"j{i}", model, "demo", f"im{i // 2}", "o", "point") for i, model in enumerate(["sam", "ritm"] * 6)]
    key = "\n".join(",".join(j) for j in [("job_id", "model", "dataset", "image_id", "object_id", "prompt"), *jobs])
    (tmp_path / "key.csv").write_text(key)
    (tmp_path / "r.csv").write_text("job_id,rater,score\n" + "".join(f"{j[0]},r,{5 + i % 4}\n" for i, j in enumerate(jobs)))
    blind = cli("report", "fig9b", "--ratings", "r.csv", "-f", "csv")
    assert blind.code == 2
    ended = cli("report", "fig9b", "--ratings", "r.csv", "--key", "key.csv", "-f", "csv")
    assert ended.code == 0, ended.err
    assert "ritm" in (tmp_path / "report" / "figures" / "fig9b.csv").read_text()
    assert cli("report", "fig9b", "--key", "key.csv").code == 2


def test_runs_of_generated_copies_are_said_to_be(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for member in cards.suite_cards()["fixtures"].members:
        point_cell(tmp_path / "runs", member, "otsu", flat(0.5), subset={"name": "generated"})
    ended = cli("report", "fig9c", "--runs", "runs", "-f", "csv")
    assert ended.code == 0
    assert "so is the suite: fixtures" in ended.err
    assert "Not measured" not in ended.err
    ended = cli("report", "fig9c", "--runs", "runs", "-f", "csv", "--suite", "sa23")
    assert "on generated copies" in ended.err
    assert "--suite fixtures" in ended.err


def test_doctor_and_the_list_agree_on_weights(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")
    listed = cli("list", "models").out
    checks = {c.name: c.found for c in examine()}
    for card in cards.model_cards().values():
        if card.weights is None or card.weights.packaged:
            continue
        how = fetch.how_to_get(card)
        assert how in checks[f"weights {card.id}"]
        assert ("person" in how) == (not card.weights.url)
    assert listed.count("a person must get them") == sum("a person must get them" in found for found in checks.values())


def test_a_command_is_listed_once() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `sambench ([^`]+)`", page, flags=re.MULTILINE)
    assert len(listed) == len(set(listed))


def picture(path: Path, height: int, width: int) -> Path:
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (height, width, 3)).astype(np.uint8)).save(path)
    return path


def test_pictures_that_are_lines(cli: Cli, tmp_path: Path) -> None:
    sizes = {"thin": (2, 3000), "one": (1, 3000), "tall": (3000, 2), "good": (48, 64)}
    files = [picture(tmp_path / f"{name}.png", *size) for name, size in sizes.items()]
    ended = cli("masks", *files, "-m", "sam_nano", "-o", tmp_path / "out", "--grid", "2", "--pred-iou", "0", "--stability", "0")
    assert ended.code == 0, ended.err
    for name, size in sizes.items():
        made = json.loads((tmp_path / "out" / f"{name}_masks.json").read_text())
        assert all(a["segmentation"]["size"] == list(size) for a in made["annotations"])
        assert Image.open(tmp_path / "out" / f"{name}_masks.png").size == size[::-1]
    assert resized_size(1, 3000, 256) == (1, 256)


MODEL = """
import numpy as np
from sambench import Prediction
class Model:
    def encode(self, image):
        if image.shape[1] == 77:
            raise ValueError("not this one")
        return image
    def decode(self, state, prompts):
        return [Prediction(np.ones((1, *state.shape[:2]), bool), np.ones(1)) for _ in prompts]
"""


def test_a_picture_that_a_model_fails_on_leaves_the_others(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    files = [picture(tmp_path / "bad.png", 40, 77), picture(tmp_path / "good.png", 40, 50)]
    ended = cli("masks", *files, "-m", "python:m.py:Model", "-o", "out", "--grid", "2", "--stability", "0")
    assert ended.code == 1
    assert "not this one" in ended.err
    assert "1 of 2 images failed" in ended.err
    assert (tmp_path / "out" / "good_masks.json").is_file()
    assert not (tmp_path / "out" / "bad_masks.json").exists()


@pytest.mark.parametrize("text", ["x" * 200_000, '"' + "y,\n" * 100_000])
def test_a_field_of_ratings_without_end(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.csv").write_text(f"rater,item,model,dataset,score\nr,i,m,d,5\nr,{text},m,d,5\n")
    with pytest.raises(DataError, match="cannot be read as CSV") as e:
        read_ratings(tmp_path / "r.csv")
    assert "line" in str(e.value.where)
