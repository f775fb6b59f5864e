"""What a model's identity is made of: every part that can change a number moves the cell, and nothing else does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sambench import cards, provenance
from sambench.engine.run import Request, plan
from sambench.errors import ModelError, UsageError
from sambench.sources.describe import describe
from sambench.sources.models import ResolvedModel, build, described, resolve
from tests.helpers import CASES, sambench

CASE = CASES / "19-python-model-stale-weights"
FILE = """
import json, os, time
from pathlib import Path
import numpy as np
from sambench import Prediction
from parts_of_mine import threshold
from package_of_mine.layers import width

class M:
    max_batch = 4
    def __init__(self, t, beside):
        self.t, self.beside, self.path = t, beside, str(Path(__file__).parent / "weights.txt")
        self.weights = np.full(3, t)
    def encode(self, image): return image
    def decode(self, image, prompts): return [Prediction((image[:, :, 0] > self.t)[None], np.ones(1)) for _ in prompts]

def make(weights="weights.txt", t=1.0, device="cpu", precision="fp32"):
    from late_part_of_mine import LATE
    here = Path(__file__).parent
    model = M(t * threshold() * float(Path(weights).read_text()) if Path(weights).is_file() else t, LATE)
    model.precision, model.config = precision, json.loads((here / "config.json").read_text())
    return model

