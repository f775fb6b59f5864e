"""A task is found by its place: one module and an entry point, and every command knows it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOY = '''"""Toy: the share of an object that its middle box covers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from sambench.metrics.bootstrap import mean_intervals
from sambench.tasks import Task


@dataclass(frozen=True)
class ToySettings:
    share: float = field(default=0.5, metadata={"help": "Of the width that the box takes."})
    steps: tuple[int, ...] = (1, 2)
    way: Literal["up", "down"] = "up"
    limit_px: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class ToyTask(Task):
    settings: ToySettings = ToySettings()
    name: str = "toy"
    protocol: str = "toy@1"

    @property
    def columns(self):
        texts = ("cell_id", "dataset", "image_id", "cluster_id", "object_id", "status", "error")
        return {**dict.fromkeys(texts, "string"), "covered": "double", "shard": "int32"}

    def identity(self):
        return {"protocol": self.protocol, **asdict(self.settings)}

    def rows(self, sample, model, context, /):
        shared = {"dataset": sample.dataset, "image_id": sample.image_id, "cluster_id": sample.cluster_id, "status": "ok"}
        covered = self.settings.share + (0.25 if type(model).__name__ == "Otsu" else 0.0)
        return [{**shared, "object_id": i.object_id, "covered": covered} for i in sample.instances]

    def reduce(self, frame, bootstrap, /):
        values, clusters = frame["covered"].to_numpy()[:, None], frame["cluster_id"].to_numpy()
        n, level, seed = bootstrap.n_resamples, bootstrap.level, bootstrap.seed
        mean, low, high = (float(v[0]) for v in mean_intervals(values, clusters, n_resamples=n, level=level, seed=seed))
        counts = {"n_images": frame["image_id"].nunique(), "n_objects": len(frame), "n_clusters": len(set(clusters))}
        interval = {"ci_low": low, "ci_high": high, "ci_level": level}
        return [{"metric": "covered", "unit": "fraction", "value": mean, **interval, **counts}]


TASK, SETTINGS = ToyTask, ToySettings
'''

Run = Callable[..., subprocess.CompletedProcess[str]]


def distribution(folder: Path, name: str, text: str) -> None:
    """An installed package of one module that brings the task `name`."""
    info = folder / f"{name}_task-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-task\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sambench.tasks]\n{name} = {name}_task\n")
    (folder / f"{name}_task.py").write_text(text)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    distribution(folder / "site", "toy", TOY)
    return folder


def command_line(folder: Path) -> Run:
    def sambench(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(p for p in (str(folder / "site"), os.environ.get("PYTHONPATH", "")) if p)
        env = {**os.environ, "PYTHONPATH": path, "SAMBENCH_HOME": str(folder / "home"), "COLUMNS": "200", **variables}
        command = [sys.executable, "-m", "sambench", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=120)

    return sambench


@pytest.fixture(scope="module")
def sambench(world: Path) -> Run:
    return command_line(world)


@pytest.fixture(scope="module")
def runs(world: Path, sambench: Run) -> dict[str, str]:
    """Runs by model, of two images of the embedded dataset."""
    flags = ("-m", "otsu", "-m", "grabcut", "--limit", "2", "--workers", "1", "--share", "0.5", "--way", "down", "-q")
    done = sambench("run", "toy", *flags)
    assert done.returncode == 0, done.stderr
    assert "toy@1" in done.stdout
    return {p.name.split("-")[1]: p.name for p in (world / "runs").glob("toy-*")}


def test_its_flags_are_made_of_its_settings(sambench: Run) -> None:
    text = sambench("run", "toy", "--help").stdout
    own = ("Toy: the share", "--share X", "Of the width", "--steps N,N,...", "[default: 1,2]", "--exact / --no-exact")
    assert [part for part in (*own, "--limit-px N", "--on-error NAME") if part not in text] == []
    assert "toy" in sambench("run", "--help").stdout
    plan = sambench("run", "toy", "-m", "otsu", "--dry-run", "--steps", "3", "--exact", SAMBENCH_RUN_TOY_WAY="down")
    assert [part for part in ('"exact":true', '"steps":[3]', '"way":"down"') if part not in plan.stdout] == []
    assert "note:" not in plan.stderr


@pytest.mark.parametrize(("flag", "value"), [("--way", "sideways"), ("--steps", "one"), ("--share", "half")])
def test_a_value_that_does_not_fit_is_named(sambench: Run, flag: str, value: str) -> None:
    wrong = sambench("run", "toy", flag, value)
    assert wrong.returncode == 2
    assert flag in wrong.stderr


def test_it_is_listed_with_the_others(sambench: Run) -> None:
    found = sambench("list", "tasks").stdout
    assert [name for name in ("toy@1", "point@1", "Toy: the share") if name not in found] == []


def test_results_know_it(runs: dict[str, str], sambench: Run) -> None:
    table = csv.DictReader(sambench("table", *runs.values(), "-f", "csv").stdout.splitlines())
    assert {r["model"]: float(r["covered"]) for r in table if r["model"] in runs} == {"otsu": 0.75, "grabcut": 0.5}
    assert runs["otsu"] in sambench("status").stdout
    (row,) = csv.DictReader(sambench("rescore", runs["otsu"]).stdout.splitlines())
    assert (row["protocol"], row["metric"], float(row["value"])) == ("toy@1", "covered", 0.75)


def test_its_runs_are_compared_by_object(runs: dict[str, str], sambench: Run) -> None:
    compared = sambench("compare", runs["otsu"], runs["grabcut"]).stdout
    assert "covered: A = toy-otsu" in compared
    assert "+25.0" in compared
    assert "covered" in sambench("compare", runs["otsu"], runs["grabcut"], "--metric", "coverd").stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken", "raise ValueError('no')", "ValueError: no"),
        ("empty", "", "is not a task"),
        ("point", TOY, "two tasks have one name"),
        ("odd", TOY.replace("exact: bool = False", "exact: dict[str, int] = field(default_factory=dict)"), "where: exact"),
    ],
)
def test_a_plug_in_that_is_no_task_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    distribution(tmp_path / "site", name, text)
    sambench = command_line(tmp_path)
    found = sambench("list", "tasks") if name == "point" else sambench("run", name, "--dry-run")
    assert found.returncode == 2
    assert said in found.stderr
    if name == "broken":
        assert sambench("run", "point", "--help").returncode == 0
