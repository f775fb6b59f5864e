"""The notebooks of docs/ run from the first cell to the last, and answer what is stored in them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.helpers.notebooks import NOTEBOOKS, answers, executed

NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_answers_what_is_stored_in_it(path: Path, tmp_path: Path) -> None:
    """To the digits that tables show. Where not: `python -m tests.helpers.notebooks` stores them again."""
    found, stored = answers(executed(path, tmp_path)), answers(nbformat.read(path, as_version=4))
    assert found
    assert [NUMBER.sub("#", text).split() for text in found] == [NUMBER.sub("#", text).split() for text in stored]
    for ours, theirs in zip(found, stored, strict=True):
        assert [float(v) for v in NUMBER.findall(ours)] == pytest.approx([float(v) for v in NUMBER.findall(theirs)], rel=1e-3)
    if path.stem == "one_mask":  # the mean of the rows is the table's number
        assert found[-1] in ("True", "np.True_")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_answers_are_small_and_of_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert not re.search(r'"[^"\n]*(/tmp/|/home/|/root/|/work/)', text)
