"""Tables as text, CSV, JSON, Markdown, LaTeX and HTML."""

from __future__ import annotations

import csv
import io
import json

import pytest

from sambench import layout
from sambench.errors import UsageError
from sambench.tasks.summary import Bootstrap
from tests.helpers.tables import terminal

QUICK = Bootstrap(n_resamples=200)
FEW = Bootstrap(n_resamples=500)
TABLE = layout.Table(
    "A & B",
    (
        layout.Column("name", "name"),
        layout.Column("x", "x", "percent"),
        layout.Column("x_ci", "CI", "interval"),
        layout.Column("o", "oracle", "of"),
        layout.Column("d", "diff", "points"),
        layout.Column("p", "p", "p"),
        layout.Column("secret", "secret", hidden=True),
    ),
    (
        layout.Row({"name": "a_b|c[red]", "x": 1 / 3, "x_ci": (0.25, 0.5), "o": (0.75, 3), "d": -0.015, "p": 1e-9, "secret": "s"}),
        layout.Row({"name": "mean", "x": float("nan"), "x_ci": (float("nan"), float("nan")), "p": 0.25}, kind="summary"),
    ),
    ("PARTIAL: 5 % of a_b",),
)


def test_text_forms_round_and_escape() -> None:
    markdown = layout.to_markdown(TABLE)
    assert "| a_b\\|c[red] | 33.3 | [25.0, 50.0] | 75.0 (3) | −1.5 | <0.0001 |" in markdown
    assert "| **mean** | **–** | **–** | **–** | **–** | **0.2500** |" in markdown
    assert "| --- | ---: |" in markdown
    assert "- PARTIAL: 5 % of a_b" in markdown
    latex = layout.to_latex(TABLE)
    assert "\\caption{A \\& B}" in latex
    assert "a\\_b|c[red] & 33.3 & [25.0, 50.0] & 75.0 (3) & $-$1.5 & \\textless{}0.0001 \\\\" in latex
    assert "PARTIAL: 5 \\% of a\\_b" in latex
    assert latex.count("\\midrule") == 2
    assert "\\begin{tabular}{lrrrrr}" in latex
    for words in ("a_b|c[red]", "[25.0, 50.0]", "PARTIAL: 5 % of a_b"):  # brackets are text, not rich's markup
        assert words in terminal(TABLE)
    assert "left out" not in terminal(TABLE, 200)
    # Too narrow: columns go as a whole, and are named; a number that stays is whole.
    head, _, left_out = terminal(TABLE, 30).partition("left out for width:")
    assert "33.3" in head
    for column in TABLE.shown[1:]:
        assert (column.label in head.splitlines()[2]) != (column.label in left_out), column.label
    assert all(len(line) <= 30 for line in terminal(TABLE, 30).splitlines())
    assert "secret" not in markdown + latex + terminal(TABLE)


def test_csv_and_json_keep_full_precision_and_pairs() -> None:
    rows = list(csv.DictReader(io.StringIO(layout.to_csv(TABLE))))
    assert float(rows[0]["x"]) == 1 / 3
    assert {k: rows[0][k] for k in ("x_ci_low", "x_ci_high", "o", "o_candidates", "secret")} == {
        "x_ci_low": "0.25", "x_ci_high": "0.5", "o": "0.75", "o_candidates": "3", "secret": "s"
    }  # fmt: skip
    assert (rows[1]["x"], rows[1]["x_ci_low"], rows[1]["d"]) == ("", "", "")
    whole = json.loads(layout.to_json(TABLE))
    assert whole["rows"][0]["x"] == 1 / 3
    assert whole["rows"][1]["x_ci_low"] is None
    assert whole["rows"][1]["summary"] is True
    assert whole["notes"] == list(TABLE.notes)
    frame = layout.to_frame(TABLE)
    assert list(frame.columns) == list(rows[0])
    assert frame["x"].tolist()[0] == 1 / 3


def test_an_unknown_format_has_near_names() -> None:
    with pytest.raises(UsageError, match=r"(?s)unknown format 'markdwon'.*did you mean 'markdown'"):
        layout.render(TABLE, "markdwon")
