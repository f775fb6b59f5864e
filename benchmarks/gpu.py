"""All that a GPU's speed is made of, as one table: `python -m benchmarks.gpu` (or `make bench-gpu`). Needs torch, no network.

Ratios are of one run, against PyPI's `segment-anything` and a plain loop of its predictor with a full-frame clicker (left out where
it is not installed). Weights are random and made on the device (`gpu_world`). `--devices cpu --quick` tries the script out: what it
prints then are times of a toy.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bench_clicks import peer_click
from benchmarks.gpu_world import Costly, Pictures, Replaying, big_sam, clicks_of_plain_loop, costly, official, recorded
from sambench.automatic.generate import AutomaticSettings, generate
from sambench.conformance import compare_devices
from sambench.device.precision import computing
from sambench.engine.ahead import Ahead
from sambench.models.sam.nano import sam_nano
from sambench.tasks.point import PointSettings, PointTask
from sambench.tasks.prompted import Context
from sambench.types import Prompt


@dataclass(frozen=True)
class Setup:
    """What is measured. arch: of the big model; objects: an image; grid: points a side of automatic masks.

    rounds: after one that does not count; 0: one, which does.
    """

    device: str
    arch: str
    amg_arch: str
    objects: int
    peer_objects: int
    images: int
    prompts: int
    grid: int
    rounds: int
    workers: tuple[int, ...]
    compiled: bool

    @property
    def kind(self) -> str:
        return self.device.partition(":")[0]

    @property
    def precisions(self) -> tuple[str, ...]:
        return ("fp32", "tf32", "bf16") if self.kind == "cuda" else ("fp32",)

    @property
    def task(self) -> PointTask:
        """Nine clicks; of the toy two."""
        return PointTask() if self.rounds else PointTask(PointSettings(clicks=(1, 2)))


def setup_of(device: str, *, quick: bool) -> Setup:
    """For a GPU, or for trying out."""
    if quick:
        return Setup(device, "tiny", "tiny", 2, 1, 1, 2, 2, 0, (1,), False)
    return Setup(device, "vit_h", "vit_b", 35, 4, 4, 64, 32, 5, (1, 2, 4, 6, 8), device.startswith("cuda"))


@dataclass(frozen=True)
class Row:
    """One figure. peer: the same of PyPI's package, in the same unit. goal: that of the project for one H100 or H200."""

    name: str
    ours: float
    unit: str
    peer: float | None = None
    goal: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.unit.endswith("/s") else self.peer / self.ours


def timed_ms(setup: Setup, function: Callable[[], Any]) -> float:
    """Median milliseconds of a call, after one that does not count; the device's work included."""
    if setup.rounds:
        once_ms(setup, function)
    return statistics.median(once_ms(setup, function) for _ in range(max(setup.rounds, 1)))


def once_ms(setup: Setup, function: Callable[[], Any]) -> float:
    _wait(setup)
    start = time.perf_counter()
    function()
    _wait(setup)
    return (time.perf_counter() - start) * 1e3


def _wait(setup: Setup) -> None:
    if setup.kind == "cuda":
        torch.cuda.synchronize(setup.device)


def precision_rows(setup: Setup) -> Iterator[Row]:
    """How far the device is from the CPU in fp32, in standard deviations: `sambench check model sam_nano`'s figures."""
    for precision in setup.precisions:
        asked = "fp32" if precision == "tf32" else precision
        found = compare_devices(sam_nano(device=setup.device, precision=asked), sam_nano(), precision=precision)
        for finding, goal in zip(found[:2], ("0.0001", "0.002"), strict=True):
            name = f"{precision}, {finding.name.partition(': ')[2]} against cpu fp32"
            apart = float(finding.found.split("up to ")[1].split()[0])
            yield Row(name, apart, "std", goal=f"<= {goal}" if precision == "fp32" else "")


