"""`sambench data get`, for one dataset: terms, question, progress, result."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from sambench import cards
from sambench.cards import BoxesCard
from sambench.cli.console import echo, quoted
from sambench.errors import UsageError
from sambench.getting import boxes
from sambench.getting import datasets as getting
from sambench.text import human_bytes

PLAIN_EVERY_S = 10.0


def get_one(name: str, *, yes: bool, brought: Path | None, keep: bool) -> bool:
    """Whether the dataset is here afterwards. Raises what `getting.get` raises, and UsageError where nobody can be asked."""
    boxes_card = cards.boxes_cards().get(name)
    if boxes_card is not None:
        return _get_boxes(boxes_card, yes=yes)
    offer = getting.offer(name)
    if offer.here is not None:
        echo(f"{name} is here: {offer.here}")
        return True
    echo(offer.text())
    if offer.card.access.state == "embedded" or not (offer.automatic or brought):
        return offer.card.access.state == "embedded"
    if not yes:
        _ask(name, restricted=offer.restricted)
    with _progress() as progress:
        root = getting.get(offer, brought=brought, keep=keep, progress=progress)
    echo(f"{name} is in {root}; `sambench data verify {quoted(name)}` reads all of it once")
    return True


def _get_boxes(card: BoxesCard, *, yes: bool) -> bool:
    place = boxes.place_of(card)
    if not place.is_file():
        echo(f"{card.id}: {card.name}, {card.size}\n  licence: {card.licence}\n  please cite: {card.citation}")
        if not yes:
            _ask(card.id, restricted=False)
        with _progress() as progress:
            boxes.get(card, lambda done, total: progress(card.id, done, total))
    echo(f"{card.id} is here: {place}; sambench run instances --datasets {card.dataset} --boxes {card.id}")
    return True


def _ask(name: str, *, restricted: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "a download waits for a yes, and there is nobody to ask",
            where=f"sambench data get {quoted(name)}",
            remedy="read the terms above, and give --yes if you accept them",
        )
    question = "Do you accept these terms, and shall it be downloaded?" if restricted else "Shall it be downloaded?"
    typer.confirm(question, abort=True)


@contextmanager
def _progress() -> Iterator[getting.Progress]:
    """A bar on a terminal; elsewhere a line each ten seconds and at the end of each file."""
    from sambench.cli.console import err

    if not sys.stderr.isatty():
        yield _Plain()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err()) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show


class _Plain:
    def __init__(self) -> None:
        self.what = ""
        self.said = 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if what == self.what and now - self.said < PLAIN_EVERY_S and done != total:
            return
        self.what, self.said = what, now
        of = f" of {human_bytes(total)}" if total else ""
        sys.stderr.write(f"{what}: {human_bytes(done)}{of}\n")
