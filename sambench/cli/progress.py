"""Progress of a run: a bar with images, objects, speed, running mIoU and time left; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from sambench.cli.console import err
from sambench.engine.progress import LINES_EVERY_S, CellProgress, Ignored
from sambench.text import counted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sambench.engine import events
    from sambench.engine.request import Plan


@dataclass
class _Cell(CellProgress):
    """With the bar that shows it, and when a line last did."""

    bar: TaskID | None = None
    said: float = 0.0


class Reporter:
    """Prints the engine's events on standard error. Use as a context manager."""

    def __init__(self, *, quiet: bool, defaulted: str = "") -> None:
        """quiet: no progress. defaulted: the model that runs because none was named."""
        self.quiet = quiet
        self.defaulted = defaulted
        self.console = err()
        self.cells: dict[str, _Cell] = {}
        self.download_said = 0.0
        self.index_said: dict[str, float] = {}
        self.waiting = ""
        self.bars: Progress | None = None

    def __enter__(self) -> Reporter:
        if sys.stderr.isatty() and not self.quiet:
            from rich.progress import BarColumn, Progress, TextColumn

            self.bars = Progress(
                TextColumn("{task.fields[name]}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}", markup=False),
                console=self.console,
            )
            self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self.bars:
            self.bars.stop()

    def announce(self, planned: Plan) -> None:
        """Say what was chosen for the user."""
        if self.defaulted:
            self.say(f"model: {self.defaulted} (the default; --model chooses another)")
        by_note: dict[str, dict[str, None]] = {}
        for cell in planned.cells:
            by_note.setdefault(cell.target.subset.note, {})[cell.target.card.id] = None
        for note, names in by_note.items():
            if note:
                self.say(f"{', '.join(names)}: {note}")
        for note in planned.notes:
            self.say(note)

    def say(self, text: str) -> None:
        """One line, above the bars if there are any."""
        if not self.quiet:
            (self.bars.console if self.bars else self.console).print(text, soft_wrap=True)

    def on_event(self, event: events.Event) -> None:
        """Receive one event of the engine."""
        if event["event"] == "begin":
            self._on_begin(event)
        elif event["event"] == "cell":
            self._on_cell(event)
        elif event["event"] == "image":
            self._on_image(event)
        elif event["event"] == "waiting":
            self._on_waiting(event)
        elif event["event"] == "note":
            self.say(event["text"])
        elif event["event"] == "interrupt":
            self._on_interrupt(event)
        elif event["event"] == "download":
            self._on_download(event)
        elif event["event"] == "index":
            self._on_index(event)
        else:
            _: Ignored = event["event"]  # mypy knows that no other is left

    def _on_begin(self, e: events.Begin) -> None:
        cell = _Cell.begun(e)
        self.cells[e["cell_id"]] = cell
        more = f", {counted(e['n_objects'], 'annotation')}" if cell.n_missing == cell.n_images and cell.n_missing else ""
        self.say(f"{cell.name}: {cell.beginning()}{more}")

    def _on_cell(self, e: events.Cell) -> None:
        cell = self.cells[e["cell_id"]]
        if not cell.done:
            cell.started = time.monotonic()
        if self.bars and cell.bar is None:
            cell.bar = self.bars.add_task("", total=cell.n_images, completed=cell.n_done, name=cell.name, text="starting")

    def _on_image(self, e: events.Image) -> None:
        cell = self.cells[e["cell_id"]]
        if not cell.take(e):
            return
        if e["status"] == "failed":
            self.say(f"{cell.name}: image {e['image_id']} failed: {e['error']}")
        if self.bars and cell.bar is not None:
            self.bars.update(cell.bar, completed=cell.n_done, text=cell.text())
        elif time.monotonic() - cell.said > LINES_EVERY_S or cell.done == cell.n_missing:
            cell.said = time.monotonic()
            self.say(f"{cell.name}: {cell.text()}")

    def _on_waiting(self, e: events.Waiting) -> None:
        if e["holder"] and e["holder"] != self.waiting:
            self.waiting = e["holder"]
            self.say(f"the rest of {e['dataset']} is being computed by {e['holder']}; waiting for it: {e['how']}")

    def _on_interrupt(self, e: events.Interrupt) -> None:
        if e["times"] == 1:
            self.say(f"stopping after the current step, in {e['grace_s']:.0f} s at the latest; Ctrl-C again to drop it")

    def _on_download(self, e: events.Download) -> None:
        if time.monotonic() - self.download_said > 2.0 or e["done"] == e["total"]:
            self.download_said = time.monotonic()
            total = f" of {e['total'] / 1e6:.0f}" if e["total"] else ""
            self.say(f"downloading the weights of {e['model']}: {e['done'] / 1e6:.0f}{total} MB")

    def _on_index(self, e: events.Index) -> None:
        now = time.monotonic()
        if now - self.index_said.setdefault(e["dataset"], now) > 2.0:  # short ones are not worth a line
            self.index_said[e["dataset"]] = now
            self.say(f"first look at {e['dataset']}: {e['done']} of {e['total']} files")
