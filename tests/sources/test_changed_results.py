"""Results and code that change during a run: what is read afterwards would bear the first content's name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sambench.errors import ModelError, RunError
from sambench.models.edges.folder import EdgeFolder
from sambench.sources.base import ModelSpec
from sambench.sources.fingerprint import Walk
from sambench.sources.models import build, resolve
from sambench.sources.proposals import ProposalFile

MASK = coco_mask.encode(np.asfortranarray(np.ones((8, 8), np.uint8)))
ENTRY = {"image_id": 1, "score": 0.5, "phrase": "cup", "segmentation": {"size": [8, 8], "counts": MASK["counts"].decode()}}


def results(folder: Path) -> Path:
    (folder / "results.json").write_text(json.dumps([ENTRY, {**ENTRY, "image_id": 2}]))
    return folder / "results.json"


def edge_maps(folder: Path) -> Path:
    (folder / "maps").mkdir()
    for name in "12":
        np.save(folder / f"maps/{name}.npy", np.eye(8))
    return folder / "maps"


def resolved(name: str, options: dict[str, Any] | None = None) -> ModelSpec:
    """The spec as a worker of another machine gets it."""
    spec = resolve(name, options or {}, device="cpu", precision="fp32").spec
    return ModelSpec(**json.loads(json.dumps(vars(spec))))


@pytest.mark.parametrize("prefix", ["proposals", "concepts"])
def test_a_results_file_of_the_same_layout(tmp_path: Path, prefix: str) -> None:
    file = results(tmp_path)
    spec = resolved(f"{prefix}:{file}")
    build(spec)
    file.write_text(file.read_text().replace("0.5", "0.9"))
    with pytest.raises(ModelError, match="changed while the command ran"):
        build(spec)


def test_a_results_file_that_is_open(tmp_path: Path) -> None:
    file = results(tmp_path)
    model = ProposalFile(file)
    os.utime(file)  # other times, the same content
    assert model.proposals("1", (8, 8), 10).scores.tolist() == [0.5]
    file.write_text(file.read_text().replace("0.5", "0.9"))
    with pytest.raises(RunError, match="changed while it was in use"):
        model.proposals("1", (8, 8), 10)
    assert model.identity != ProposalFile(file).identity


def test_edge_maps(tmp_path: Path) -> None:
    folder = edge_maps(tmp_path)
    spec, model = resolved(f"edges:{folder}"), EdgeFolder(folder)
    build(spec)
    os.utime(folder / "1.npy")
    assert model.edge_map("1", (8, 8)).sum() == 8
    np.save(folder / "1.npy", np.zeros((8, 8)))
    with pytest.raises(RunError, match="changed while it was in use"):
        model.edge_map("1", (8, 8))
    with pytest.raises(ModelError, match="changed while the command ran"):
        build(spec)


MODEL = """
import numpy as np
from helper_of_changing import level
from sambench import Prediction

class Model:
    def __init__(self): self.weights = np.ones(3)
    def encode(self, image): return image
    def decode(self, image, prompts): return [Prediction((image[:, :, 0] > level())[None], np.ones(1)) for _ in prompts]

def make(**_): return Model()
"""
CARD = """
kind = "model"
id = "changing"
name = "Changing"
factory = "python:model_of_changing.py:make"
max_batch = 4
licence = "MIT"
citation = [{ authors = ["Who"], title = "What", venue = "Where", year = 2026 }]
"""


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """A folder with a model's file, a helper that it imports, and a card."""
    path, before = list(sys.path), set(sys.modules)
    helper = "def level(): return 5\n"
    for name, text in {"model_of_changing.py": MODEL, "helper_of_changing.py": helper, "card.toml": CARD}.items():
        (tmp_path / name).write_text(text)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if "changing" in name or name.startswith("_sambench_file_"):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["python:{}/model_of_changing.py:make", "{}/card.toml"])
def test_a_module_beside_the_models_own(code: Path, name: str) -> None:
    spec = resolved(name.format(code))
    build(spec)
    (code / "helper_of_changing.py").write_text("def level(): return 9\n")
    with pytest.raises(ModelError, match="changed while the command ran"):
        build(spec)


class Scaled(np.ndarray):
    """An array with an attribute of its own."""


def scaled(by: float) -> np.ndarray:
    out = np.arange(3.0).view(Scaled)
    out.by = by  # type: ignore[attr-defined]
    return out


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.ma.array([1.0, 2, 3], mask=[0, 1, 0]), np.ma.array([1.0, 2, 3], mask=[0, 0, 1])),
        (np.ma.array([1.0, 2, 3], mask=[0, 1, 0]), np.array([1.0, 2, 3])),
        (np.ma.array([1, 2], object, mask=[0, 1]), np.ma.array([1, 2], object, mask=[1, 0])),
        (scaled(2), scaled(3)),
    ],
)
def test_what_an_array_has_beside_its_values(one: Any, other: Any) -> None:
    assert Walk().of(one) != Walk().of(other)
    assert Walk().of(one) == Walk().of(one)


def test_an_array_on_disk_is_its_values(tmp_path: Path) -> None:
    values = np.arange(4.0)
    values.tofile(tmp_path / "values")
    assert Walk().of(np.memmap(tmp_path / "values", np.float64, "r")) == Walk().of(values)
