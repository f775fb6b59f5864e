"""Rows of `benchmarks.gpu` about several processes on one device."""

from __future__ import annotations

import multiprocessing
import queue
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu_measuring import Row, Setup, choose
from benchmarks.gpu_tasks import images_per_s
from benchmarks.gpu_world import Pictures, costly


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
            yield Row(f"memory taken of the device, {n} worker{many}", max(taken for *_, taken, _ in spans) / 2**30, "GiB")


def _worker(setup: Setup, precision: str, begin: Any, results: Any) -> None:
    torch.set_num_threads(1)
    choose(setup)
    model = costly(setup.arch, setup.device, precision)
    if setup.rounds:
        images_per_s(setup, model, precision, Pictures(2, setup.objects), "device")
    pictures = Pictures(setup.images + 1, setup.objects)
    begin.wait(timeout=100)
    start = time.time()
    images_per_s(setup, model, precision, pictures, "device")
    end, taken = time.time(), 0
    if setup.kind == "cuda":
        begin.wait(timeout=100)  # while all are there, with their contexts and all that torch holds
        free, total = torch.cuda.mem_get_info(setup.device)
        taken = total - free
        begin.wait(timeout=100)
    results.put((start, end, taken, setup.images + 1))  # that which does not count there counts here
