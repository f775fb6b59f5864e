"""A whole task in one module, as text: of a package that brings it, or laid into sambench/tasks."""

TOY = '''"""Toy: the share of an object that its middle box covers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sambench.metrics.bootstrap import mean_intervals
from sambench.tasks import Command, Task, setting


@dataclass(frozen=True)
class ToySettings:
    share: float = setting(0.5, "Of the width that the box takes.")
    steps: tuple[int, ...] = (1, 2)
    way: Literal["up", "down"] = "up"
    limit_px: int | None = None
    exact: bool = field(default=False, metadata={"help": "To the pixel."})
    hidden: float | None = setting(None, flag=False)


@dataclass(frozen=True)
class ToyCommand(Command):
    """Toy: the share of an object that its middle box covers."""

    order = ("steps", "half")
    half: bool = setting(False, "A share of a half.", switch=True)

    def settings(self, given):
        return {**given, "share": 0.5} if self.half else given


@dataclass(frozen=True)
class ToyTask(Task):
    settings: ToySettings = ToySettings()
    name = "toy"

    @property
    def columns(self):
        texts = ("cell_id", "dataset", "image_id", "cluster_id", "object_id", "status", "error")
        return {**dict.fromkeys(texts, "string"), "covered": "double", "shard": "int32"}

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


TASK, SETTINGS, COMMAND = ToyTask, ToySettings, ToyCommand
'''
