"""Text of files is harmless where it goes: terminals, spreadsheets, Markdown, figures."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sambench import layout
from sambench.layout import Column, Row, Table, Value, style
from sambench.report.document import Document, Picture, Section
from sambench.report.forms.markdown import to_markdown
from sambench.report.write import write
from sambench.text import counted, csv_cell, csv_frame, csv_text, markdown, printable
from tests.helpers import ROOT
from tests.helpers.inprocess import Cli

EVIL = "\x1b]0;owned\x07 \x9b31m \u202ex <img src=x onerror=alert(1)> $x_{ \0"
DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_control_characters_are_shown() -> None:
    assert printable("a\x1b[31m\u202eb\0\ud800") == r"a\x1b[31m\u202eb\x00\ud800"
    plain = "Grüße, 中文 – “x” · tab\tand\nline"
    assert printable(plain) == plain
    assert not DANGEROUS.search(printable(EVIL))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("+cmd|'/c'!A0", "'+cmd|'/c'!A0"),
        ("-x", "'-x"),
        ("\t=1", "'\t=1"),
        ("-5", "-5"),
        ("+1.5e3", "+1.5e3"),
        ("a=b", "a=b"),
        ("", ""),
        (-5, -5),
        (-0.5, -0.5),
        (None, None),
        ("a\x1bb", r"a\x1bb"),
    ],
)
def test_a_cell_of_csv_is_no_formula(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


def test_csv_is_what_csv_readers_read() -> None:
    rows = [["=x", 'a"b', "two\nlines", 1.5, None], ["-1", ",", "", -2, True]]
    read = list(csv.reader(io.StringIO(csv_text(["a", "b", "c", "d", "e"], rows))))
    assert read == [["a", "b", "c", "d", "e"], ["'=x", 'a"b', "two\nlines", "1.5", ""], ["-1", ",", "", "-2", "True"]]
    frame = pd.DataFrame({"name": ["=x", None], "value": [-1.25, np.nan]})
    assert csv_frame(frame) == "name,value\n'=x,-1.25\n,\n"


def table() -> layout.Table:
    columns = (layout.Column("a", "a"), layout.Column("b", "b", "percent"))
    return layout.Table(EVIL, columns, (layout.Row({"a": EVIL, "b": 0.5}), layout.Row({"a": "=x", "b": -0.5})), (EVIL,))


def test_tables_in_text_forms() -> None:
    made = {form: layout.render(table(), form) for form in ("csv", "markdown", "latex", "html")}
    assert not DANGEROUS.search("".join(made.values()))
    assert "<img src" not in made["html"]
    assert "<img" not in made["markdown"]
    assert "'=x,-0.5" in made["csv"]


def test_markdown_keeps_what_is_no_tag() -> None:
    assert markdown("p <0.0001 and 1 < 2, <b>") == "p <0.0001 and 1 < 2, &lt;b>"


def picture(name: str) -> Picture:
    def draw(figure: object) -> None:
        axes = figure.add_subplot()  # type: ignore[attr-defined]
        axes.plot([1, 10], [1, 100], label=f"{name} $\\bad{{$")
        axes.set_yscale("log")
        axes.set_title(name)
        figure.legend()  # type: ignore[attr-defined]

    return Picture("p", name, name, draw, ("id", "v"), ((name, 1.0),))


def test_figures_take_any_name() -> None:
    svg = style.render(picture(EVIL), ["svg", "png", "pdf"])["svg"].decode()
    assert not DANGEROUS.search(svg)
    assert "bad{$" in svg  # shown as it is
    assert "10^" not in re.sub(r"<!--.*?-->", "", svg)  # but powers of ten at the axis are set as such


def test_a_whole_report_of_such_names(tmp_path: Path) -> None:
    columns = (Column("a", "a"), Column("b", "b", "percent"))
    made = Table(EVIL, columns, (Row({"a": EVIL, "b": Value(reason=EVIL)}),), (EVIL,), id="t")
    document = Document("d", EVIL, (Section("s", EVIL, tables=(made,), pictures=(picture(EVIL),), absent=(EVIL,)),), notes=(EVIL,))
    for path in write(document, ["html", "md", "tex", "csv", "png", "pdf"], tmp_path):
        if path.suffix not in (".png", ".pdf"):
            assert not DANGEROUS.search(path.read_text(encoding="utf-8")), path
    assert "<img src=x" not in (tmp_path / "d.html").read_text()
    page = (tmp_path / "d.md").read_text()
    assert "<img" not in page
    assert "<sup>a</sup>" in page  # our own
    assert "<img" not in to_markdown(document)


def test_nothing_is_printed_past_the_console() -> None:
    for path in sorted((ROOT / "sambench" / "cli").glob("*.py")):
        if path.name == "console.py":
            continue
        code = path.read_text(encoding="utf-8").replace('typer.echo(f"sambench {__version__}")', "")
        assert not re.search(r"typer\.echo\(|(?<![\w.])print\(|sys\.stdout\.write", code), path


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset whose ids, names and categories are an attack; its last picture is broken."""
    ids = ["a\x1b]0;owned\x07", "=cmd|'/c calc'!A0", "$x_{", "a\0b", "<img src=x onerror=alert(1)>", "broken\x1b[31m"]
    (tmp_path / "img").mkdir()
    for i in range(len(ids)):
        Image.fromarray(np.full((40, 50, 3), 30 * i, np.uint8)).save(tmp_path / "img" / f"{i}.png")
    (tmp_path / "img" / f"{len(ids) - 1}.png").write_bytes(b"x")
    ring = [5, 5, 25, 5, 25, 25, 5, 25]
    whole = {
        "images": [{"id": s, "file_name": f"{i}.png", "height": 40, "width": 50} for i, s in enumerate(ids)],
        "categories": [{"id": 1, "name": "=\x1b<b>"}],
        "annotations": [
            {"id": s, "image_id": s, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20], "segmentation": [ring]}
            for s in ids
        ],
    }
    (tmp_path / "ann.json").write_text(json.dumps(whole))
    (tmp_path / "h.toml").write_text(
        'id = "hostile"\nname = "H [red]"\nreader = "sambench.loaders.coco:CocoJson"\nlicence = "=1"\n'
        '[options]\nannotations = "ann.json"\nimages = "img"\n[access]\nstate = "manual"\nsteps = ["ask"]\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_command_lets_them_through(cli: Cli, hostile: Path) -> None:
    card = (hostile / "h.toml").read_text()
    (hostile / "escapes.toml").write_text(card.replace('"ask"', '"ask\\u001b[2J"'))
    refused = cli("show", "dataset", "escapes.toml")
    assert refused.code == 2
    assert "control character" in refused.err
    assert not DANGEROUS.search(refused.out + refused.err)
    run = cli("run", "point", "-d", "h.toml", "--root", ".", "-m", "otsu", "--clicks", "1", "--workers", "1")
    assert run.code == 1
    assert "broken\\x1b[31m" in run.err
    said = [run]
    for args in (
        ("status",), ("table", "otsu"), ("table", "otsu", "-f", "csv"), ("table", "otsu", "-f", "json"), ("rescore", "otsu"),
        ("show", "dataset", "h.toml"), ("data", "verify", "h.toml", "--root", "."), ("data", "get", "h.toml"),
        ("gallery", "otsu", "-f", "md,csv,png"), ("report", "fig16", "--runs", "runs", "-f", "md,png"),
    ):  # fmt: skip
        said.append(cli(*args))
        assert said[-1].code in (0, 1), (args, said[-1].err)
    for ended in said:
        assert not DANGEROUS.search(ended.out + ended.err)
    (made,) = hostile.glob("gallery/figures/worst*.csv")
    assert "'=cmd|" in made.read_text()


def test_of_one_thing_one_is_spoken_of() -> None:
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
    assert [counted(n, "box is", "boxes are") for n in (1, 2)] == ["1 box is", "2 boxes are"]


def test_no_sentence_has_a_plural_of_its_own() -> None:
    """What counts things asks `counted`: else one of them is soon "1 images"."""
    own = re.compile(r"\{'s' if|\{'' if [^{}]* == 1 else 's'\}")
    allowed = {"loaders/recorded_clicks.py", "report/sections/checkpoints.py"}  # "no clicks", "at one centre click"
    found = {str(p.relative_to(ROOT / "sambench")) for p in (ROOT / "sambench").rglob("*.py") if own.search(p.read_text())}
    assert found - allowed == set()
