"""Models given as `python:file.py:factory`: what loads, and what each kind of mistake is told."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench.errors import CheckpointError, ModelError
from sambench.sources.describe import describe
from sambench.sources.models import ModelSpec, build
from sambench.sources.python import check_spec, load_python_model, source_sha256
from sambench.types import Segmenter

GOOD = """
import numpy as np
from sambench.types import Prediction

class Whole:
    def __init__(self, value, device):
        self.value, self.device = value, device
        self.identity = {"value": value}

    def encode(self, image):
        return image.shape[:2]

    def decode(self, state, prompts):
        return [Prediction(np.full((1, *state), self.value), np.ones(1, np.float32)) for _ in prompts]

def build(value=True, device="cpu"):
    return Whole(value, device)

def needs(value, *, device):
    return Whole(value, device)

def open_ended(**options):
    return Whole(options.get("value", True), options.get("device", "not told"))

def with_precision(precision="fp32"):
    model = Whole(True, "cpu")
    model.precision = precision
    return model
"""

FORGETS = """
import torch

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def encode(self, image): return image

    def decode(self, image, prompts): return []

def forgot(): return Mine()
def did(): return Mine().eval()
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def _write(source: str, factory: str = "build", name: str = "mine.py") -> str:
        (tmp_path / name).write_text(source)
        return f"python:{tmp_path / name}:{factory}"

    return _write


def load(spec: str, **options: Any) -> Any:
    return load_python_model(spec, options=options)


