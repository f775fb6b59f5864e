"""`sambench bench`: what models cost, and what they are worth beside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.console import echo
from sambench.cli.options import Devices, Options
from sambench.cli.reading import DEFAULT, Place, cells_of

if TYPE_CHECKING:
    from sambench.layout import Table


def bench(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names, cards' paths, or python:file.py:factory.")],
    option: Options = [],  # noqa: B006 - typer copies it
    devices: Devices = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="NAMES", help="fp32, tf32, bf16; comma-separated.")] = "fp32",
    size: Annotated[str, typer.Option("--size", metavar="HxW", help="Of the image, in pixels.")] = "480x640",
    objects: Annotated[int, typer.Option("--objects", metavar="N", help="Decoded together, at most.")] = 8,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="That are timed.")] = 10,
    warm_up: Annotated[int, typer.Option("--warm-up", metavar="N", help="Rounds before them that do not count.")] = 2,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Of each quantity, at most about.")] = 30.0,
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="Of the CPU.")] = 1,
    save: Annotated[
        list[Path],
        typer.Option("--out", "-o", metavar="FILE", help="The table as a file too: .csv, .json, .md, .tex, .html, .png, ..."),
    ] = [],  # noqa: B006
    runs: Annotated[
        list[str],
        typer.Option("--runs", "-r", metavar="DIR", help="The folder of these models' point runs, for the plot. May be repeated."),
    ] = [],  # noqa: B006
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Accuracy against speed: .png, .pdf or .svg.")] = None,
    clicks: Annotated[int, typer.Option("--clicks", metavar="K", help="mIoU of the plot: after K clicks.")] = 1,
    place: Place = DEFAULT,
) -> None:
    """Parameters, milliseconds to encode and to answer clicks, peak memory; each model in a fresh process of its own."""
    from sambench.cli.console import err
    from sambench.cli.requests import options_for
    from sambench.conformance.efficiency import Workload, measure
    from sambench.device.precision import check_precision
    from sambench.errors import UsageError
    from sambench.report.speed import accuracies, cost_table, picture_form, plot_speed
    from sambench.sources.datasets import split_names
    from sambench.sources.models import resolve

    height, width = _size(size)
    workload = Workload(height, width, objects, rounds, warm_up, seconds, threads)
    workload.check()
    names, precisions = split_names(models), split_names([precision])
    for name in precisions:
        check_precision(name)
    for path in save:
        _form(path)
    if bool(runs) != (plot is not None):
        raise UsageError("a plot takes both a file and runs", where="--plot, --runs", remedy="give both, or neither")
    if plot is not None:
        picture_form(plot)
    wanted = [
        (name, resolve(name, options_for(name, names, option), device=device, precision=p))
        for name in names
        for device in split_names([devices]) or ["auto"]
        for p in precisions
    ]
    known = accuracies(cells_of(runs, [], place), [m.id for _, m in wanted], clicks) if runs else {}
    costs = []
    for _, model in wanted:
        err().print(f"measuring {model.id} on {model.spec.device}, {model.spec.precision} ...", soft_wrap=True)
        costs.append((model.id, measure(model, workload)))
    table = cost_table(costs, workload)
    _show(table, save)
    if plot is not None:
        absent = plot_speed(costs, known, plot)
        for name in absent:
            err().print(f"not in the plot: {name}, of which there is no point run among those given", soft_wrap=True)
        echo(str(plot))


def _show(table: Table, save: list[Path]) -> None:
    from sambench.cli.tables import show
    from sambench.files.writing import write_aside
    from sambench.layout import FORMATS, PICTURES, draw

    show(table)
    for path in save:
        form = _form(path)
        content = draw(table, [form])[form] if form in PICTURES else FORMATS[form](table).encode()
        write_aside(path, partial(Path.write_bytes, data=content))
        echo(str(path))


def _form(path: Path) -> str:
    from sambench.errors import UsageError
    from sambench.layout import FORMATS, PICTURES
    from sambench.layout.formats import ending

    by_ending = {f".{ending(form)}": form for form in (*FORMATS, *PICTURES)}
    form = by_ending.get(path.suffix.lower())
    if form is None:
        expected = f"a name that ends with one of {', '.join(by_ending)}"
        raise UsageError("a table of this kind cannot be written", where="--out", expected=expected, found=str(path))
    return form


def _size(text: str) -> tuple[int, int]:
    from sambench.errors import UsageError

    height, _, width = text.lower().partition("x")
    if not height.isdigit() or not width.isdigit():
        raise UsageError("a size does not fit", where="--size", expected="HEIGHTxWIDTH, as in 480x640", found=repr(text))
    return int(height), int(width)
