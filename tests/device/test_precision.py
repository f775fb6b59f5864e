"""What the words of precision switch in torch, how it is put back, and what `check model` says of a device and a precision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sambench.cli.app import app
from sambench.conformance import compare_devices
from sambench.device.precision import WORDS, computing
from sambench.engine.run import Request, plan
from sambench.errors import UsageError
from sambench.models.sam.nano import sam_nano
from sambench.sources.models import ModelSpec, ResolvedModel, build, described, resolve

BACKENDS = torch.backends
CASE = Path(__file__).resolve().parents[1] / "cases/18-evaluate-stale-epoch"


def switches() -> dict[str, Any]:
    """Every switch that decides how float32 is computed; `mixed` where older and newer ones disagree, and torch refuses."""
    reads = {
        "matmul.allow_tf32": lambda: BACKENDS.cuda.matmul.allow_tf32,
        "cudnn.allow_tf32": lambda: BACKENDS.cudnn.allow_tf32,
        "float32_matmul": torch.get_float32_matmul_precision,
        "deterministic": torch.are_deterministic_algorithms_enabled,
        "reduced bf16": lambda: BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction,
    }
    if hasattr(BACKENDS.cuda.matmul, "fp32_precision"):
        owners = (BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn, BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv)
        reads |= {f"{i}.fp32_precision": lambda o=o: o.fp32_precision for i, o in enumerate(owners)}
    out: dict[str, Any] = {}
    for name, read in reads.items():
        try:
            out[name] = read()
        except RuntimeError:
            out[name] = "mixed"
    return out


@pytest.fixture
def started() -> Iterator[dict[str, Any]]:
    """As torch starts; put back afterwards whatever a test leaves."""
    before = switches()
    yield before
    torch.set_float32_matmul_precision("highest")
    BACKENDS.cudnn.allow_tf32 = True
    if hasattr(BACKENDS.cuda.matmul, "fp32_precision"):
        BACKENDS.cuda.matmul.fp32_precision = "none"
        BACKENDS.mkldnn.matmul.fp32_precision = "none"
        BACKENDS.cudnn.conv.fp32_precision = BACKENDS.cudnn.rnn.fp32_precision = "tf32"
        BACKENDS.fp32_precision = "none"


def as_started() -> None: ...


def as_in_training() -> None:
    torch.set_float32_matmul_precision("medium")


def as_half_migrated() -> None:
    if hasattr(BACKENDS.cuda.matmul, "fp32_precision"):
        BACKENDS.cuda.matmul.fp32_precision = "tf32"
        BACKENDS.cudnn.conv.fp32_precision = "ieee"


@pytest.mark.parametrize("before", [as_started, as_in_training, as_half_migrated])
@pytest.mark.parametrize("precision", WORDS)
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_tf32_is_on_where_it_is_asked_for_alone_and_all_is_put_back(
    before: Any, precision: str, kind: str, started: dict[str, Any]
) -> None:
    before()
    held = switches()
    inside: dict[str, Any] = {}
    with suppress(ZeroDivisionError), computing(precision, kind):
        inside |= switches()
        raise ZeroDivisionError
    assert switches() == held
    tf32 = precision == "tf32"
    if before is not as_half_migrated:
        assert inside["matmul.allow_tf32"] is inside["cudnn.allow_tf32"] is tf32
        assert inside["float32_matmul"] == ("high" if tf32 else "highest")
    new = [inside[f"{i}.fp32_precision"] for i in range(5) if f"{i}.fp32_precision" in inside]
    assert new in ([], [*(["tf32" if tf32 else "ieee"] * 3), "ieee", "ieee"])
    assert inside["deterministic"] is (kind == "cuda")
    assert inside["reduced bf16"] is (kind == "cpu")


def test_a_training_script_s_medium_products_do_not_reach_the_numbers(started: dict[str, Any]) -> None:
    """On CPUs with bfloat16 units torch takes `medium` at its word, in float32 models too."""
    a, b = (torch.randn(256, 256, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    plain = a @ b
    torch.set_float32_matmul_precision("medium")
    with computing("fp32"):
        assert torch.equal(a @ b, plain)


def test_tf32_is_refused_on_a_cpu_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tf32 is a precision of GPUs") as caught:
        resolve("sam_nano", {}, device="cpu", precision="tf32")
    assert "--devices cuda" in str(caught.value.remedy)
    with pytest.raises(UsageError, match="an unknown precision"):
        plan(Request("point", precision="fp8", out=str(tmp_path)))


def test_tf32_is_in_the_identity_and_the_model_s_factory_is_asked_for_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.sources.card.pick_device", lambda requested, uses_torch: "cuda:0")
    tf32, fp32 = (resolve("sam_nano", {}, device="cuda:0", precision=p).identity for p in ("tf32", "fp32"))
    assert (tf32["precision"], fp32["precision"]) == ("tf32", "fp32")
    assert {**tf32, "precision": "fp32"} == fp32
    file = tmp_path / "model.py"
    file.write_text("class M:\n    encode = decode = lambda self, *a: None\ndef build(precision):\n"
                    "    m = M()\n    m.precision = precision\n    return m\n")  # fmt: skip
    assert build(ModelSpec(f"python:{file}:build", {}, "cpu", "tf32")).precision == "fp32"


def test_a_python_model_in_tf32_is_another_run(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def build(): ...")
    spec = ModelSpec(f"python:{tmp_path / 'm.py'}:build", {}, "cuda:0", "tf32")
    found = {"device_kind": "cuda", "device": "cuda:0", "identity": {}, "max_batch": 1, "gives": "masks"}
    model = ResolvedModel(spec, "m", "m", {})
    assert described(model, {**found, "precision": "fp32"}).identity["precision"] == "tf32"
    assert described(model, {**found, "precision": "fp16"}).identity["precision"] == "fp16"  # its own word for something else
    plain = replace(model, spec=replace(spec, precision="fp32"))
    assert described(plain, {**found, "precision": "fp32"}).identity["precision"] == "fp32"
    with pytest.raises(UsageError, match="tf32 is a precision of GPUs"):
        described(model, {**found, "precision": "fp32", "device_kind": "cpu"})


def test_check_says_what_bf16_costs() -> None:
    run = CliRunner().invoke(app, ["check", "model", "sam_nano", "--precision", "bf16", "--devices", "cpu"])
    assert run.exit_code == 0, run.output
    lines = [line for line in run.output.splitlines() if "cpu bf16 against cpu fp32" in line]
    assert [line.partition("fp32: ")[2].partition(":")[0] for line in lines] == ["embedding", "logits", "masks", "cost"]
    assert all(line.startswith("ok") for line in lines)
    assert float(lines[0].split("up to ")[1].split()[0]) > 1e-3


def test_a_device_that_computes_fp32_differently_fails_by_name() -> None:
    """A stand-in for a GPU that rounds factors: a model whose weights are rounded to 9 bits (the file's have 10)."""
    exact, rounded = sam_nano(), sam_nano()
    for parameter in rounded.model.parameters():
        bits = parameter.data.view(torch.int32)
        parameter.data = ((bits + 0x2000) & ~0x3FFF).view(torch.float32)
    same = compare_devices(sam_nano(), exact, precision="fp32")
    assert [f.status for f in same] == ["pass"] * 4
    assert "up to 0 standard deviations" in same[0].found
    found = {f.name.partition(": ")[2]: f for f in compare_devices(rounded, exact, precision="fp32")}
    assert found["embedding"].status == "fail"
    assert found["embedding"].expected == "0.0001 at most in fp32"
    told = compare_devices(rounded, exact, precision="tf32")
    assert {f.status for f in told} == {"pass"}


def test_what_a_device_raises_is_a_finding() -> None:
    class Lost:
        encode = decode = lambda self, *a: (_ for _ in ()).throw(RuntimeError("CUDA error: out of memory"))

    (found,) = compare_devices(Lost(), sam_nano(), precision="fp32")
    assert found.status == "fail"
    assert "out of memory" in found.found


def test_workers_are_given_cublas_s_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sambench.engine.backends import processes
    from sambench.engine.worker import Job

    started: dict[str, Any] = {}

    class Refused(Exception):
        pass

    def popen(*args: Any, env: dict[str, str], **more: Any) -> None:
        started.update(env)
        raise Refused

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    job = Job(ModelSpec("otsu", {}, "cuda:0", "tf32"), (), "", device_kind="cuda", precision="tf32")
    with pytest.raises(Refused):
        processes.start(job, "cuda:0", tmp_path, processes.queue.Queue())
    assert started["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert Job.from_json(job.to_json()).precision == "tf32"
    assert json.loads(job.to_json())["precision"] == "tf32"


def test_a_run_computes_within_its_precision(tmp_path: Path, started: dict[str, Any]) -> None:
    """`evaluate` in a process that trains with TF32: the model sees IEEE float32, and the process has its switches back."""
    import sambench

    torch.set_float32_matmul_precision("high")
    held, seen = switches(), []

    class Looks:
        def __init__(self) -> None:
            self.identity = {"looks": 1}

        def encode(self, image: np.ndarray) -> Any:
            seen.append(switches())
            return image.shape[:2]

        def decode(self, state: Any, prompts: list[Any]) -> list[Any]:
            return [sambench.Prediction(np.ones((1, *state), np.bool_), np.ones(1, np.float32)) for _ in prompts]

    sambench.evaluate(Looks(), "box", datasets=str(CASE / "card.toml"), root=str(CASE), out=tmp_path)
    assert seen
    assert seen[0]["float32_matmul"] == "highest"
    assert switches() == held
