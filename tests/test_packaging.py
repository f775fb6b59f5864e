"""What is installed, and what a bare import costs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT

SOURCES = ("sambench", "datasets", "baselines", "reports", "pyproject.toml", "README.md", "LICENSE")
HEAVY = {"torch", "pandas", "cv2", "numpy", "matplotlib", "scipy", "pyarrow", "pycocotools", "numba", "PIL"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of the sources, so that nothing is written into the checkout."""
    base = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, base / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, base / "src" / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(base / "out"), str(base / "src")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=base)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (base / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_installs_nothing_but_sambench(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    (dist_info,) = top - {"sambench"}
    assert dist_info.startswith("sambench-")
    assert dist_info.endswith(".dist-info")


def test_the_wheel_has_every_module_and_every_card(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    sources = Path(str(wheel.filename)).parents[1] / "src"
    modules = {p.relative_to(sources).as_posix() for p in (sources / "sambench").rglob("*.py")}
    assert {n for n in inside if n.endswith(".py")} == modules
    files = [p for kind in ("datasets", "baselines", "reports") for p in (sources / kind).glob("*.toml")]
    cards = {f"sambench/_shared/{p.relative_to(sources).as_posix()}" for p in files}
    assert {n for n in inside if n.endswith(".toml")} == cards
    assert "sambench/_shared/datasets/sa23.toml" in cards
    assert "sambench/py.typed" in inside


def test_an_installed_wheel_finds_its_cards(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    code = """
from sambench import cards, paths
print(paths.packaged("datasets"))
print(*cards.dataset_cards())
print(*cards.model_cards())
"""
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path, check=True)
    folder, datasets, models = done.stdout.splitlines()
    assert folder == str(tmp_path / "site" / "sambench" / "_shared" / "datasets")
    assert {"demo", "bbbc038v1"} <= set(datasets.split())
    assert {"grabcut", "otsu"} <= set(models.split())


def loaded_by(code: str, folder: Path) -> tuple[str, set[str]]:
    """What the code printed, and the top-level modules that were loaded at its end."""
    tail = "import json, sys; sys.stderr.write(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, cwd=folder, check=True)
    return done.stdout, set(json.loads(done.stderr))


def test_import_is_light(tmp_path: Path) -> None:
    _, modules = loaded_by("import sambench", tmp_path)
    assert "sambench" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "point", "--help"], ["--version"]])
def test_help_is_light(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
import sys
sys.argv = ["sambench", *{arguments!r}]
from sambench.cli import main
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
"""
    text, modules = loaded_by(code, tmp_path)
    assert "sambench" in text
    assert modules & HEAVY == set()


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("sambench")
    if not command.exists():
        pytest.skip("sambench is not installed beside this Python")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for verb in ("run", "list", "show", "data", "doctor", "status", "table", "rescore", "compare"):
        assert f" {verb} " in done.stdout


def test_constraints_pin_every_dependency() -> None:
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = {canonicalize_name(r.name): r for r in map(Requirement, lines)}
    assert all(len(r.specifier) == 1 and str(r.specifier).startswith("==") and "+" not in str(r.specifier) for r in pins.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in map(Requirement, [*project["dependencies"], *extras["test"], *extras["lint"]]):
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(str(pin.specifier).removeprefix("==")), requirement


def test_one_version_everywhere() -> None:
    """That of the package, of its metadata, and the newest of the changelog."""
    import sambench

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, *_) = re.findall(r"^## (\S+)( \(unreleased\))?$", changelog, flags=re.MULTILINE)
    assert sambench.__version__ == declared == newest[0] + (".dev0" if newest[1] else "")
