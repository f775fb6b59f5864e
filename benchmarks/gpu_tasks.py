"""Rows of `benchmarks.gpu` about whole tasks in one process: points, automatic masks, and the plain loop beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch

from benchmarks.bench_clicks import peer_click
from benchmarks.gpu_measuring import Row, Setup, forget, once_ms, timed_ms, wait
from benchmarks.gpu_world import Costly, Pictures, Replaying, big_sam, clicks_of_plain_loop, costly, official, recorded
from sambench.automatic.generate import AutomaticSettings, generate
from sambench.device.precision import computing
from sambench.engine.ahead import Ahead
from sambench.models.sam.nano import sam_nano
from sambench.tasks.prompted import Context
from sambench.types import Prompt
from tests.helpers.launches import counting


def images_per_s(setup: Setup, model: Any, precision: str, pictures: Pictures, scoring: str) -> float:
    """The point task as a worker runs it, reading ahead; of all pictures but the first, which does not count."""
    task, context = setup.task, Context(scoring=scoring, device=setup.device)  # type: ignore[arg-type]
    with computing(precision, setup.kind), closing(Ahead(pictures, model, 2 if setup.kind == "cuda" else 0)) as ahead:
        ahead.expect([r.image_id for r in pictures.index()])
        task.rows(ahead.load("0"), model, context)
        wait(setup)
        start = time.perf_counter()
        for k in range(1, pictures.n):
            task.rows(ahead.load(str(k)), model, context)
        wait(setup)
        return (pictures.n - 1) / (time.perf_counter() - start)


def point_rows(setup: Setup) -> Iterator[Row]:
    """The whole task in one process, by precision and place of scoring, against the plain loop."""
    goals = {"bf16": ">= 12", "tf32": ">= 8", "fp32": ">= 5"}
    plain = plain_loop(setup)
    pictures = Pictures(setup.images + 1, setup.objects)
    for precision in setup.precisions:
        model: Any = None  # the last one goes before there is another
        forget(setup)
        model = costly(setup.arch, setup.device, "fp32" if precision == "tf32" else precision)
        for scoring in ("device", "host"):
            speed = images_per_s(setup, model, precision, pictures, scoring)
            name = f"point task, {setup.objects} objects, scored on the {scoring}, one process, {precision}"
            goal = goals[precision] if scoring == "device" else ""
            yield Row(name, speed, "images/s", plain if precision == "fp32" else None, goal)
        if setup.kind == "cuda":
            yield Row(f"peak memory of that process, {precision}", torch.cuda.max_memory_allocated(setup.device) / 2**30, "GiB")
        if precision == setup.precisions[-1]:
            yield from profile_rows(setup, model, precision)


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
    """Where one image's time goes; the device is waited for at every border, so that the sum is more than the whole.

    Then how many kernels each part launches, and how often the host waits for the device.
    """

    def parts(read: Callable[[], np.ndarray[Any, Any]]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        spent = {name: np.zeros_like(read()) for name in ("encode", "decode")}

        def watched(name: str) -> Callable[..., Any]:
            function = getattr(model, name)

            def call(*arguments: Any) -> Any:
                wait(setup)
                start = read()
                out = function(*arguments)
                wait(setup)
                spent[name] += read() - start
                return out

            return call

        class Watched:
            max_batch = model.max_batch
            encode, decode = staticmethod(watched("encode")), staticmethod(watched("decode"))

        start = read()
        setup.task.rows(Pictures(1, setup.objects).load("0"), Watched(), Context(scoring="device", device=setup.device))
        whole = read() - start
        yield from {**spent, "scoring and clicks": whole - sum(spent.values())}.items()

    with computing(precision, setup.kind):
        for name, (seconds,) in parts(lambda: np.array([time.perf_counter()])):
            yield Row(f"of one image, {precision}: {name}", seconds * 1e3, "ms")
        with counting() as asked:
            counted = list(parts(lambda: np.array([sum(c.values()) for c in (asked.launches, asked.reads + asked.writes)])))
    for name, (kernels, waits) in counted:
        both = "" if name.startswith("scoring") else ", with sam_nano's"
        yield Row(f"of one image, {precision}: {name}{both}, kernels", float(kernels), "")
        yield Row(f"of one image, {precision}: {name}{both}, waits for the device", float(waits), "")


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
        host = once_ms(setup, lambda: generate(model, image, settings))
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
