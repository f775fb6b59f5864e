"""The table of what models cost, and a picture of what they are worth beside it: accuracy against milliseconds to a first mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.errors import UsageError
from sambench.files.writing import write_aside
from sambench.layout import Column, Row, Table, style
from sambench.results.names import name_of
from sambench.results.over_datasets import mean_over_datasets
from sambench.results.tables import metric_rows_of
from sambench.store.views import CellView
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.conformance.efficiency import Cost, Workload

TIMES = (("encode_ms", "encode ms"), ("click_ms", "click ms"), ("next_ms", "2nd click ms"), ("batch_ms", "ms each in a batch"))
PRECISION_MARKS = {"fp32": "o", "bf16": "s"}


def cost_table(costs: Sequence[tuple[str, Cost]], workload: Workload) -> Table:
    """A row a measurement: medians, and quartiles in the columns that wide terminals and files have."""
    columns = [Column("model", "model"), Column("parameters_m", "M params", "number")]
    for key, label in TIMES:
        columns += [Column(key, label, "number"), Column(f"{key}_quartiles", "quartiles", "number_interval", minor=True)]
    columns += [
        Column("fps", "FPS", "number"),
        Column("frame_ms", "frame ms", "number", hidden=True),
        Column("frame_ms_quartiles", "quartiles", "number_interval", hidden=True),
        Column("peak_mb", "peak MB", "number"),
        Column("device", "device"),
        Column("precision", "precision"),
        Column("threads", "threads", "count"),
        Column("objects", "batch", "count"),
        Column("rounds", "rounds", "count"),
        Column("hardware", "hardware", hidden=True),
    ]
    rows = [_row(name, cost) for name, cost in costs]
    hardware = "; ".join(dict.fromkeys(cost.hardware for _, cost in costs))
    notes = [
        f"{workload.height} x {workload.width} pixels; medians over rounds after {workload.warm_up} that do not count; each model "
        f"alone in a fresh process; {hardware}.",
        "click: one object's first click, alone; 2nd click: with what the first left; in a batch: an object's share of `batch` "
        "first clicks together. FPS: images a second at batch 1, each encoded and asked one click. peak: weights included, "
        "libraries not.",
    ]
    if any(cost.device == "cpu" for _, cost in costs):
        notes.append(f"on the CPU with {counted(workload.threads, 'thread')}")
    return Table("cost of models", tuple(columns), tuple(rows), tuple(notes))


def _on(cost: Cost) -> str:
    threads = f", {counted(cost.threads, 'thread')}"
    return cost.hardware + (threads if cost.device == "cpu" else "")


def _row(name: str, cost: Cost) -> Row:
    values: dict[str, object] = {"model": name, "parameters_m": cost.parameters / 1e6, "peak_mb": cost.peak_mb, "fps": cost.fps}
    for key in (*(key for key, _ in TIMES), "frame_ms"):
        found = getattr(cost, key)
        values[key] = None if found is None else found[1]
        values[f"{key}_quartiles"] = None if found is None else (found[0], found[2])
    values |= {k: getattr(cost, k) for k in ("device", "precision", "threads", "objects", "rounds", "hardware")}
    return Row(values)


@dataclass(frozen=True)
class Accuracy:
    """A model's mean IoU in [0, 1] after `k` clicks, over `datasets`; partial where a run is not complete."""

    value: float
    k: int
    datasets: tuple[str, ...]
    partial: bool


