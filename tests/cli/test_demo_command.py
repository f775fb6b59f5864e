"""`sambench demo`: all six tasks on the embedded scenes, and the page of what came out."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from sambench.cli import demo as command
from sambench.loaders.demo import Demo
from sambench.loaders.demo.annotators import SMALLEST
from sambench.sources.datasets import find_targets
from tests.helpers.inprocess import Cli


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))


def test_the_six_tasks_and_their_page(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {"point": "otsu", "box": "otsu", "edge": "sobel", "proposals": "sam_nano", "instances": "detections"}
    tiny["concepts"] = "colour_words"
    assert set(tiny) == {step.task for step in command.STEPS}
    steps = [step._replace(models=(tiny[step.task],), limit=1) for step in command.STEPS]
    steps = [step._replace(settings={"grid": 4}) if step.task == "proposals" else step for step in steps]
    monkeypatch.setattr(command, "STEPS", steps)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(typer, "launch", lambda page: pytest.fail("no screen to open a page on"))
    ended = cli("demo", "--out", tmp_path, "--quiet")
    assert ended.code == 0, ended.err
    assert f"{ended.out}{ended.err}".count("next:") == 1, "what to do next is said once, at the end"
    page = (tmp_path / "report" / "results.html").read_text()
    for protocol in ("point@1", "box@1", "edge@1", "proposals@1", "instances@2", "concepts@1"):
        assert protocol in page


def test_a_task_gets_the_variant_that_it_needs() -> None:
    (edges,), _, _ = find_targets(["demo"], subset="full", needs="boundaries")
    assert edges.spec.variant == "boundaries"
    sample = edges.dataset.load("17-garden")
    assert len(sample.boundaries) == len(SMALLEST)
    assert not sample.instances
    counts = [int(m.sum()) for m in sample.boundaries]
    assert counts[-1] < counts[0]  # one draws large things alone
    assert len({m.tobytes() for m in sample.boundaries}) == len(counts)
    (masks,), _, _ = find_targets(["demo"], subset="full", needs="masks")
    assert masks.spec.variant == "default"


def test_boundaries_lie_on_the_edges_of_things(scene: Demo) -> None:
    sample = Demo(scene.root, holds="boundaries").load("17-garden")
    edges = np.zeros((sample.height, sample.width), bool)
    for instance in scene.load("17-garden").instances:
        padded = np.pad(instance.region.full(), 3)
        near = np.zeros_like(padded)
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                near |= np.roll(padded, (dy, dx), (0, 1)) != padded
        edges |= near[3:-3, 3:-3]
    assert all(not (m & ~edges).any() for m in sample.boundaries)


def test_crowds_and_detections(scene: Demo) -> None:
    sample = scene.load("17-garden")
    assert sample.annotated is not None
    truth = sample.annotated()
    crowds = [a for a in truth.objects if a.is_crowd]
    assert crowds
    assert {i.object_id for i in sample.instances} == {a.object_id for a in truth.objects if not a.is_crowd}
    for crowd in crowds:  # it lies over things of its own kind
        assert sum(a.category == crowd.category for a in truth.objects) > 5
    first = scene.detections().read_bytes()
    scene.detections().unlink()
    assert scene.detections().read_bytes() == first


def test_boxes_that_nobody_names_are_asked_for_before_anything_is_looked_for(cli: Cli) -> None:
    ended = cli("run", "instances")
    assert ended.code == 2
    assert "needs a detector's boxes" in ended.err
    assert "demo_detector" in ended.err
