"""Every command's help has two examples, and they run as they stand there."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

from sambench import fixtures
from sambench.cli.app import app
from sambench.cli.examples import EXAMPLES
from tests.helpers import write_nuclei
from tests.helpers.inprocess import Cli

# Minutes, a network, or a server that runs until it is stopped: their flags are looked at, they are not run here.
LONG = ("demo", "watch", "rate serve", "bench", "check model", "data get bbbc038v1", "data preview demo", "data verify demo")
LONG_LINES = ("sambench masks photos/ --preset paper", "sambench data where bbbc038v1")


def commands(command: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    if hasattr(command, "list_commands"):
        return {k: v for n in command.list_commands(None) for k, v in commands(command.get_command(None, n), (*path, n)).items()}
    return {" ".join(path): command}


TREE = commands(typer.main.get_command(app))


def test_every_command_has_two() -> None:
    assert set(EXAMPLES) == set(TREE)
    for name, command in TREE.items():
        assert command.epilog.count(f"sambench {name}") >= 2, name


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_of_the_command_and_its_flags(name: str) -> None:
    for line in EXAMPLES[name]:
        words = shlex.split(line.split(" | ")[0])
        assert " ".join(words).startswith(f"sambench {name}")
        rest = words[1 + len(name.split()) :]
        flags = {o for p in TREE[name].params for o in (*p.opts, *p.secondary_opts)}
        assert {w for w in rest if w.startswith("-")} <= flags, line


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the examples make sense: runs of two models, own pictures, an own model."""
    root = tmp_path_factory.mktemp("ground")
    for n in range(2):
        for kind in ("images", "masks"):
            (root / "my_leaves" / kind).mkdir(parents=True, exist_ok=True)
        mask = np.zeros((40, 50), np.uint8)
        mask[10 + n : 30, 8:30] = 255
        Image.fromarray(np.dstack([mask // 2 + 60] * 3)).save(root / "my_leaves" / "images" / f"leaf{n}.png")
        for m in (1, 2):
            Image.fromarray(mask[:: 3 - 2 * m]).save(root / "my_leaves" / "masks" / f"leaf{n}_{m}.png")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(root / "photo.png")
    write_nuclei(root / "downloads", 1, 1)
    shutil.move(root / "downloads" / "bbbc038v1", root / "downloads" / "nuclei")
    shutil.copytree(fixtures.cached("doors"), root / "downloads" / "doors")
    for name in ("running", "beginning"):  # runs of their own, lest a model's name fits several; names that nothing has
        shutil.copytree(root, root / name, ignore=lambda _, names: {"running", "beginning"} & set(names))
    return root


def prepare(root: Path, cli: Cli, name: str) -> None:
    """What an example needs that comes before it, once."""
    if root.name == "running" and not (root / "mymodel.py").exists():
        assert cli("new", "model", "mymodel").code == 0
    if not (root / "runs").exists() and root.name not in ("running", "beginning"):
        done = cli("run", "point", "--datasets", "demo", "--model", "otsu,grabcut", "--limit", "1", "--clicks", "1", "--quiet")
        assert done.code == 0, done.err
    if name.split()[0] == "rate" and name != "rate make" and not (root / "ratings.csv").exists():
        made = cli(*shlex.split(EXAMPLES["rate make"][0])[1:], "--quiet")  # again nothing, where its own example ran
        assert made.code == 0, made.err
        assert cli("rate", "simulate", "study").code == 0
        shutil.copy(root / "study" / "simulated.sqlite", root / "study" / "ratings.sqlite")  # as if people had rated
        jobs = [line.split(",")[0] for line in (root / "study" / "key.csv").read_text().splitlines()[1:]]
        lines = [f"{job},r{r},{5 + (n + r) % 3},4.0" for n, job in enumerate(jobs) for r in range(2)]
        (root / "ratings.csv").write_text("\n".join(["job_id,rater,score,seconds", *lines]) + "\n")
    if name == "results import" and not (root / "both.zip").exists():
        assert cli("results", "export", "otsu", "grabcut", "--out", "both.zip").code == 0


@pytest.mark.parametrize(
    "line", [line for name, lines in EXAMPLES.items() for line in lines if not f"{name} ".startswith(LONG)]
)
def test_an_example_runs(line: str, ground: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    if line.removeprefix("sambench ").startswith(LONG) or line.startswith(LONG_LINES):
        pytest.skip("minutes, a network, or a server that runs until it is stopped")
    name = next(n for n in sorted(EXAMPLES, key=len, reverse=True) if line.startswith(f"sambench {n}"))
    here = ground / {"run": "running", "new": "beginning"}.get(name.split()[0], "")
    monkeypatch.chdir(here)
    monkeypatch.setenv("SAMBENCH_HOME", str(here / "home"))
    prepare(here, cli, name)
    ended = cli(*shlex.split(line.split(" | ")[0])[1:])
    assert ended.code == 0, (line, ended.out[-500:], ended.err[-1500:])
