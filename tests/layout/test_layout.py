"""The one table in all of its forms: cells with reasons, notes and daggers, groups of columns, several tables as one document."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from sambench import layout
from sambench.errors import UsageError
from sambench.layout import Column, Row, Table, Value
from sambench.layout.formats import ending, form_of, listed
from sambench.layout.table import MINUS, printed_of

NOTE = "bf16 on cuda, the others fp32 on cpu"
TABLE = Table(
    "Models",
    (
        Column("model", "model"),
        Column("n", "objects", "count", group="set"),
        Column("miou", "mIoU", "percent", group="set"),
        Column("difference", "difference", "points"),
        Column("secret", "secret", hidden=True),
    ),
    (
        Row({"model": Value("one", note=NOTE), "n": 11234, "miou": Value(0.5, low=0.25, high=0.75), "difference": -0.015}),
        Row({"model": "two", "n": 3, "miou": Value(reason="not run"), "difference": Value(reason="not run"), "secret": "s"}),
        Row({"model": "three", "n": 4, "miou": Value(0.25, overlap=True, partial="a half"), "difference": 0.0}, "published"),
        Row({"model": "mean", "miou": 0.375}, "summary"),
    ),
    ("Percent.", "PARTIAL: three"),
    warnings=("PARTIAL: three",),
    id="models",
)


def terminal(table: Table, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(layout.render_rich(table))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_remarks_on_cells_are_footnotes_with_letters_in_reading_order() -> None:
    assert layout.footnotes(TABLE) == [
        ("a", NOTE),
        ("b", "not run"),
        ("†", "the model was trained on data that overlaps this dataset"),
        ("‡", "PARTIAL: a half"),
        ("", "Percent."),
        ("", "PARTIAL: three"),
    ]


def test_footnotes_stand_in_every_form_for_reading() -> None:
    text, markdown, latex, page = terminal(TABLE), *(layout.render(TABLE, form) for form in ("markdown", "latex", "html"))
    for form, marked in (
        (text, ("oneᵃ", "ᵃ bf16", "–ᵇ", "25.0†‡", "11,234", "set: mIoU", "-1.5")),
        (markdown, ("one<sup>a</sup>", "- <sup>a</sup> bf16", "–<sup>b</sup>", "*25.0<sup>†‡</sup>*", "**37.5**", "−1.5")),
        (latex, ("one\\textsuperscript{a}", "\\textsuperscript{a}~bf16", "\\multicolumn{2}{c}{set}", "{tab:models}", "$-$1.5")),
        (page, ("one<sup>a</sup>", "<sup>a</sup> bf16", '<th colspan="2" scope="colgroup">set</th>', "interval [25.0, 75.0]")),
    ):
        assert [part for part in (*marked, "PARTIAL: three") if part not in form] == []
        assert "secret" not in form


def test_forms_for_programs_have_intervals_kinds_and_remarks() -> None:
    rows = list(csv.DictReader(io.StringIO(layout.to_csv(TABLE))))
    assert list(rows[0]) == ["model", "n", "miou", "miou_ci_low", "miou_ci_high", "difference", "secret", "row_kind", "remarks"]
    assert [r["row_kind"] for r in rows] == ["measured", "measured", "published", "summary"]
    assert rows[0]["remarks"] == f"model: {NOTE}"
    assert rows[1]["remarks"] == "miou: not run; difference: not run"
    assert rows[2]["remarks"] == "miou: training overlap; miou: PARTIAL (a half)"
    assert (rows[0]["miou_ci_low"], rows[1]["miou"], rows[3]["n"]) == ("0.25", "", "")
    whole = json.loads(layout.to_json(TABLE))
    assert whole["rows"][0]["miou_ci_high"] == 0.75
    assert [r.get("summary") for r in whole["rows"]] == [None, None, None, True]
    assert layout.to_frame(TABLE)["remarks"].tolist()[1] == rows[1]["remarks"]
    plain = Table("T", TABLE.columns[:1], (Row({"model": "x"}),))
    assert layout.to_csv(plain) == "model\nx\n"  # nothing to remark, no columns for it


def test_pictures_have_the_texts_of_the_table() -> None:
    made = layout.draw(TABLE, layout.PICTURES)
    texts = {t.text for t in ET.fromstring(made["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    assert {"Models", "objects", "set", "11,234", "50.0", "−1.5", "mean"} <= texts
    assert made["png"].startswith(b"\x89PNG")
    assert made["pdf"].startswith(b"%PDF")


def test_several_tables_are_one_page_one_list_one_header() -> None:
    other = Table("Others", (Column("model", "model"), Column("ap", "AP", "score")), (Row({"model": "y", "ap": 0.5}),))
    named = [("models", TABLE), ("others", other)]
    page = layout.render_all(named, "html")
    assert page.startswith("<!doctype html>")
    assert page.count("<!doctype") == 1
    assert page.count("<table>") == 2
    assert [t["title"] for t in json.loads(layout.render_all(named, "json"))] == ["Models", "Others"]
    rows = list(csv.DictReader(io.StringIO(layout.render_all(named, "csv"))))
    assert [(r["table"], r["model"], r["ap"]) for r in rows][-1] == ("others", "y", "0.5")
    assert layout.render_all(named, "tex").count("\\begin{table}") == 2


def test_every_form_has_one_name_and_one_list() -> None:
    assert [form_of(name, ("text", "markdown", "latex")) for name in ("md", "markdown", "tex", "latex", "text")] == [
        "markdown", "markdown", "latex", "latex", "text",
    ]  # fmt: skip
    assert listed(("csv", "markdown", "latex")) == "csv, markdown (or md), latex (or tex)"
    assert [ending(form) for form in ("markdown", "latex", "csv")] == ["md", "tex", "csv"]
    with pytest.raises(UsageError, match="unknown format 'latx'") as error:
        form_of("latx", ("csv", "latex"))
    assert error.value.expected == "csv, latex (or tex)"
    assert "latex" in str(error.value.remedy)
    with pytest.raises(UsageError, match="unknown format 'md'"):
        form_of("md", ("csv",))


def test_minus_signs_are_printed_as_such_for_every_kind_of_number() -> None:
    printed = {kind: printed_of(value, kind) for kind, value in (("percent", -0.02), ("score", -0.5), ("points", -0.02))}
    assert all(text.startswith(MINUS) for text in printed.values()), printed
    assert printed_of((-0.5, -0.25), "interval") == f"[{MINUS}50.0, {MINUS}25.0]"
    assert printed_of(4e-69, "small_p") == "4.0e-69"  # as programs write it
    assert printed_of("run-1a2b", "text") == "run-1a2b"