@torch.inference_mode()
def encoder_rows(setup: Setup) -> Iterator[Row]:
    """The encoder alone, and what `encode` adds."""
    image = Pictures(1, 4).load("0").image
    for precision in setup.precisions:
        model = big_sam(setup.arch, setup.device, "fp32" if precision == "tf32" else precision)
        peer = official(setup.arch, setup.device, model.model.state_dict()) if precision != "bf16" else None
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        pixels = torch.randn(1, 3, 1024, 1024, device=setup.device, generator=torch.Generator(setup.device).manual_seed(0))
        with computing(precision, setup.kind):
            given = pixels.to(dtype)
            alone = timed_ms(setup, lambda m=model, x=given: m.model.image_encoder(x))
            theirs = None if peer is None else timed_ms(setup, lambda p=peer, x=pixels: p.image_encoder(x))
            whole = timed_ms(setup, lambda m=model: m.encode(image))
            goal = "<= 17" if precision == "bf16" else ""
            yield Row(f"{setup.arch} encoder, {precision}", alone, "ms", theirs, goal)
            yield Row(f"encode() around it, {precision}", max(whole - alone, 0.001), "ms")
            prepared = model.prepare(image)
            ahead = timed_ms(setup, lambda m=model, p=prepared: m.encode(p))
            yield Row(f"encode() of a picture prepared ahead, less the encoder, {precision}", max(ahead - alone, 0.001), "ms")
            if precision == "bf16" and setup.compiled:
                fast = torch.compile(model.model.image_encoder)
                half = pixels.to(dtype)
                yield Row(f"{setup.arch} encoder, bf16 compiled", timed_ms(setup, lambda f=fast, x=half: f(x)), "ms")


