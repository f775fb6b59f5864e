"""Train `sam_nano`. Resumable: the same command goes on from the last checkpoint. See README.md.

python baselines/sam_nano/train.py --out runs/nano --hours 1.2
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from data import Example, batch
from interact import Batch, DenseHead, Game, Rounds

from sambench.models.sam.nano import FINE, NanoSam

COLUMNS = (
    "step",
    "seconds",
    "lr",
    "side",
    "loss",
    "iou_1_point_top",
    "iou_1_point_best",
    "iou_box",
    "iou_last_point",
    "iou_error",
    "norm",
    "dense",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights. Phases: (share of the steps, side of the crops, images a step, prompts an image, rounds;
    no rounds: the encoder alone learns, from the dense targets)."""

    seed: int = 0
    steps: int = 6000
    lr: float = 1e-3
    final_lr: float = 1e-5
    warmup: int = 150
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.998
    scenes: int = 6000
    jointed: int = 0  # scenes of jointed things beside them
    jointed_from: int = 0
    bf16: bool = True
    box_hints_from: int = 0
    dense_from: int = 0
    dense_weights: tuple[tuple[int, float], ...] = ((0, 15.0),)  # (from this step on, weight)
    iou_weights: tuple[tuple[int, float], ...] = ((0, 1.0),)  # (from this step on, weight)
    phases: tuple[tuple[float, int, int, int, int], ...] = ((0.85, 256, 4, 14, 3), (0.15, 512, 1, 14, 4))

    def phase(self, step: int) -> tuple[int, int, int, int]:
        """(side, images, prompts, rounds) at a step."""
        done = 0.0
        for share, *now in self.phases:
            done += share
            if step < done * self.steps - 1e-9:
                return tuple(now)
        return tuple(self.phases[-1][1:])

    def rate(self, step: int) -> float:
        """Warm-up, then a cosine to final_lr."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        t = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.final_lr + (self.lr - self.final_lr) * 0.5 * (1 + math.cos(math.pi * min(t, 1)))


class Trainer:
    """Model, its moving average, optimizer and random state, saved and restored as one."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.model = NanoSam().to(memory_format=torch.channels_last).train()
        self.head = DenseHead(FINE)
        self.game = Game(self.model, self.head)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.99))
        self.head_optimizer = torch.optim.AdamW(self.head.parameters(), lr=recipe.lr)
        self.random = torch.Generator().manual_seed(recipe.seed)
        self.step = 0
        self.seconds = 0.0

    def one(self, examples: list[Example]) -> dict[str, float]:
        """One step; returns its row of the curve."""
        start, rate = time.perf_counter(), self.recipe.rate(self.step)
        side, _, _, rounds = self.recipe.phase(self.step)
        dense = self.step >= self.recipe.dense_from
        iou_weight, dense_weight = (_at(w, self.step) for w in (self.recipe.iou_weights, self.recipe.dense_weights))
        how = {"dense": dense, "iou_weight": iou_weight, "box_hints": self.step >= self.recipe.box_hints_from}
        for group in (*self.optimizer.param_groups, *self.head_optimizer.param_groups):
            group["lr"] = rate
        kind = torch.bfloat16 if self.recipe.bf16 else torch.float32  # of the arithmetic; the weights stay in fp32
        weights = {k: v.to(kind) for k, v in self.game.named_parameters()}
        played: Rounds = torch.func.functional_call(self.game, weights, (Batch.of(examples), rounds, self.random), how)
        self.optimizer.zero_grad(set_to_none=True)
        self.head_optimizer.zero_grad(set_to_none=True)
        (played.loss if played.dense is None else played.loss + dense_weight * played.dense).backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip))
        self.optimizer.step()
        self.head_optimizer.step()
        keep = min(self.recipe.ema, (self.step + 1) / (self.step + 20))
        for k, v in self.model.state_dict().items():
            self.average[k].lerp_(v, 1 - keep)
        self.step += 1
        self.seconds += time.perf_counter() - start
        return {"step": self.step, "seconds": round(self.seconds, 2), "lr": rate, "side": side, "norm": norm, **summary(played)}

    def start_from(self, path: Path) -> None:
        """Take the weights of another run's checkpoint where names and shapes fit; nothing else of it."""
        content = torch.load(path, weights_only=True)
        for module, found in ((self.model, content["model"]), (self.head, content["head"])):
            own = module.state_dict()
            module.load_state_dict({k: found[k] if k in found and found[k].shape == v.shape else v for k, v in own.items()})
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        """Atomic."""
        part = path.with_suffix(".part")
        content = {"model": self.model.state_dict(), "average": self.average, "optimizer": self.optimizer.state_dict()}
        content |= {"head": self.head.state_dict(), "head_optimizer": self.head_optimizer.state_dict()}
        torch.save(content | {"random": self.random.get_state(), "step": self.step, "seconds": self.seconds}, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        content = torch.load(path, weights_only=True)
        self.model.load_state_dict(content["model"])
        self.average = content["average"]
        self.optimizer.load_state_dict(content["optimizer"])
        if "head" in content:
            self.head.load_state_dict(content["head"])
            self.head_optimizer.load_state_dict(content["head_optimizer"])
        self.random.set_state(content["random"])
        self.step, self.seconds = content["step"], content["seconds"]


def _at(values: tuple[tuple[int, float], ...], step: int) -> float:
    return [v for first, v in values if step >= first][-1]


def summary(played: Rounds) -> dict[str, float]:
    """Figures of one batch; the first half of the objects began with a point, the other half with a box."""
    dense = float("nan") if played.dense is None else float(played.dense.detach())
    if not played.iou:
        return {"dense": dense}
    first, predicted = played.iou[0], played.predicted[0]
    half = len(first) // 2
    top = predicted[:half, 1:].argmax(1, keepdim=True) + 1
    return {
        "loss": float(played.loss.detach()),
        "dense": dense,
        "iou_1_point_top": float(first[:half].gather(1, top).mean()),
        "iou_1_point_best": float(first[:half, 1:].max(1).values.mean()),
        "iou_box": float(first[half:, 0].mean()),
        "iou_last_point": float(played.iou[-1][:half, 0].mean()),
        "iou_error": float((first - predicted).abs().mean()),
    }


def examples_of(recipe: Recipe, step: int, cache: Path | None) -> list[Example]:
    import cv2

    cv2.setNumThreads(1)
    side, images, prompts, _ = recipe.phase(step)
    jointed = recipe.jointed if step >= recipe.jointed_from else 0
    return batch(
        recipe.seed, 0, step, scenes=recipe.scenes, jointed=jointed, cache=cache, side=side, images=images, prompts=prompts
    )


def stream(recipe: Recipe, start: int, cache: Path | None, workers: int) -> Iterator[list[Example]]:
    """Batches of the steps from `start` on, made ahead by worker processes (0: here); the numbers do not depend on how many."""
    if not workers:
        for step in range(start, recipe.steps):
            yield examples_of(recipe, step, cache)
        return
    with ProcessPoolExecutor(workers) as pool:
        ahead = [pool.submit(examples_of, recipe, s, cache) for s in range(start, min(start + 6, recipe.steps))]
        for step in range(start, recipe.steps):
            ready = ahead.pop(0).result()
            if step + 6 < recipe.steps:
                ahead.append(pool.submit(examples_of, recipe, step + 6, cache))
            yield ready


def train(
    recipe: Recipe,
    out: Path,
    *,
    cache: Path | None,
    workers: int,
    save_every: int = 250,
    stop: int | None = None,
    start: Path | None = None,
) -> Trainer:
    """Run or go on. Writes recipe.json, curve.csv, last.pt, and steps/<n>.pt (the average) into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    trainer, last, rows = Trainer(recipe), out / "last.pt", []
    if last.exists():
        trainer.load(last)
        with (out / "curve.csv").open() as f:
            rows = [r for r in csv.DictReader(f) if int(r["step"]) <= trainer.step]
    elif start is not None:
        trainer.start_from(start)
    with (out / "curve.csv").open("w", newline="") as f:
        table = csv.DictWriter(f, COLUMNS)
        table.writeheader()
        table.writerows(rows)
        for examples in stream(recipe, trainer.step, cache, workers):
            table.writerow(trainer.one(examples))
            if trainer.step % 20 == 0:
                f.flush()
            if trainer.step % save_every == 0 or trainer.step == recipe.steps:
                trainer.save(last)
            if stop is not None and trainer.step >= stop:
                break
    return trainer


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--cache", type=Path, help="a folder to keep drawn scenes in")
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--stop", type=int, help="end after this step; the same command without it goes on")
    p.add_argument("--start", type=Path, help="a checkpoint of an earlier stage, to take the weights from")
    p.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="recipe values other than the defaults")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    if a.cache:
        a.cache.mkdir(parents=True, exist_ok=True)
    values = {k: json.loads(v) for k, v in (s.split("=", 1) for s in a.set)}
    train(Recipe(**values), a.out, cache=a.cache, workers=a.workers, stop=a.stop, start=a.start)


if __name__ == "__main__":
    main()
