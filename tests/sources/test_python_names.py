"""What a `python:` model is called, and what is said where its file imports as if it lay in a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench.engine.run import Request, execute, plan
from sambench.errors import CardError, ModelError
from sambench.results.tables import tables
from sambench.sources import datasets, models
from sambench.store.views import read_cell

NET = """
import numpy as np
from sambench import Prediction

class Net:
    side = 4

    def encode(self, image):
        return image.shape[:2]

    def decode(self, size, prompts):
        mask = np.zeros((1, *size), bool)
        mask[:, : self.side] = True
        return [Prediction(mask, np.ones(1, np.float32)) for _ in prompts]

class net(Net):
    side = 8
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NET, encoding="utf-8")


def test_names_keep_their_case_and_folders_do_not(tmp_path: Path) -> None:
    named = tuple((f"python:nets.py:{name}", {}) for name in ("Net", "net"))
    found = models.resolve(named[0][0], {}, device="cpu", precision="fp32")
    assert (found.id, found.called) == ("nets_net", "nets_Net")
    request = Request(task="point", datasets=("demo",), models=named, limit=1, workers=1, out=str(tmp_path / "runs"))
    cells = [read_cell(path) for path in execute(plan(request)).records]
    assert sorted(cell.label for cell in cells) == ["nets_Net", "nets_net"]
    assert {cell.model for cell in cells} == {"nets_net"}
    assert all(cell.run_name.startswith("point-nets_net-") for cell in cells)
    (table,) = tables(cells)
    assert {row.values["model"] for row in table.rows} == {"nets_Net", "nets_net"}


def test_a_relative_import_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("class Base: ...\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text("from .base import Base\n", encoding="utf-8")
    found = models.resolve("python:mine.py:make", {}, device="cpu", precision="fp32")
    with pytest.raises(ModelError, match="write `from base import Base`: files of its own folder are importable by name"):
        models.build(found.spec)
    with pytest.raises(CardError, match="write `from base import Base`"):
        datasets.resolve("python:mine.py:Reader,.")
