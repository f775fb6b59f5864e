"""`sambench bench`: what is counted, what is timed and in which process, the table, the picture, and what it refuses."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sambench.cli.app import app
from sambench.conformance import efficiency
from sambench.conformance.efficiency import Cost, Workload, cost_of, measure, parameters, picture
from sambench.errors import ModelError, SambenchError, UsageError
from sambench.layout import render
from sambench.report.speed import Accuracy, cost_table, plot_speed
from sambench.sources.models import ModelSpec, resolve

FAST = Workload(height=64, width=80, objects=3, rounds=3, warm_up=1, seconds=10.0)

MODEL = """
import json, os
import numpy as np
import torch
from torch import nn
from sambench import Prediction

LOG = {log!r}

class Model:
    max_batch = 2
    identity = {{}}

    def __init__(self):
        self.a = nn.Linear(10, 5)
        self.b = nn.Sequential(nn.Linear(5, 2, bias=False), self.a)
        self.calls = []

    def encode(self, image):
        print("a model that talks")
        self.calls.append(["encode", list(image.shape)])
        return image.shape

    def decode(self, state, prompts):
        self.calls.append(["decode", len(prompts), len(prompts[0].labels), prompts[0].carry, prompts[0].multimask])
        threads = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
        with open(LOG, "w") as f:
            json.dump(dict(pid=os.getpid(), calls=self.calls, threads=threads), f)
        return [Prediction(np.ones((1, *state[:2]), bool), np.ones(1), carry=["kept"]) for _ in prompts]

def build():
    return Model()

def ballast():
    m = Model()
    m.memory = np.ones(200_000_000 // 8)
    return m

def breaks():
    m = Model()
    m.decode = lambda state, prompts: 1 / 0
    return m

def dies():
    os._exit(3)

class Detector:
    def edges(self, image):
        return np.zeros(image.shape[:2])

def detector():
    return Detector()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(log=str(tmp_path / "log")))
    return path


def spec(file: Path, factory: str) -> ModelSpec:
    return ModelSpec(f"python:{file}:{factory}", {}, "cpu", "fp32")


def test_a_model_is_measured_alone_in_a_process_with_the_threads_asked_for(file: Path) -> None:
    found = measure(resolve(f"python:{file}:build", {}, device="cpu", precision="fp32"), Workload(**{**vars(FAST), "threads": 2}))
    log = json.loads((file.parent / "log").read_text())
    assert log["pid"] != os.getpid()
    assert (log["threads"], found.threads) == ([2, "2"], 2)
    assert found.parameters == 10 * 5 + 5 + 5 * 2  # the shared layer once
    assert (found.objects, found.rounds, found.device, found.precision) == (2, 3, "cpu", "fp32")
    for times in (found.encode_ms, found.click_ms, found.next_ms, found.batch_ms, found.frame_ms):
        assert times is not None
        assert 0 < times[0] <= times[1] <= times[2]
    encodes = [c for c in log["calls"] if c[0] == "encode"]
    assert encodes == [["encode", [64, 80, 3]]] * (1 + 4 + 4)  # the state; four rounds alone, four with a click
    decodes = [tuple(c[1:]) for c in log["calls"] if c[0] == "decode"]
    assert decodes.count((1, 1, None, True)) == 4 + 1 + 4  # warm-up and rounds, the one that leaves the carry, with the encoding
    assert found.fps == 1e3 / found.frame_ms[1]
    assert decodes.count((1, 2, "kept", False)) == 4
    assert decodes.count((2, 1, None, True)) == 4


@pytest.mark.slow
def test_memory_is_the_models_own(file: Path) -> None:
    small, large = (
        measure(resolve(f"python:{file}:{name}", {}, device="cpu", precision="fp32"), FAST).peak_mb for name in ("build", "ballast")
    )
    assert 195 < large - small < 230


def test_an_edge_detector_has_no_clicks(file: Path) -> None:
    found = cost_of(spec(file, "detector"), FAST)
    assert (found.click_ms, found.next_ms, found.batch_ms, found.parameters) == (None, None, None, 0)
    assert found.encode_ms[1] > 0
    assert found.frame_ms == found.encode_ms


def test_what_goes_wrong_is_said(file: Path) -> None:
    with pytest.raises(ModelError, match="failed while it was measured") as e:
        measure(resolve(f"python:{file}:breaks", {}, device="cpu", precision="fp32"), FAST)
    assert "ZeroDivisionError" in str(e.value.found)
    with pytest.raises(ModelError, match="ended without a result") as e:
        measure(resolve(f"python:{file}:dies", {}, device="cpu", precision="fp32"), FAST)
    assert "exit code 3" in str(e.value.found)


@pytest.mark.slow
def test_the_models_own_errors_come_through(file: Path) -> None:
    file.write_text("def build():\n    return object()\n")
    with pytest.raises(SambenchError, match="no method 'encode'"):  # the same error as in this process
        measure(resolve(f"python:{file}:build", {}, device="cpu", precision="fp32"), FAST)


@pytest.mark.parametrize(
    "wrong", [{"height": 8}, {"objects": 0}, {"rounds": 0}, {"warm_up": -1}, {"seconds": 0.0}, {"threads": 0}, {"objects": 5000}]
)
def test_workloads_that_cannot_be_measured(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="fit"):
        Workload(**wrong).check()