def other(**options): return make(**options)
"""


def write_model(folder: Path) -> Path:
    """A model of a file, two helper modules, a package and a configuration, in `folder`."""
    (folder / "package_of_mine").mkdir(parents=True)
    files = {
        "model.py": FILE,
        "parts_of_mine.py": "def threshold(): return 1.0\n",
        "late_part_of_mine.py": "LATE = 1\n",
        "package_of_mine/__init__.py": "",
        "package_of_mine/layers.py": "from . import deeper\nwidth = 3\n",
        "package_of_mine/deeper.py": "DEEP = 1\n",
        "weights.txt": "128",
        "config.json": '{"scale": 1}',
        "unrelated.py": "x = 1\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Path]:
    path, before = list(sys.path), set(sys.modules)
    yield write_model(tmp_path / "model")
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if "_of_mine" in name:
            del sys.modules[name]


def identity(folder: Path, factory: str = "make", precision: str = "fp32", **options: Any) -> dict[str, Any]:
    """As a command finds it, but for the process of its own in which a model is described."""
    for name in [n for n in sys.modules if "_of_mine" in n or n.startswith("_sambench_file_")]:  # a fresh process has none
        del sys.modules[name]
    sys.path[:] = [p for p in sys.path if not (Path(p) / "parts_of_mine.py").exists()]
    options = {"weights": str(folder / "weights.txt"), **options}
    resolved = resolve(f"python:{folder / 'model.py'}:{factory}", options, device="cpu", precision=precision)
    found = json.loads(json.dumps(describe(build(resolved.spec), resolved.spec)))
    return described(resolved, found).identity


EDITS: dict[str, Callable[[Path], object]] = {
    "a byte of the file": lambda d: (d / "model.py").write_text(FILE + "#"),
    "a byte of a helper": lambda d: (d / "parts_of_mine.py").write_text("def threshold(): return  1.0\n"),
    "a byte of a helper that a function imports": lambda d: (d / "late_part_of_mine.py").write_text("LATE = 1 \n"),
    "a byte of a package": lambda d: (d / "package_of_mine" / "layers.py").write_text("from . import deeper\nwidth = 3 \n"),
    "a byte of what a package imports": lambda d: (d / "package_of_mine" / "deeper.py").write_text("DEEP = 1 \n"),
    "a byte of the weights that an option names": lambda d: (d / "weights.txt").write_text("129"),
    "a number that the file reads by itself": lambda d: (d / "config.json").write_text('{"scale": 2}'),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_moves_a_python_model(model: Path, edit: str) -> None:
    before = identity(model)
    assert identity(model) == before
    EDITS[edit](model)
    assert identity(model) != before


@pytest.mark.parametrize(
    "asked", [{"t": 2.0}, {"precision": "bf16"}, {"factory": "other"}, {"weights": "none.txt"}], ids=lambda a: next(iter(a))
)
def test_what_of_a_command_moves_a_python_model(model: Path, asked: dict[str, Any]) -> None:
    assert identity(model, **asked) != identity(model)


def test_what_does_not_move_a_python_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(model)
    (model / "unrelated.py").write_text("x = 2\n")
    (model / "notes.txt").write_text("prose")
    assert identity(model) == before
    shutil.copytree(model, tmp_path / "elsewhere" / "deeper")
    assert identity(tmp_path / "elsewhere" / "deeper") == before
    monkeypatch.chdir(model)
    assert identity(Path("."), weights="weights.txt") == before
    shutil.copy("weights.txt", "epoch.7.txt")
    assert identity(Path("."), weights="epoch.7.txt") == before


def test_a_helper_that_is_a_link_counts_by_what_it_leads_to(model: Path, tmp_path: Path) -> None:
    before = identity(model)
    (model / "parts_of_mine.py").rename(tmp_path / "shared_by_many.py")
    (model / "parts_of_mine.py").symlink_to(tmp_path / "shared_by_many.py")
    assert identity(model) == before
    (tmp_path / "shared_by_many.py").write_text("def threshold(): return 1.00\n")
    assert identity(model) != before


def test_a_time_or_a_temporary_name_is_no_part_and_is_said(model: Path) -> None:
    source = FILE.replace("self.weights =", "self.started, self.weights = os.urandom(4),")
    (model / "model.py").write_text(source)
    resolved = resolve(f"python:{model / 'model.py'}:make", {}, device="cpu", precision="fp32")
    found = [describe(build(resolved.spec), resolved.spec) for _ in range(2)]
    assert found[0]["identity"] == found[1]["identity"]
    assert "started" in " ".join(found[0]["notes"])
    (model / "model.py").write_text(source.replace("np.full(3, t)", "np.random.default_rng().random(3)"))
    resolved = resolve(f"python:{model / 'model.py'}:make", {}, device="cpu", precision="fp32")
    assert "its weights differ" in " ".join(describe(build(resolved.spec), resolved.spec)["notes"])


def test_a_file_that_changes_during_a_command_ends_it(model: Path) -> None:
    options = {"weights": str(model / "weights.txt")}
    resolved = resolve(f"python:{model / 'model.py'}:make", options, device="cpu", precision="fp32")
    build(resolved.spec)
    (model / "weights.txt").write_text("250")
    with pytest.raises(ModelError, match="changed while the command ran"):
        build(resolved.spec)


def test_a_folder_goes_in_by_names_and_contents(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.bin").write_text("1")
    (folder / "loop").symlink_to(folder)
    before = identity(model, weights=str(folder))
    shutil.copytree(folder / "deep", tmp_path / "copy" / "deep")
    assert identity(model, weights=str(tmp_path / "copy")) == before
    (folder / "deep" / "a.bin").write_text("2")
    changed = identity(model, weights=str(folder))
    assert changed != before
    (folder / "deep" / "a.bin").rename(folder / "deep" / "b.bin")
    assert identity(model, weights=str(folder)) not in (before, changed)


# --- cards ---

CARD = """
kind = "model"
id = "mine"
name = "Mine"
factory = "{module}:make"
max_batch = {batch}
revision = {revision}
uses_torch = false
notes = "{notes}"
[options]
level = {level}
"""
OWN = """
import numpy as np
from sambench import Prediction
from . import helper

class M:
    def encode(self, image): return image
    def decode(self, image, prompts): return [Prediction(image[None, :, :, 0] > 9, np.ones(1)) for _ in prompts]

