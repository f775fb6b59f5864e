"""A training whose checkpoints are one number, watched in one process: quick, and nothing is started that outlives a kill.

`python -m tests.helpers.watched FOLDER KILL_AT` watches, and is killed at the first image of the checkpoint KILL_AT.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sambench.engine import run as engine
from sambench.engine.request import Request
from sambench.engine.worker import work
from sambench.sources.models import build
from sambench.watch import loop
from sambench.watch.evaluate import Rule, Work

MODEL = '''
import numpy as np
import torch

from sambench import Prediction


class Toy:
    """Answers a box with the box, drawn in by a share of its size; below 0 it raises."""

    max_batch = 64

    def __init__(self, shrink):
        self.shrink = shrink
        self.identity = {"shrink": shrink}

    def encode(self, image):
        return image.shape[:2]

    def decode(self, state, prompts):
        if self.shrink < 0:
            raise RuntimeError("not a number")
        out = []
        for p in prompts:
            x0, y0, x1, y1 = p.box_xyxy
            dx, dy = (x1 - x0) * self.shrink / 2, (y1 - y0) * self.shrink / 2
            mask = np.zeros(state, bool)
            mask[round(y0 + dy) : round(y1 - dy) + 1, round(x0 + dx) : round(x1 - dx) + 1] = True
            out.append(Prediction(mask[None], np.ones(1), carry=None))
        return out


def toy(weights):
    return Toy(float(torch.load(weights)["shrink"]))
'''


class Here:
    """A backend whose one worker is this process."""

    grace_s = 1.0
    failure = None

    def __init__(self, job: Any, on_event: Any) -> None:
        self.job, self.on_event, self.running = job, on_event, True

    def wait(self) -> None:
        from sambench.sources.describe import describe

        self.running = False
        model = build(self.job.model)
        if not self.job.cells:
            self.on_event({"event": "described", **describe(model, self.job.model)})
        else:
            work(self.job, model, self.on_event, lambda: None)

    def stop(self, *, now: bool) -> None:
        self.running = False

    def close(self) -> None:
        return


class Backend:
    def places(self, model: Any, devices: Any, workers: Any) -> list[str]:
        return ["cpu"]

    def start(self, job: Any, places: Any, log_dir: Path, on_event: Any) -> Here:
        return Here(job, on_event)


def in_this_process(*_: Any) -> Backend:
    """In place of `engine.run.backend`."""
    return Backend()


def save(folder: Path, step: int | str, shrink: float) -> Path:
    """A checkpoint."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"step_{step}.pth"
    torch.save({"shrink": torch.tensor(shrink)}, path)
    return path


def watch_of(world: Path, **more: Any) -> loop.Watch:
    """Of the checkpoints in `world/train`, the results in `world/runs`, the ledger in `world/watch`."""
    (world / "toy.py").write_text(MODEL)
    request = Request(
        task="box", datasets=("demo",), models=((f"python:{world / 'toy.py'}:toy", {}),), limit=4, out=str(world / "runs")
    )
    given = {"against": "best", "settle_s": 0.0, "poll_s": 0.05, "once": True, **more}
    return loop.Watch(world / "train", world / "watch", Work(request, Rule(by=0.02)), **given)


def main(world: Path, kill_at: str) -> None:
    """Watch until killed."""
    engine.backend = in_this_process  # type: ignore[assignment]
    now = ""

    def say(text: str) -> None:
        nonlocal now
        now = text.partition(":")[0]

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "image" and now == f"step_{kill_at}.pth":
            os.kill(os.getpid(), signal.SIGKILL)

    loop.run(watch_of(world), say=say, on_event=on_event)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
