"""Sources of models: found by their place; one that a package brings is as good as sambench's own, and a broken one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sambench import cards
from sambench.engine.run import Request, plan
from sambench.errors import ModelError, UsageError
from sambench.loaders.open import open_dataset
from sambench.sources import models
from sambench.sources.base import LateSource, ModelSource
from tests.helpers import plugged
from tests.helpers.inprocess import Cli

TOY = '''
import numpy as np

from sambench.engine.run import Request, plan
from sambench.errors import ModelError
from sambench.sources.base import ModelSpec, ResolvedModel
from sambench.types import Prediction


class Square:
    def __init__(self, side):
        self.side = side

    def encode(self, image):
        return image.shape[:2]

    def decode(self, size, prompts):
        masks = np.zeros((len(prompts), 1, *size), bool)
        for mask, prompt in zip(masks, prompts, strict=True):
            x, y = (int(v) for v in prompt.points_xy[-1])
            mask[0, max(0, y - self.side) : y + self.side, max(0, x - self.side) : x + self.side] = True
        return [Prediction(m, np.ones(1, np.float32)) for m in masks]


class Squares:
    form, stored = "square:SIDE", False

    def gives(self, name):
        return "masks"

    def resolve(self, name, options, *, device, precision, progress=None):
        side = name.removeprefix("square:")
        if not side.isdigit():
            raise ModelError("a square has no such side", where=name, expected="square:SIDE", found=side)
        spec = ModelSpec(name, dict(options), "cpu", precision)
        identity = {"side": int(side), "precision": precision, "device_kind": "cpu"}
        return ResolvedModel(spec, f"square_{side}", f"Square {side}", identity, False, gives="masks", notes=("a toy",))

    def build(self, spec):
        return Square(int(spec.name.removeprefix("square:")))

    def check(self, spec, dataset, image_ids):
        return [f"squares on {len(image_ids)} images of {dataset.name}"]


SOURCE = Squares()
'''


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Installs a package with one module as the source of `square:`; gives its folder, which `sys.path` and PYTHONPATH have."""

    def install(module: str, code: str) -> Path:
        plugged.install(tmp_path / "site", models.GROUP, "square", module, code, monkeypatch)
        return tmp_path / "site"

    return install


def resolve(name: str, **options: Any) -> Any:
    return models.resolve(name, options, device="auto", precision="fp32")


def test_own_sources_are_found_by_their_place() -> None:
    found = models.sources()
    assert {name: s.form for name, s in found.items()} == {
        "concepts": "concepts:FILE",
        "edges": "edges:FOLDER",
        "hf": "hf:ORGANISATION/NAME or hf:./FOLDER",
        "proposals": "proposals:FILE",
        "python": "python:path/to/file.py:factory",
    }
    assert all(isinstance(s, ModelSource) for s in found.values())
    assert [n for n, s in found.items() if isinstance(s, LateSource)] == ["python"]
    assert [n for n, s in found.items() if s.stored] == ["concepts", "edges", "proposals"]
    for name, source in found.items():
        assert models.source_of(f"{name}:anything") is source
    assert models.source_of("sam_nano").gives("sam_nano") == "masks"


UNKNOWN = ("nothing", "square:3", "models:x", "base:x", "card:sam_nano", "Python:a.py:f", ":", "::x", "a b:c")


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_is_answered_with_every_form(name: str) -> None:
    with pytest.raises(UsageError, match="unknown model") as e:
        models.gives_of(name)
    forms = "DETECTOR+SEGMENTER, concepts:FILE, edges:FOLDER, hf:ORGANISATION/NAME or hf:./FOLDER, "
    forms += "proposals:FILE, python:path/to/file.py:factory"
    assert str(e.value.expected).endswith(f"known names, a card's path, {forms}")


def test_a_prefix_that_is_nearly_one_is_mended() -> None:
    with pytest.raises(UsageError, match="unknown model") as e:
        resolve("pyton:mine.py:make")
    assert e.value.remedy == "did you mean 'python:mine.py:make'?"


@pytest.mark.parametrize("name", ["mine.py", "./folder/mine.py"])
def test_a_file_without_its_prefix_is_named_with_it(name: str) -> None:
    with pytest.raises(UsageError, match="unknown model") as e:
        resolve(name)
    assert str(e.value.remedy).endswith(f"python:{name}:make")