def refused(spec: str, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(spec, **options)
    return str(caught.value)


# --- what loads ---


def test_a_file_gives_a_model_with_its_options(write: Callable[..., str]) -> None:
    model = load(write(GOOD), value=False)
    assert isinstance(model, Segmenter)
    assert (model.value, model.device) == (False, "cpu")
    image = np.zeros((4, 5, 3), np.uint8)
    assert model.decode(model.encode(image), [None])[0].masks.shape == (1, 4, 5)  # type: ignore[list-item, attr-defined]


def test_the_device_goes_to_factories_that_name_it(write: Callable[..., str]) -> None:
    spec = write(GOOD)
    for factory, device, told in (
        ("build", "auto", "cpu"),
        ("build", "cuda:1", "cuda:1"),
        ("open_ended", "cuda:1", "not told"),
    ):
        model: Any = load_python_model(spec.replace(":build", f":{factory}"), options={}, device=device)
        assert model.device == told
    needs: Any = load_python_model(write(GOOD, "needs"), options={"value": True}, device="auto")
    assert needs.device in ("cpu", "cuda:0")


def test_the_precision_goes_to_factories_that_name_it_and_is_refused_by_others(write: Callable[..., str]) -> None:
    model: Any = load_python_model(write(GOOD, "with_precision"), options={}, precision="bf16")
    assert model.precision == "bf16"
    with pytest.raises(ModelError, match="no parameter for the precision"):
        load_python_model(write(GOOD), options={}, precision="bf16")


def test_a_file_imports_its_neighbours_and_an_edit_is_seen(write: Callable[..., str], tmp_path: Path) -> None:
    write("SIZE = 7\n", name="a_neighbour_of_mine.py")
    source = "from a_neighbour_of_mine import SIZE\n" + GOOD + "\ndef sized():\n    return Whole(SIZE, 'cpu')\n"
    spec = write(source, "sized")
    assert load(spec).value == 7
    assert type(load(spec)) is type(load(spec))
    write(source.replace("Whole(SIZE", "Whole(1 + SIZE"))
    assert load(spec).value == 8
    assert sys.path[-1] == str(tmp_path)
    sys.path.remove(str(tmp_path))


def test_a_dotted_module(write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "zoo.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("python:their_package.zoo:build").value is True
    assert check_spec("python:their_package.zoo:build") == "zoo_build"
    assert source_sha256("python:their_package.zoo:build") == hashlib.sha256(GOOD.encode()).hexdigest()
    assert "their_package.zoos" in refused("python:their_package.zoos:build")
    assert "PYTHONPATH" in refused("python:no_such_package_of_theirs.zoo:build")


def test_identity_is_the_source_and_the_label_is_short(write: Callable[..., str]) -> None:
    spec = write(GOOD)
    assert check_spec(spec) == "mine_build"
    before = source_sha256(spec)
    assert before == hashlib.sha256(GOOD.encode()).hexdigest()
    write(GOOD + "# changed\n")
    assert source_sha256(spec) != before


# --- what is told of a mistake ---


@pytest.mark.parametrize(
    "spec", ["python:", "python:x.py", "python:x.py:", "python::f", "python:x.py:a b", "x.py:f", "python:a..b:f"]
)
def test_a_spec_of_another_form(spec: str) -> None:
    assert "python:path/to/file.py:factory" in refused(spec)


def test_a_missing_file_names_near_ones(write: Callable[..., str], tmp_path: Path) -> None:
    write(GOOD, name="segmenter.py")
    told = refused(f"python:{tmp_path / 'segmentor.py'}:build")
    assert "no such file" in told
    assert f"did you mean {tmp_path / 'segmenter.py'}" in told
    assert "no such file" in refused("python:nowhere/at_all.py:build")
    with pytest.raises(ModelError, match="cannot be read"):
        check_spec("python:nowhere/at_all.py:build")


def test_a_missing_factory_names_near_ones(write: Callable[..., str]) -> None:
    assert "did you mean 'build'" in refused(write(GOOD, "built"))
    told = refused(write(GOOD + "\nmodel_of_mine = 3\n", "model_of_mine"))
    assert "model_of_mine = 3" in told


def test_wrong_options_name_near_ones_and_the_signature(write: Callable[..., str]) -> None:
    told = refused(write(GOOD), valeu=1)
    assert "did you mean 'value'" in told
    assert "build(value=True, device='cpu')" in told
    assert "missing a required argument: 'value'" in refused(write(GOOD, "needs"))


def line_of(source: str, text: str) -> int:
    return next(i for i, line in enumerate(source.splitlines(), 1) if text in line)


def test_an_exception_in_the_factory_says_what_and_where(write: Callable[..., str], tmp_path: Path) -> None:
    source = GOOD + "\ndef inner():\n    raise RuntimeError('no such layer')\n\ndef broken():\n    return inner()\n"
    told = refused(write(source, "broken"))
    assert "RuntimeError: no such layer" in told
    assert f"{tmp_path / 'mine.py'}:{line_of(source, 'no such layer')}" in told

    source = GOOD + "\ndef broken():\n    import json\n    return json.loads('{')  # here\n"
    told = refused(write(source, "broken"))
    assert f"{tmp_path / 'mine.py'}:{line_of(source, '# here')}" in told  # the user's own line, then the library's
    assert "decoder.py:" in told

    told = refused(write(GOOD + "\ndef broken():\n    raise SystemExit(3)\n", "broken"))
    assert "SystemExit: 3" in told


def test_an_exception_on_import_says_what_and_where(write: Callable[..., str], tmp_path: Path) -> None:
    before = {m for m in sys.modules if m.startswith("_sambench_model")}
    told = refused(write("import numpy\n1 / 0\n"))
    assert "ZeroDivisionError" in told
    assert f"{tmp_path / 'mine.py'}:2" in told
    told = refused(write("def build(:\n    pass\n"))
    assert "SyntaxError" in told
    assert f"{tmp_path / 'mine.py'}:1" in told
    assert "install 'timm_of_another_world'" in refused(write("import timm_of_another_world\n"))
    assert {m for m in sys.modules if m.startswith("_sambench_model")} == before  # nothing half-executed stays behind


def test_errors_of_our_own_pass_unchanged(write: Callable[..., str]) -> None:
    source = "from sambench.errors import CheckpointError\ndef build():\n    raise CheckpointError('truncated', where='w.pth')\n"
    with pytest.raises(CheckpointError, match="truncated"):
        load(write(source))


def test_objects_without_the_two_methods(write: Callable[..., str]) -> None:
    assert "no method 'encode'" in refused(write("def build():\n    return 3\n"))
    half = "class M:\n    def encode(self, image): ...\n    def predict(self, x): ...\ndef build():\n    return M()\n"
    told = refused(write(half))
    assert "no method 'decode'" in told
    assert "M, with encode, predict" in told
    one = "class M:\n    def encode(self): ...\n    def decode(self, s, p): ...\ndef build():\n    return M()\n"
    assert "expected: encode(image)" in refused(write(one))
    two = "class M:\n    def encode(self, i): ...\n    def decode(self, s): ...\ndef build():\n    return M()\n"
    assert "expected: decode(state, prompts)" in refused(write(two))
    assert "a class, not an object" in refused(write(GOOD + "\ndef kind():\n    return Whole\n", "kind"))


def test_a_factory_that_forgot_eval_is_told(write: Callable[..., str]) -> None:
    place = write(FORGETS).rpartition(":")[0]
    notes = {}
    for name in ("forgot", "did"):
        spec = ModelSpec(f"{place}:{name}", {}, "cpu", "fp32")
        notes[name] = " ".join(describe(build(spec), spec)["notes"])
    assert "training mode (Dropout)" in notes["forgot"]
    assert notes["did"] == ""
