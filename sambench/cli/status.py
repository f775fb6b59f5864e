"""`sambench status`: how far runs are, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.console import columns, echo, echo_json
from sambench.cli.options import FromFile, Json
from sambench.cli.reading import DEFAULT, AnyRuns, Runs
from sambench.cli.tables import TEXT, DataFormat, is_json
from sambench.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from sambench.results.progress import CellState, Price

_SHOWN_FAILURES = 20
_PRICE = "Of an hour of a GPU (on a CPU: of a core), as '2.5' or '2.5 EUR': the cost in money, too."
BROKEN = ("damaged", "unreadable")


def status(
    runs: AnyRuns = [],  # noqa: B006 - typer copies it
    folder: Runs = DEFAULT,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until nothing is being computed.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, metavar="SECONDS", help="Between two looks.")] = 5.0,
    price: Annotated[str, typer.Option("--price", metavar="AMOUNT", help=_PRICE)] = "",
    config: FromFile = None,
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """How far runs are: done, failed and missing images; workers and hosts, speed, stragglers, expected end, and cost."""
    from sambench.results.progress import Price

    as_json = is_json(form, as_json)
    an_hour = Price.read(price) if price else None
    cells = _look(runs, folder)
    if watch:
        cells = _follow(runs, folder, every, cells, as_json, an_hour)
    elif as_json:
        echo_json(_document(cells, an_hour))
    else:
        _print(cells, folder, an_hour)
    if any(c.status in BROKEN for c in cells):
        raise typer.Exit(1)


def _look(runs: Sequence[str], out: Path) -> list[CellState]:
    from sambench.results.progress import progress_of_all
    from sambench.store.lookup import all_cell_paths, find_cell_paths

    named = {path.resolve(): path for run in runs for path in find_cell_paths(run, out)}
    return progress_of_all([*named.values()] if runs else all_cell_paths(out))


def _document(cells: Sequence[CellState], price: Price | None) -> dict[str, object]:
    return {"cells": [c.to_json(price) for c in cells]}


def _print(cells: Sequence[CellState], out: Path, price: Price | None) -> None:
    from sambench.cli.console import err
    from sambench.cli.console import out as console
    from sambench.results.progress import cost, summary

    if not cells:
        echo(f"no runs in {out}")
        return
    console().print(_table(cells))
    for line in (summary(cells), cost(cells, price)):
        if line:
            echo(line)
    failures = [(c.dataset, f) for c in cells for f in c.failures]
    for dataset, failed in failures[:_SHOWN_FAILURES]:
        echo(f"failed: {dataset} image {failed.image_id}: {failed.error}")
    if len(failures) > _SHOWN_FAILURES:
        echo(f"... and {counted(len(failures) - _SHOWN_FAILURES, 'more failed image')}")
    for cell in cells:
        if cell.error:
            err().print(cell.error, soft_wrap=True)


def _table(cells: Sequence[CellState]) -> Table:
    right = ("images", "failed", "objects", "images/s", "left")
    wide = any(c.images_per_s for c in cells)
    rows: list[tuple[str, ...]] = []
    for c in cells:
        if c.status in BROKEN:
            rows.append((c.run, c.dataset, c.status))
            continue
        images = f"{c.n_done}/{c.n_wanted}" + (f" of {c.n_images}" if c.n_wanted != c.n_images else "")
        speed = [f"{c.images_per_s:.2f}" if c.images_per_s else "", _left(c)] if wide else []
        name = c.run + (f" ({c.label})" if c.label != c.model else "")
        dataset = c.dataset + (f" ({c.differs})" if c.differs else "")
        rows.append((name, dataset, c.status, images, str(c.n_failed), f"{c.n_objects:,}", *speed, ", ".join(c.holders)))
    names = ("run", "dataset", "status", "images", "failed", "objects", *(right[3:] if wide else ()), "computed by")
    return columns(names, rows, right=right)


def _left(cell: CellState) -> str:
    from sambench.engine.progress import clock

    missing = cell.n_wanted - cell.n_done - cell.n_failed
    return clock(missing / cell.images_per_s) if cell.images_per_s else ""


def _follow(
    runs: Sequence[str], out: Path, every: float, cells: list[CellState], as_json: bool, price: Price | None
) -> list[CellState]:
    """Look until nothing is computed; on a terminal in one place, else a table a look, and with --json a line a look."""
    import sys

    from rich.live import Live

    from sambench.cli.console import out as console

    live = sys.stdout.isatty() and not as_json
    with Live(_table(cells), console=console(), auto_refresh=False) if live else _Nothing() as shown:
        while any(c.workers for c in cells):
            if live:
                shown.update(_table(cells), refresh=True)
            elif as_json:
                echo_json(_document(cells, price), lines=True)
            else:
                _print(cells, out, price)
            time.sleep(every)
            cells = _look(runs, out)
        if live:
            shown.update("", refresh=True)
    if as_json:
        echo_json(_document(cells, price), lines=True)
    else:
        _print(cells, out, price)
    return cells


class _Nothing:
    """Where there is no terminal to draw on."""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, *_: object, **__: object) -> None:
        return