def accuracies(cells: Iterable[CellView], models: Sequence[str], k: int) -> dict[str, Accuracy]:
    """Each model's unweighted mean over the datasets that all of them have (top mIoU at k clicks). Raises UsageError if none is, or
    a model has several results on one."""
    found: dict[str, dict[str, tuple[float, bool]]] = {}
    held: dict[tuple[str, str], CellView] = {}
    for cell in cells:
        if cell.task.name != "point" or cell.model not in models:
            continue
        for row in metric_rows_of(cell):
            if (row["metric"], row["variant"], row["k"]) == ("miou", "top", k):
                other = held.setdefault((cell.model, cell.dataset), cell)
                if other is not cell:
                    raise UsageError(
                        f"{cell.model} has several results on {cell.dataset}",
                        where="--runs",
                        expected="one result of each model on a dataset",
                        found=f"{other.path} and {cell.path}",
                        remedy="name the runs one by one, or one cell as RUN/DATASET",
                    )
                found.setdefault(cell.model, {})[cell.dataset] = (float(row["value"]), bool(cell.partial_reasons()))
    if not found:
        raise UsageError(
            f"the runs say nothing of mIoU at {k} click(s) for these models",
            where="--runs",
            expected=f"point runs of {', '.join(models)}",
            remedy=f"run them: sambench run point --model {models[0]}",
        )
    shared = sorted(set.intersection(*(set(by_dataset) for by_dataset in found.values())))
    if not shared:
        had = "; ".join(f"{m}: {', '.join(d)}" for m, d in found.items())
        raise UsageError("the models' runs have no dataset in common", where="--runs", found=had, remedy="run all on one dataset")
    out = {}
    for model, by_dataset in found.items():
        values = [by_dataset[d] for d in shared]
        out[model] = Accuracy(mean_over_datasets([v for v, _ in values]), k, tuple(shared), any(p for _, p in values))
    return out


def picture_form(path: Path) -> str:
    """The kind of picture that a file's name asks for. Raises UsageError for one that cannot be written."""
    form = path.suffix.removeprefix(".").lower()
    if form not in ("png", "pdf", "svg"):
        raise UsageError("a picture of this kind cannot be written", where="--plot", expected=".png, .pdf or .svg", found=str(path))
    return form


def plot_speed(costs: Sequence[tuple[str, Cost]], known: dict[str, Accuracy], path: Path) -> list[str]:
    """Write the picture (PNG, PDF or SVG by the path's ending); returns the models that are not in it for want of a run.

    x: milliseconds from an image to the mask of a first click, encoding included, logarithmic; y: mIoU in percent.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    form = picture_form(path)
    names = list(dict.fromkeys(name for name, _ in costs))
    shown = [(n, c) for n, c in costs if n in known and c.click_ms is not None]
    with style.styled():
        figure = Figure(figsize=(6.8, 4.4), layout="constrained")
        axes = figure.add_subplot()
        labels = dict.fromkeys((c.device, c.precision) for _, c in shown)
        times = [cost.encode_ms[1] + cost.click_ms[1] for _, cost in shown if cost.click_ms is not None]
        for (name, cost), ms in zip(shown, times, strict=True):
            accuracy = known[name]
            colour = style.colour(names.index(name))
            axes.plot(ms, 100 * accuracy.value, PRECISION_MARKS.get(cost.precision, "D"), color=colour, ms=8)
            said = name_of(name) + (" (PARTIAL)" if accuracy.partial else "")
            said += f"\n{cost.device}, {cost.precision}" if len(labels) > 1 else ""
            left = ms**2 > min(times) * max(times)  # in the right half of a logarithmic axis
            offset, side = ((-9, 0), "right") if left and len(times) > 1 else ((9, 0), "left")
            axes.annotate(
                said, (ms, 100 * accuracy.value), xytext=offset, textcoords="offset points", ha=side, va="center", fontsize=8
            )
        one = next(iter(known.values()))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25, y=0.15)
        axes.set_xlabel("milliseconds from the image to the mask of a first click")
        axes.set_ylabel(f"mIoU at {counted(one.k, 'click')}, %")
        devices = ", ".join(dict.fromkeys(_on(c) for _, c in shown))
        axes.set_title(f"{', '.join(one.datasets)}   ({devices})")
        axes.grid()
        content = style.saved(figure, form, dpi=160)
    write_aside(path, lambda aside: aside.write_bytes(content))
    return [n for n in names if n not in {s for s, _ in shown}]