@torch.inference_mode()
def decoder_rows(setup: Setup) -> Iterator[Row]:
    """A batch of first clicks: to logits on the device, and to logits on the host."""
    model = big_sam(setup.amg_arch, setup.device, "fp32")
    peer = official(setup.amg_arch, setup.device, model.model.state_dict())
    image = Pictures(1, 4).load("0").image
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 760, (setup.prompts, 1, 2)).astype(np.float32)
    prompts = [Prompt(p, np.ones(1, np.int8)) for p in xy]
    state = model.encode(image)
    embedding = state.embedding
    points = (torch.from_numpy(xy).to(setup.device), torch.ones(setup.prompts, 1, device=setup.device))

    def theirs(*, to_host: bool) -> Any:
        assert peer is not None
        sparse, dense = peer.prompt_encoder(points, None, None)
        low, _ = peer.mask_decoder(
            image_embeddings=embedding,
            image_pe=peer.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return low.cpu() if to_host else low

    for precision in ("fp32", "tf32") if setup.kind == "cuda" else ("fp32",):
        with computing(precision, setup.kind):
            for to_host in (False, True):
                ours = timed_ms(setup, lambda h=to_host: [p.masks.low_res for p in model.decode(state, prompts)] if h
                                else model.decode(state, prompts))  # fmt: skip
                other = None if peer is None else timed_ms(setup, lambda h=to_host: theirs(to_host=h))
                where = "the host" if to_host else "the device"
                yield Row(f"decoder, {setup.prompts} prompts, to logits on {where}, {precision}", ours, "ms", other)


def images_per_s(setup: Setup, model: Any, precision: str, images: int, scoring: str) -> float:
    """The point task as a worker runs it, reading ahead; after one image that does not count."""
    pictures = Pictures(images + 1, setup.objects)
    task, context = setup.task, Context(scoring=scoring, device=setup.device)  # type: ignore[arg-type]
    with computing(precision, setup.kind), closing(Ahead(pictures, model, 2 if setup.kind == "cuda" else 0)) as ahead:
        ahead.expect([r.image_id for r in pictures.index()])
        task.rows(ahead.load("0"), model, context)
        _wait(setup)
        start = time.perf_counter()
        for k in range(1, images + 1):
            task.rows(ahead.load(str(k)), model, context)
        _wait(setup)
        return images / (time.perf_counter() - start)


def point_rows(setup: Setup) -> Iterator[Row]:
    """The whole task in one process, by precision and place of scoring, against the plain loop."""
    goals = {"bf16": ">= 12", "tf32": ">= 8", "fp32": ">= 5"}
    plain = plain_loop(setup)
    for precision in setup.precisions:
        model = costly(setup.arch, setup.device, "fp32" if precision == "tf32" else precision)
        for scoring in ("device", "host"):
            speed = images_per_s(setup, model, precision, setup.images, scoring)
            name = f"point task, {setup.objects} objects, scored on the {scoring}, one process, {precision}"
            goal = goals[precision] if scoring == "device" else ""
            yield Row(name, speed, "images/s", plain if precision == "fp32" else None, goal)
        if precision == setup.precisions[-1]:
            yield from profile_rows(setup, model, precision)
        if setup.kind == "cuda":
            yield Row(f"peak memory of that process, {precision}", torch.cuda.max_memory_allocated(setup.device) / 2**30, "GiB")


def plain_loop(setup: Setup) -> float | None:
    """Images a second of the loop around PyPI's predictor, of a few objects, for as many as ours has."""
    model = costly(setup.arch, setup.device, "fp32")
    peer = official(setup.arch, setup.device, model.big.model.state_dict())
    if peer is None:
        return None
    from segment_anything import SamPredictor

    sample = Pictures(1, setup.objects).load("0")
    state = model.answering.encode(sample.image)
    asking = 0.0

    def answers(clicks: list[Any]) -> Any:
        nonlocal asking
        start = time.perf_counter()
        points = np.array([(c.x, c.y) for c in clicks], np.float32)
        labels = np.array([c.positive for c in clicks], np.int8)
        (found,) = model.answering.decode(state, [Prompt(points, labels, multimask=len(clicks) == 1)])
        asking += time.perf_counter() - start
        return found

    predictor, clicks = SamPredictor(peer), max(setup.task.settings.clicks)
    with computing("fp32", setup.kind):
        clicks_of_plain_loop(predictor, sample, [0], answers, 1, peer_click)
        once = timed_ms(setup, lambda: predictor.set_image(sample.image)) / 1e3
        asking = 0.0
        start = time.perf_counter()
        clicks_of_plain_loop(predictor, sample, range(setup.peer_objects), answers, clicks, peer_click)
        an_object = max(time.perf_counter() - start - asking - once, 1e-6) / setup.peer_objects
    return 1 / (once + an_object * setup.objects)


def profile_rows(setup: Setup, model: Costly, precision: str) -> Iterator[Row]:
    """Where one image's time goes; the device is waited for at every border, so that the sum is more than the whole."""
    spent = dict.fromkeys(("encode", "decode"), 0.0)

    def watched(name: str) -> Callable[..., Any]:
        function = getattr(model, name)

        def call(*arguments: Any) -> Any:
            _wait(setup)
            start = time.perf_counter()
            out = function(*arguments)
            _wait(setup)
            spent[name] += time.perf_counter() - start
            return out

        return call

    class Watched:
        max_batch = model.max_batch
        encode, decode = staticmethod(watched("encode")), staticmethod(watched("decode"))

    sample = Pictures(1, setup.objects).load("0")
    with computing(precision, setup.kind):
        start = time.perf_counter()
        setup.task.rows(sample, Watched(), Context(scoring="device", device=setup.device))
        whole = time.perf_counter() - start
    for name, seconds in {**spent, "scoring and clicks": whole - sum(spent.values())}.items():
        yield Row(f"of one image, {precision}: {name}", seconds * 1e3, "ms")


def automatic_rows(setup: Setup) -> Iterator[Row]:
    """From picture to masks: big encoder and decoder on either side, and on either the masks that sam_nano answers."""
    big = big_sam(setup.amg_arch, setup.device, "fp32")
    peer = official(setup.amg_arch, setup.device, big.model.state_dict())
    image = Pictures(1, 20).load("0").image
    settings = AutomaticSettings(grid=setup.grid, pred_iou=0.5, stability=0.8)
    with computing("fp32", setup.kind):
        model = Replaying(big, recorded(sam_nano(device=setup.device), image, setup.grid))
        found = generate(model, image, settings, device=setup.device)
        ours = timed_ms(setup, lambda: generate(model, image, settings, device=setup.device))
        host = timed_ms(setup, lambda: generate(model, image, settings))
        theirs = None
        if peer is not None:
            from segment_anything import SamAutomaticMaskGenerator

            flags = {"points_per_side": setup.grid, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.8}
            maker = SamAutomaticMaskGenerator(peer, output_mode="coco_rle", **flags)
            maker.predictor.predict_torch = model.for_peer(maker)
            theirs = once_ms(setup, lambda: maker.generate(image))
    name = f"automatic masks, {setup.amg_arch}, {setup.grid} x {setup.grid} points, fp32, {len(found)} masks"
    yield Row(name, ours, "ms", theirs, ">= 5x")
    yield Row("the same, measured and held on the host", host, "ms", theirs)


def worker_rows(setup: Setup) -> Iterator[Row]:
    """Images a second of several processes on one device together."""
    precision = "bf16" if setup.kind == "cuda" else "fp32"
    for n in setup.workers:
        context = multiprocessing.get_context("spawn")
        begin, results = context.Barrier(n), context.Queue()
        running = [context.Process(target=_worker, args=(setup, precision, begin, results)) for _ in range(n)]
        for p in running:
            p.start()
        try:
            spans = [results.get(timeout=120) for _ in running]
        except queue.Empty:  # one that does not fit in memory, say: its own error stands above
            print(f"{n} workers did not all come to an end", file=sys.stderr)
            continue
        finally:
            for p in running:
                p.join(timeout=5)
                p.kill()
        seconds = max(end for _, end, *_ in spans) - min(start for start, *_ in spans)
        many = "s" if n > 1 else ""
        speed = sum(images for *_, images in spans) / seconds
        yield Row(f"point task, {precision}, {n} worker{many} on one device", speed, "images/s")
        if setup.kind == "cuda":
            yield Row(f"their memory, {n} together", sum(peak for *_, peak, _ in spans) / 2**30, "GiB")


def _worker(setup: Setup, precision: str, begin: Any, results: Any) -> None:
    torch.set_num_threads(1)
    model = costly(setup.arch, setup.device, precision)
    if setup.rounds:
        images_per_s(setup, model, precision, 1, "device")
    begin.wait(timeout=100)
    start = time.time()
    images_per_s(setup, model, precision, setup.images, "device")
    peak = torch.cuda.max_memory_allocated(setup.device) if setup.kind == "cuda" else 0
    results.put((start, time.time(), peak, setup.images + 1))  # that which does not count there counts here


PARTS: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "precision": precision_rows,
    "encoder": encoder_rows,
    "decoder": decoder_rows,
    "point": point_rows,
    "automatic": automatic_rows,
    "workers": worker_rows,
}