def test_of_a_file_without_that_factory_its_own_functions_are_named(tmp_path: Path) -> None:
    file = tmp_path / "own_functions.py"
    file.write_text("from collections.abc import Sequence\nfrom typing import Any\n\ndef make() -> Any:\n    return None\n")
    with pytest.raises(ModelError, match="no factory 'nothing'") as e:
        models.build(resolve(f"python:{file}:nothing").spec)
    assert e.value.found == "functions: make"


def test_an_object_has_no_name() -> None:
    with pytest.raises(UsageError, match="has no name"):
        resolve("object:mine")


def test_a_plug_in_runs_as_any_model(plug_in: Callable[[str, str], Path], tmp_path: Path, cli: Cli) -> None:
    plug_in("toy_squares", TOY)
    point = ("run", "point", "--clicks", "1", "--limit", "1", "--workers", "1", "-q")
    done = cli(*point, "-m", "square:9", "-o", tmp_path / "runs")
    assert done.code == 0, done.err
    (path,) = (tmp_path / "runs").glob("point-square_9-*/demo-*/cell.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["status"] == "partial"
    assert {"side": 9, "precision": "fp32", "device_kind": "cpu"}.items() <= record["model"].items()
    asked = Request("point", models=(("square:9", {}),), settings={"clicks": (1,)}, limit=1, out=str(tmp_path / "runs"))
    planned = plan(asked)
    assert planned.notes == ("a toy", "squares on 1 images of demo")
    assert [c.cell_dir for c in planned.cells] == [path.parent]


def test_a_plug_in_is_told_of(plug_in: Callable[[str, str], Path], cli: Cli) -> None:
    plug_in("toy_listed", TOY)
    assert "also: square:SIDE" in cli("list", "models").out
    with pytest.raises(UsageError, match="unknown model") as e:
        resolve("squar:9")
    assert "square:SIDE" in str(e.value.expected)
    assert e.value.remedy == "did you mean 'square:9'?"


IDENTITY = '{"side": int(side), "precision": precision, "device_kind": "cpu"}'
FLAWS = {
    "cannot be imported": ("import nothing_of_that_name", "gives no source of models"),
    "ends the process": ("raise SystemExit(3)", "gives no source of models"),
    "has none": ("", "gives no source of models"),
    "has half of one": ("class S:\n    form, stored = 'square:SIDE', False\nSOURCE = S()", "gives no source of models"),
    "raises": (TOY.replace('side = name.removeprefix("square:")', "side = {}[name]"), "failed to find it"),
    "gives no model": (TOY.replace("return ResolvedModel(", "return str(spec) or ResolvedModel("), "does not fit"),
    "gives no device": (TOY.replace(', "device_kind": "cpu"}', "}"), "identity does not fit"),
    "gives no identity": (TOY.replace(IDENTITY, "{}"), "identity does not fit"),
    "gives no plain values": (TOY.replace('"side": int(side)', '"side": object()'), "JSON has no form for"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_broken_plug_in_is_named(flaw: str, plug_in: Callable[[str, str], Path]) -> None:
    code, message = FLAWS[flaw]
    plug_in(f"toy_{flaw.replace(' ', '_')}", code)
    with pytest.raises(ModelError, match=message) as e:
        resolve("square:9")
    assert e.value.where is not None


def test_two_of_one_prefix_are_refused(plug_in: Callable[[str, str], Path]) -> None:
    site = plug_in("toy_twice", TOY)
    entries = site / "toy_twice-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[sambench.model_sources]\npython = toy_twice\n", encoding="utf-8")
    with pytest.raises(ModelError, match="two sources of models have the prefix 'python'") as e:
        resolve("python:mine.py:make")
    assert e.value.where == "sambench/sources/python.py and toy_twice"


def test_a_plug_in_may_fail_beside_a_dataset(plug_in: Callable[[str, str], Path]) -> None:
    plug_in("toy_failing", TOY.replace("return [f", "raise KeyError(1)\n        return [f"))
    dataset = open_dataset(cards.dataset_card("demo"))
    with pytest.raises(ModelError, match="failed to check it") as e:
        models.notes_on(resolve("square:9"), dataset, [])
    assert "KeyError" in str(e.value.found)


def test_an_error_of_a_plug_in_passes_unchanged(plug_in: Callable[[str, str], Path], cli: Cli) -> None:
    plug_in("toy_asked", TOY)
    done = cli("run", "point", "-m", "square:no", "--dry-run")
    assert done.code == 2
    assert "a square has no such side" in done.err
