"""How far a run is: what its events say of each cell, and, for Python, where that is shown."""

from __future__ import annotations

import html
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from sambench.text import counted

if TYPE_CHECKING:
    from sambench.engine.events import Begin, Event, Image

# Not shown. That an image was begun is for who starts workers; the rest ends there.
Ignored = Literal["started", "ready", "described", "done", "stopped", "fatal", "worker"]
LINES_EVERY_S = 10.0
NOTEBOOK_EVERY_S = 0.5


@dataclass
class CellProgress:
    """One cell: images done and failed since `started`, objects, and sums of the metrics that are shown while it runs.

    missing: ids of the images that were to be computed when it began. Others, and one that is told of again, do not count: workers
    on other machines may be at work since before, and compute again what was lost with one of them.
    """

    name: str
    n_images: int
    missing: frozenset[str]
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    failed: int = 0
    objects: int = 0
    sums: dict[str, list[float]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @classmethod
    def begun(cls, event: Begin) -> Self:
        """Of the engine's event `begin`."""
        return cls(f"{event['model']} on {event['dataset']}", event["n_images"], frozenset(event["missing"]))

    @property
    def n_missing(self) -> int:
        """Images that were to be computed when it began."""
        return len(self.missing)

    def take(self, event: Image) -> bool:
        """Count one event `image`; False where it does not count."""
        image_id = event["image_id"]
        if image_id not in self.missing or image_id in self.seen:
            return False
        self.seen.add(image_id)
        self.done += 1
        self.objects += event["n_objects"]
        self.failed += event["status"] == "failed"
        for k, (s, n) in event["running"].items():
            entry = self.sums.setdefault(k, [0.0, 0])
            entry[0] += s
            entry[1] += n
        return True

    @property
    def n_done(self) -> int:
        """Images that are there, those from before among them."""
        return self.n_images - self.n_missing + self.done

    def beginning(self) -> str:
        """What is said of it before its first image."""
        if not self.n_missing:
            return f"nothing to compute, {counted(self.n_images, 'image is', 'images are')} done"
        if self.n_missing < self.n_images:
            return f"going on, {self.n_images - self.n_missing} of {self.n_images} images are done"
        return counted(self.n_images, "image")

    def text(self) -> str:
        """Images, objects, speed, running means, failures and time left."""
        seconds = time.monotonic() - self.started
        rate = self.done / seconds if seconds > 0 else 0.0
        means = " ".join(f"{k} {100 * s / n:.1f}" for k, (s, n) in self.sums.items() if n)
        parts = [f"{self.n_done}/{self.n_images} images", counted(self.objects, "object"), f"{rate:.2f} images/s"]
        if means:
            parts.append(f"so far {means}")
        if self.failed:
            parts.append(f"{self.failed} FAILED")
        if self.done < self.n_missing and rate:
            parts.append(f"{clock((self.n_missing - self.done) / rate)} left")
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """A time span as 1:02:03, or 2:03."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


class PythonProgress:
    """Progress of a run from Python: bars that are drawn again in their place in a notebook, lines on standard error elsewhere.

    Give `on_event` to the engine.
    """

    def __init__(self) -> None:
        self.cells: dict[str, CellProgress] = {}
        self.notes: list[str] = []
        self.shown_at = 0.0
        self.display: Any = None
        self.in_notebook = _in_notebook()

    def on_event(self, event: Event) -> None:
        """Receive one event of the engine."""
        if event["event"] == "begin":
            cell = self.cells[event["cell_id"]] = CellProgress.begun(event)
            self._show(cell, cell.beginning(), at_once=True)
        elif event["event"] == "cell":
            cell = self.cells[event["cell_id"]]
            if not cell.done:
                cell.started = time.monotonic()
        elif event["event"] == "image":
            cell = self.cells[event["cell_id"]]
            if not cell.take(event):
                return
            if event["status"] == "failed":
                self._note(f"{cell.name}: image {event['image_id']} failed: {event['error']}")
            self._show(cell, cell.text(), at_once=cell.done == cell.n_missing)
        elif event["event"] == "note":
            self._note(event["text"])
        elif event["event"] == "download":
            total = f" of {event['total'] / 1e6:.0f}" if event["total"] else ""
            self._line(f"downloading the weights of {event['model']}: {event['done'] / 1e6:.0f}{total} MB")
        else:
            _: Ignored | Literal["waiting", "interrupt", "index"] = event["event"]  # mypy knows that no other is left

    def _note(self, text: str) -> None:
        self.notes.append(text)
        if self.in_notebook:
            self._draw()
        else:
            sys.stderr.write(f"{text}\n")

    def _show(self, cell: CellProgress, text: str, *, at_once: bool) -> None:
        if not self.in_notebook:
            self._line(f"{cell.name}: {text}", at_once=at_once)
        elif at_once or time.monotonic() - self.shown_at > NOTEBOOK_EVERY_S:
            self._draw()

    def _line(self, text: str, *, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self.shown_at > LINES_EVERY_S:
            self.shown_at = time.monotonic()
            sys.stderr.write(f"{text}\n")

    def _draw(self) -> None:
        from IPython.display import HTML, display  # type: ignore[import-not-found,unused-ignore]

        self.shown_at = time.monotonic()
        picture = HTML(self.as_html())  # type: ignore[no-untyped-call,unused-ignore]
        if self.display is None:
            self.display = display(picture, display_id=True)  # type: ignore[no-untyped-call,unused-ignore]
        else:
            self.display.update(picture)

    def as_html(self) -> str:
        """A bar for every cell, and the notes below."""
        bars = [
            f'<div><progress value="{c.n_done}" max="{max(1, c.n_images)}"></progress> {html.escape(c.name)}: '
            f"{html.escape(c.text() if c.done else c.beginning())}</div>"
            for c in self.cells.values()
        ]
        return "".join([*bars, *(f"<div>{html.escape(note)}</div>" for note in self.notes)])


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this, and no terminal."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None
