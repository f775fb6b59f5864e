"""What a model costs: parameters, milliseconds to encode and to answer clicks, images a second, peak memory; by device.

Every model is measured alone in a process of its own that has computed nothing before, with the threads that are stated. The
workload is a picture of coloured discs, one for each object: sizes and numbers are stated, and decide the times of models that look
at every object anew. Times are medians with quartiles over rounds, after rounds that don't count.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sambench import errors
from sambench.device.precision import CUBLAS_WORKSPACE, computing
from sambench.engine.threads import KEEP_MEMORY, PYTHON_VARIABLES, THREAD_VARIABLES
from sambench.errors import ModelError, SambenchError, UsageError
from sambench.models.contract import max_batch_of
from sambench.sources.models import ModelSpec, ResolvedModel, build
from sambench.types import Prediction, Prompt, UInt8Array

Quartiles = tuple[float, float, float]  # first quartile, median, third
_MB = 1e6


@dataclass(frozen=True)
class Workload:
    """What is measured. height, width: of the image, in pixels. objects: prompts decoded together (at most the model's max_batch).

    rounds: timed ones, of each quantity; fewer where they would take longer than `seconds` (one is the least). warm_up: rounds
    before them that don't count. threads: of the CPU.
    """

    height: int = 480
    width: int = 640
    objects: int = 8
    rounds: int = 10
    warm_up: int = 2
    seconds: float = 30.0
    threads: int = 1

    def check(self) -> None:
        """Raises UsageError for numbers that cannot be measured with."""
        for name, least in (("height", 32), ("width", 32), ("objects", 1), ("rounds", 1), ("warm_up", 0), ("threads", 1)):
            if (found := getattr(self, name)) < least:
                flag = "size" if name in ("height", "width") else name.replace("_", "-")
                raise UsageError("a measurement does not fit", where=f"--{flag}", expected=f"{least} or more", found=found)
        if self.seconds <= 0:
            raise UsageError("a measurement does not fit", where="--seconds", expected="more than 0", found=self.seconds)
        rows, cols = _grid(self.objects)
        if min(self.height // rows, self.width // cols) < 8:
            raise UsageError("so many objects do not fit in the image", where="--objects", found=self.objects, remedy="take fewer")


@dataclass(frozen=True)
class Cost:
    """One model's cost on one device. Times in milliseconds, (first quartile, median, third), None where there is no such step.

    parameters: of all torch modules that the model holds; 0 without any. encode_ms: an image (an edge detector's whole work).
    click_ms: one object's first click, alone. next_ms: its second, with what the first left. batch_ms: an object's share of
    `objects` first clicks decoded together. frame_ms: an image and its first click together, one image at a time (FPS at
    batch 1 is made of it). peak_mb: weights included; on a CPU the most that the process had resident from the
    model's building on, less what it had before; on a GPU what torch allocated. rounds: timed, the fewest of any quantity.
    """

    parameters: int
    encode_ms: Quartiles
    click_ms: Quartiles | None
    next_ms: Quartiles | None
    batch_ms: Quartiles | None
    frame_ms: Quartiles
    objects: int
    peak_mb: float
    rounds: int
    device: str
    hardware: str
    precision: str
    threads: int

    @property
    def fps(self) -> float:
        """Images a second at batch 1, each with one click (edge detectors: each with its edges); of the median."""
        return 1e3 / self.frame_ms[1]


def measure(model: ResolvedModel, workload: Workload) -> Cost:
    """The cost of one model, measured in a fresh process. Raises what the model raises as a SambenchError, or ModelError;
    UsageError for a model that answers neither clicks nor with edges."""
    workload.check()
    if model.gives in ("boxes", "concepts"):
        raise UsageError(
            "only models of masks and of edges are measured",
            where=model.called,
            expected="a model that answers clicks, or gives edges",
            found=f"one that gives {model.gives}",
            remedy="rows of concept runs have encode_ms, and decode_ms of every phrase: sambench run concepts",
        )
    threads = str(workload.threads)
    env = {**CUBLAS_WORKSPACE, **os.environ, **KEEP_MEMORY, **PYTHON_VARIABLES, **dict.fromkeys(THREAD_VARIABLES, threads)}
    job = json.dumps({"model": asdict(model.spec), "workload": asdict(workload), "uses_torch": model.uses_torch})
    command = [sys.executable, "-m", "sambench.conformance.efficiency"]
    done = subprocess.run(command, input=job, env=env, text=True, capture_output=True, check=False)
    lines = done.stdout.splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ModelError(
            f"the process that measured {model.id} ended without a result",
            found=f"exit code {done.returncode}; {last}",
            remedy="a negative exit code of -9 is the system's, for want of memory; else see the message",
        ) from None
    if "error" in answer:
        kind = getattr(errors, answer["kind"], ModelError)
        raise kind(answer["error"], **{part: answer[part] for part in ("where", "expected", "found", "remedy")})
    names = ("encode_ms", "click_ms", "next_ms", "batch_ms", "frame_ms")
    times = {k: None if answer[k] is None else tuple(answer[k]) for k in names}
    return Cost(**{**answer, **times})


def cost_of(spec: ModelSpec, workload: Workload, *, uses_torch: bool = True) -> Cost:
    """The same in this process: only the first call in a fresh one tells the truth about memory."""
    if uses_torch:
        import torch  # noqa: F401 - its libraries are no cost of the model's
    _limit_threads(workload.threads)
    before = _start_of_peak()
    model = build(spec)
    _limit_threads(workload.threads)  # also of a torch that came with it
    with computing(spec.precision, str(getattr(model, "device_kind", "cpu")).partition(":")[0]):
        return _cost_of(model, spec, workload, before)


def _cost_of(model: Any, spec: ModelSpec, workload: Workload, before: int) -> Cost:
    synchronise, device_bytes = _device(model, spec)
    image, points = picture(workload.height, workload.width, workload.objects)
    timer = _Timer(workload, synchronise)
    if not hasattr(model, "decode"):
        encode_ms = timer.time(lambda: model.edges(image))
        frame_ms, n = encode_ms, 0
        click_ms = next_ms = batch_ms = None
    else:
        state = model.encode(image)
        encode_ms = timer.time(lambda: model.encode(image))
        n = min(workload.objects, max_batch_of(model))
        prompts = [_prompt(points[i : i + 1]) for i in range(n)]
        click_ms = timer.time(lambda: _materialised(model.decode(state, prompts[:1])))
        second = _second(model.decode(state, prompts[:1])[0], points)
        next_ms = timer.time(lambda: _materialised(model.decode(state, [second])))
        batch_ms = timer.time(lambda: _materialised(model.decode(state, prompts)), share=n)
        frame_ms = timer.time(lambda: _materialised(model.decode(model.encode(image), prompts[:1])))
    peak = device_bytes() if device_bytes else _peak_bytes() - before
    kind = str(getattr(model, "device_kind", "cpu"))
    return Cost(
        parameters=parameters(model),
        encode_ms=encode_ms,
        click_ms=click_ms,
        next_ms=next_ms,
        batch_ms=batch_ms,
        frame_ms=frame_ms,
        objects=n,
        peak_mb=peak / _MB,
        rounds=timer.fewest,
        device=kind,
        hardware=hardware(kind),
        precision=spec.precision if spec.precision == "tf32" else str(getattr(model, "precision", spec.precision)),
        threads=workload.threads,
    )


def parameters(model: Any) -> int:
    """Elements of the parameters of the torch modules that an object is or holds directly, shared ones counted once."""
    torch = sys.modules.get("torch")
    if torch is None:
        return 0
    held = [model, *(vars(model).values() if hasattr(model, "__dict__") else ())]
    modules = [m for m in held if isinstance(m, torch.nn.Module)]
    return sum(p.numel() for p in {id(p): p for m in modules for p in m.parameters()}.values())


def picture(height: int, width: int, objects: int) -> tuple[UInt8Array, np.ndarray[Any, np.dtype[np.float32]]]:
    """uint8 [H, W, 3] with a coloured disc for each object on a grid, and their centres, float32 [objects, 2] (x, y)."""
    rows, cols = _grid(objects)
    y, x = np.mgrid[:height, :width]
    image = np.empty((height, width, 3), np.uint8)
    image[...] = (70, 80, 75)
    image[..., 1] += (x * 40 // width).astype(np.uint8)  # no flat ground
    points = []
    for i in range(objects):
        cx, cy = int((i % cols + 0.5) * width / cols), int((i // cols + 0.5) * height / rows)
        radius = int(0.35 * min(height / rows, width / cols))
        image[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = (120 + 37 * i % 130, 90 + 61 * i % 160, 60 + 83 * i % 190)
        points.append((cx, cy))
    return image, np.array(points, np.float32)


def hardware(kind: str) -> str:
    """The device's name, as it gives it."""
    torch = sys.modules.get("torch")
    if kind == "cuda" and torch is not None:
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@dataclass
class _Timer:
    workload: Workload
    synchronise: Callable[[], object]
    fewest: int = sys.maxsize

    def time(self, call: Callable[[], object], share: int = 1) -> Quartiles:
        """Quartiles of the milliseconds that a call takes, divided by `share`."""
        w = self.workload
        begun = time.perf_counter()
        for _ in range(w.warm_up):
            self._once(call)
            if time.perf_counter() - begun > w.seconds / 2:
                break
        times: list[float] = []
        begun = time.perf_counter()
        while len(times) < w.rounds and not (times and time.perf_counter() - begun > w.seconds):
            times.append(self._once(call) / share)
        self.fewest = min(self.fewest, len(times))
        low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
        return float(low), float(median), float(high)

    def _once(self, call: Callable[[], object]) -> float:
        self.synchronise()
        start = time.perf_counter()
        call()
        self.synchronise()
        return (time.perf_counter() - start) * 1e3


def _materialised(predictions: Sequence[Prediction]) -> None:
    """A mask that nobody looks at may cost nothing: the box of every candidate's region is asked for, as scoring does."""
    for p in predictions:
        for i in range(len(p.masks)):
            if hasattr(p.masks, "region"):
                p.masks.region(i)


def _prompt(points: np.ndarray[Any, np.dtype[np.float32]], carry: Any = None, *, multimask: bool = True) -> Prompt:
    labels = np.array([i == 0 for i in range(len(points))], np.int8)
    return Prompt(points_xy=points, labels=labels, multimask=multimask, carry=carry)


def _second(first: Prediction, points: np.ndarray[Any, np.dtype[np.float32]]) -> Prompt:
    """A negative click in the image's corner, after the first, with what that left."""
    both = np.array([points[0], (2, 2)], np.float32)
    return _prompt(both, None if first.carry is None else first.carry[first.top_index], multimask=False)


def _grid(objects: int) -> tuple[int, int]:
    rows = max(1, int(objects**0.5))
    return rows, -(-objects // rows)


def _device(model: Any, spec: ModelSpec) -> tuple[Callable[[], object], Callable[[], int] | None]:
    """(waits for the device, peak bytes allocated on it or None for the process's own)."""
    if getattr(model, "device_kind", "cpu") != "cuda":
        return (lambda: None), None
    import torch

    index = torch.device(spec.device if spec.device.startswith("cuda") else "cuda")
    return (lambda: torch.cuda.synchronize(index)), (lambda: int(torch.cuda.max_memory_allocated(index)))


def _start_of_peak() -> int:
    """Resident bytes now; the peak is counted from here on where the system can (Linux), else from the process's start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS") or _peak_bytes()


def _peak_bytes() -> int:
    """The most resident bytes since the start of the count."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _status_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status_bytes(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _limit_threads(threads: int) -> None:
    import cv2

    cv2.setNumThreads(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def _main() -> int:
    """A fresh process: a job on standard input, the cost or an error as the last line of standard output."""
    job = json.loads(sys.stdin.read())
    out, sys.stdout = sys.stdout, sys.stderr  # a model's own prints must not mix with the answer
    answer: dict[str, Any]
    try:
        answer = asdict(cost_of(ModelSpec(**job["model"]), Workload(**job["workload"]), uses_torch=job["uses_torch"]))
    except SambenchError as e:
        parts = {"where": e.where, "expected": e.expected, "found": e.found, "remedy": e.advice()}
        text = {k: None if v is None else str(v) for k, v in parts.items()}
        answer = {"kind": type(e).__name__, "error": e.message, **text}
    except Exception as e:  # noqa: BLE001 - whatever a model raises is told in the parent
        answer = {"kind": "ModelError", "error": "a model failed while it was measured", "found": f"{type(e).__name__}: {e}"}
        answer |= {"where": job["model"]["name"], "expected": None, "remedy": "sambench check model NAME says more"}
    out.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    _code = _main()
    sys.stderr.flush()
    sys.__stdout__.flush()  # type: ignore[union-attr]
    os._exit(_code)  # at once: a thread or an exit handler of the model may never end