def line(row: Row) -> str:
    """As it is printed."""
    peer = "" if row.peer is None else f"{row.peer:.3g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    return f"{row.name:<74}{row.ours:>9.3g} {row.unit:<9}{peer:>9}{ratio:>9}  {row.goal}".rstrip()


def main(argv: list[str]) -> int:
    """Measure, and print each row when it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--devices", default="cuda:0", help="one device of torch's: cuda:0, or cpu with --quick")
    parser.add_argument("--quick", action="store_true", help="a toy model and one round: to see that the script runs")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="this part; may be repeated")
    parser.add_argument("--json", type=Path, help="the rows, also as a file")
    flags = parser.parse_args(argv)
    if flags.devices.startswith("cuda") and not torch.cuda.is_available():
        print(f"there is no device {flags.devices!r} that torch {torch.__version__} can use; to try the script out: "
              "python -m benchmarks.gpu --devices cpu --quick", file=sys.stderr)  # fmt: skip
        return 2
    setup = setup_of(flags.devices, quick=flags.quick)
    name = torch.cuda.get_device_name(flags.devices) if setup.kind == "cuda" else "the CPU"
    print(f"{name}, torch {torch.__version__}, {setup.arch}{', a toy: no figure of it means anything' if flags.quick else ''}\n")
    print(f"{'':<74}{'ours':>9} {'':<9}{'peer':>9}{'ratio':>9}  goal")
    rows = []
    for part in flags.only or PARTS:
        for row in PARTS[part](setup):
            print(line(row), flush=True)
            rows.append({**vars(row), "ratio": row.ratio})
        if setup.kind == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(setup.device)
    if flags.json is not None:
        flags.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