def make(*, weights, device, precision, level, file=None): return M()
"""


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ResolvedModel]:
    for package in ("first_pkg_of_mine", "second_pkg_of_mine"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "model.py").write_text(OWN)
        (tmp_path / package / "helper.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if "_pkg_of_mine" in n]:  # of another test's folder
        del sys.modules[name]

    def resolved(options: Any = None, precision: str = "fp32", **changes: Any) -> ResolvedModel:
        fields = {"module": "first_pkg_of_mine.model", "batch": 8, "revision": 1, "notes": "", "level": 3, **changes}
        (tmp_path / "mine.toml").write_text(CARD.format(**fields))
        return resolve(str(tmp_path / "mine.toml"), options or {}, device="cpu", precision=precision)

    return resolved


def test_what_moves_a_cards_model(card: Callable[..., ResolvedModel], tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    file.write_text("1")
    changes = ({}, {"batch": 9}, {"revision": 2}, {"level": 4}, {"precision": "bf16"}, {"options": {"file": str(file)}})
    seen = [card(**change).identity for change in changes]
    file.write_text("2")
    seen.append(card(options={"file": str(file)}).identity)
    (tmp_path / "first_pkg_of_mine" / "helper.py").write_text("x = 2\n")
    seen.append(card().identity)
    (tmp_path / "first_pkg_of_mine" / "model.py").write_text(OWN + "#\n")
    seen.append(card().identity)
    assert len({provenance.digest(i) for i in seen}) == len(seen)


def test_what_does_not_move_a_cards_model(card: Callable[..., ResolvedModel], tmp_path: Path) -> None:
    before = card().identity
    assert card(notes="other prose").identity == before
    assert card(module="second_pkg_of_mine.model").identity == before  # code moved
    shutil.copy(tmp_path / "mine.toml", tmp_path / "renamed.toml")
    card()
    assert resolve(str(tmp_path / "renamed.toml"), {}, device="cpu", precision="fp32").identity == before
    assert "first_pkg" not in json.dumps(before)


def test_the_task_s_settings_move_the_cell_and_how_it_runs_does_not(tmp_path: Path) -> None:
    asked = {"task": "point", "datasets": (str(CASE / "card.toml"),), "models": (("otsu", {}),), "root": str(CASE)}

    def cell(settings: dict[str, Any] | None = None, **request: Any) -> str:
        whole: dict[str, Any] = {**asked, "settings": settings or {}, "out": str(tmp_path), **request}
        return plan(Request(**whole)).cells[0].cell_id

    moving: tuple[dict[str, Any], ...] = ({}, {"clicks": (1,)}, {"prompt": "random"}, {"prompt": "random", "seed": 1})
    moving += ({"mask_feedback": False}, {"until_iou": 0.9})
    seen = [cell(settings) for settings in moving]
    seen.append(cell(models=(("grabcut", {}),)))
    seen.append(cell(models=(("grabcut", {"iterations": 3}),)))
    assert len(set(seen)) == len(seen)
    hows: tuple[dict[str, Any], ...] = ({"workers": 3}, {"limit": 1}, {"out": str(tmp_path / "b")}, {"save_masks": "none"})
    for how in hows:
        assert cell(**how) == seen[0]


def test_packaged_models_have_no_module_path_and_no_place() -> None:
    for name in ("otsu", "canny"):
        found = json.dumps(resolve(name, {}, device="cpu", precision="fp32").identity)
        assert "sambench" not in found
        assert "/" not in found
    assert cards.entry_identity("sambench.models.otsu:otsu", where="") == {"name": "otsu"}


def test_maps_and_proposals_are_known_by_content_wherever_they_lie(tmp_path: Path) -> None:
    import numpy as np

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.npy", np.zeros((4, 5), np.float32))
    first, second = (resolve(f"edges:{tmp_path / n}", {}, device="cpu", precision="fp32") for n in ("a", "b"))
    assert first.identity == second.identity
    np.save(tmp_path / "b" / "1.npy", np.ones((4, 5), np.float32))
    assert resolve(f"edges:{tmp_path / 'b'}", {}, device="cpu", precision="fp32").identity != first.identity


@pytest.mark.parametrize("weights", [3, 0, "", ["a.pth"], {"a": 1}, True], ids=repr)
def test_weights_that_are_no_path(weights: Any) -> None:
    with pytest.raises(UsageError, match="weights"):
        resolve("otsu", {"weights": weights}, device="cpu", precision="fp32")


def test_the_case_of_an_overwritten_checkpoint(tmp_path: Path) -> None:
    """`-M weights=last.txt`, and the training overwrites last.txt: 44.4, then 0.0, through the command line."""
    shutil.copytree(CASE, tmp_path / "case")
    command = ["run", "point", "-d", str(tmp_path / "case" / "card.toml"), "--root", str(tmp_path / "case"), "--clicks", "1", "-q"]
    command += ["-m", f"python:{tmp_path / 'case' / 'mymodel.py'}:make", "-M", f"weights={tmp_path / 'last.txt'}"]
    command += ["--workers", "1", "-o", str(tmp_path / "runs")]
    said = []
    for content in ("128", "250"):
        (tmp_path / "last.txt").write_text(content)
        done = sambench(*command)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert " 44.4 " in said[0]
    assert " 0.0 " in said[1]
    assert " 44.4 " not in said[1]