def test_slow_calls_get_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(efficiency.time, "perf_counter", lambda: float(next(clock)))
    timer = efficiency._Timer(Workload(rounds=50, warm_up=50, seconds=10.0), lambda: None)
    times = timer.time(lambda: None)
    assert times == (1000.0, 1000.0, 1000.0)  # a second on this clock
    assert 1 <= timer.fewest < 10


def test_quartiles_and_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([9.0, 1.0, 2.0, 3.0, 4.0, 5.0])  # the first does not count
    timer = efficiency._Timer(Workload(rounds=5, warm_up=1, seconds=1e9), lambda: None)
    monkeypatch.setattr(timer, "_once", lambda call: next(taken))
    assert timer.time(lambda: None, share=2) == (1.0, 1.5, 2.0)


def test_parameters_of_any_object() -> None:
    assert parameters(object()) == 0
    assert parameters(nn.Linear(3, 4)) == 16
    holder = type("Holder", (), {})()
    holder.net, holder.other = nn.Linear(3, 4), torch.ones(100)
    assert parameters(holder) == 16


def test_the_picture_holds_each_object_at_its_point() -> None:
    image, points = picture(120, 160, 7)
    assert image.shape == (120, 160, 3)
    assert len(np.unique(points, axis=0)) == 7
    at = points.astype(int)
    colours = image[at[:, 1], at[:, 0]]
    assert len(np.unique(colours, axis=0)) == 7
    assert np.abs(colours.astype(int) - image[0, 0]).sum(axis=1).min() > 40


def cost(ms: float, **changes: Any) -> Cost:
    times = dict.fromkeys(("encode_ms", "click_ms", "next_ms", "batch_ms", "frame_ms"), (0.9 * ms, ms, 1.2 * ms))
    plain = {"parameters": 5_000_000, "objects": 8, "peak_mb": 100.0, "rounds": 10, "device": "cpu"}
    return Cost(**{**times, **plain, "hardware": "a CPU", "precision": "fp32", "threads": 1, **changes})


def test_the_table_in_all_forms() -> None:
    table = cost_table([("fast", cost(2.0)), ("edges", cost(5.0, click_ms=None, next_ms=None, batch_ms=None))], FAST)
    lines = render(table, "csv").splitlines()
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert first["model"] == "fast"
    assert [float(first[k]) for k in ("encode_ms", "click_ms_quartiles_low", "click_ms_quartiles_high")] == [2.0, 1.8, 2.4]
    assert (first["fps"], first["frame_ms"]) == ("500.0", "2.0")
    assert (first["parameters_m"], first["threads"], first["hardware"]) == ("5.0", "1", "a CPU")
    rows = json.loads(render(table, "json"))["rows"]
    assert rows[1]["click_ms"] is None
    assert any("1 thread" in note for note in table.notes)
    assert "64 x 80 pixels" in table.notes[0]


def test_the_plot_shows_models_with_runs_and_names_the_rest(tmp_path: Path) -> None:
    known = {n: Accuracy(v, 1, ("demo",), partial=n == "b") for n, v in (("a", 0.5), ("b", 0.75))}
    costs = [("a", cost(5.0)), ("b", cost(500.0)), ("c", cost(50.0))]
    assert plot_speed(costs, known, tmp_path / "speed.png") == ["c"]
    pixels = cv2.imread(str(tmp_path / "speed.png"))
    assert pixels.shape[1] > 600
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    plot_speed(costs, known, tmp_path / "speed.svg")
    text = (tmp_path / "speed.svg").read_text()
    assert "svg" in text[:200]
    with pytest.raises(UsageError, match="picture"):
        plot_speed(costs, known, tmp_path / "speed.gif")


@pytest.mark.slow
def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    quick = ["--rounds", "1", "--warm-up", "0", "--size", "64x80", "--objects", "2"]
    flags = ["-d", "demo", "--limit", "1", "-m", "otsu", "-q", "-o", str(out), "--clicks", "1"]
    run = CliRunner().invoke(app, ["run", "point", *flags])
    assert run.exit_code == 0, run.output
    files = [tmp_path / "cost.csv", tmp_path / "cost.json", tmp_path / "speed.png"]
    flags = ["--save", str(files[0]), "--save", str(files[1]), "--runs", str(out), "--plot", str(files[2])]
    run = CliRunner().invoke(app, ["bench", "otsu", "canny", *quick, *flags])
    assert run.exit_code == 0, run.output
    assert "not in the plot: canny" in run.output
    assert all(f.stat().st_size > 200 for f in files)
    assert math.isfinite(float(files[0].read_text().splitlines()[1].split(",")[2]))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--size", "640"], "HEIGHTxWIDTH"),
        (["--precision", "fp8"], "fp32, tf32 or bf16"),
        (["--save", "x.xls"], ".csv, .md, .tex, .json, .html, .png"),
        (["--plot", "x.png"], "give both"),
        (["--plot", "x.gif", "--runs", "r"], ".png, .pdf or .svg"),
        (["--rounds", "0"], "1 or more"),
    ],
)
def test_wrong_flags_before_anything_is_measured(flags: list[str], said: str) -> None:
    run = CliRunner().invoke(app, ["bench", "otsu", *flags])
    assert isinstance(run.exception, UsageError)
    assert said in str(run.exception)
