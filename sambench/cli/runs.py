"""`sambench runs`: what lies in a folder of runs, how large it is, what cites it, and removing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.console import columns, echo, echo_json
from sambench.cli.options import Json
from sambench.cli.reading import DEFAULT
from sambench.cli.reading import Runs as Out
from sambench.cli.tables import TEXT, DataFormat, is_json

if TYPE_CHECKING:
    from sambench.results.runs import Removal, StoredRun

app = typer.Typer(help="Runs on disk: sizes, dates, what cites them; remove them.", no_args_is_help=True, rich_markup_mode=None)

DOCUMENTS = ("report", "gallery")  # where `sambench report` and `sambench gallery` write, if not told otherwise
_REPORTS = "A folder of reports, looked through for cell ids (default: ./report and ./gallery). May be repeated."
Reports = Annotated[list[Path], typer.Option("--reports", metavar="DIR", help=_REPORTS)]
Run = Annotated[str, typer.Argument(metavar="[RUN]", help="One run, or nothing for all of --runs.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would go; remove nothing.")]


@app.command("list")
def list_runs(
    run: Run = "",
    reports: Reports = [],  # noqa: B006
    out: Out = DEFAULT,
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """The runs with their datasets, size, date, and the reports that cite them."""
    from sambench.text import human_bytes

    as_json = is_json(form, as_json)
    found = _stored(run, out, reports)
    if as_json:
        echo_json({"runs": [_described(r) for r in found]})
        return
    rows = []
    for r in found:
        datasets = ", ".join(c.dataset + (f" ({c.differs})" if c.differs else "") for c in r.cells)
        date = r.changed[:16].replace("T", " ")
        rows.append((r.name, datasets, _states(r), human_bytes(r.bytes), date, _cited(r)))
    _print(("run", "datasets", "status", "size", "changed (UTC)", "cited by"), rows, out)


@app.command("du")
def disk_usage(run: Run = "", out: Out = DEFAULT, form: DataFormat = TEXT, as_json: Json = False) -> None:
    """Bytes by run: rows with their masks, metrics, logs, and the rest; the largest first."""
    from sambench.results.runs import KINDS
    from sambench.text import human_bytes

    as_json = is_json(form, as_json)
    found = sorted(_stored(run, out, []), key=lambda r: -r.bytes)
    if as_json:
        sizes = [{"name": r.name, "path": str(r.path), "sizes": r.sizes, "bytes": r.bytes} for r in found]
        echo_json({"runs": sizes, "bytes": sum(r.bytes for r in found)})
        return
    rows = [(r.name, *(human_bytes(r.sizes[k]) for k in KINDS), human_bytes(r.bytes)) for r in found]
    if len(found) > 1:
        sums = [sum(r.sizes[k] for r in found) for k in KINDS]
        rows.append(("all", *map(human_bytes, sums), human_bytes(sum(sums))))
    _print(("run", *KINDS, "all"), rows, out, right=(*KINDS, "all"))


@app.command("rm")
def remove_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, or RUN/DATASET for one cell.")],
    force: Annotated[bool, typer.Option("--force", help="Also what a report cites.")] = False,
    dry_run: DryRun = False,
    reports: Reports = [],  # noqa: B006
    out: Out = DEFAULT,
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """Remove runs. What a report cites stays without --force, and what is being computed stays."""
    from sambench.results.runs import to_remove

    as_json = is_json(form, as_json)
    _finish(to_remove(_folder(out), runs, _documents(reports), force=force), dry_run, as_json)


@app.command("gc")
def collect(dry_run: DryRun = False, out: Out = DEFAULT, form: DataFormat = TEXT, as_json: Json = False) -> None:
    """Remove what killed commands left: files written aside, leases of dead processes, cells without an image. No result goes."""
    from sambench.results.runs import leftovers, none_there

    as_json = is_json(form, as_json)
    here = _folder(out)
    if not here.is_dir():
        raise none_there(out)
    _finish(leftovers(here), dry_run, as_json)


def _stored(run: str, out: Path, reports: Sequence[Path]) -> list[StoredRun]:
    from sambench.results.runs import stored_runs

    return stored_runs(_folder(out), run, _documents(reports))


def _folder(out: Path) -> Path:
    """The folder of runs on this machine, with all that is stored of it now."""
    from sambench.errors import system_error
    from sambench.files.places import brought

    try:
        return brought(out)
    except OSError as e:
        raise system_error(e) from e


def _documents(reports: Sequence[Path]) -> list[Path]:
    from sambench.errors import UsageError

    for folder in reports:
        if not folder.is_dir():
            raise UsageError("there is no such folder of reports", where="--reports", expected="a folder", found=folder)
    return list(reports) or [Path(name) for name in DOCUMENTS if Path(name).is_dir()]


def _described(run: StoredRun) -> dict[str, Any]:
    cells = [{**asdict(c), "path": str(c.path)} for c in run.cells]
    told = {"name": run.name, "path": str(run.path), "task": run.task, "model": run.model, "cells": cells, "sizes": run.sizes}
    cited = {"cited_by": list(run.cited_by), "computed_by": list(run.computed_by)}
    return {**told, "bytes": run.bytes, "changed": run.changed, **cited}


def _states(run: StoredRun) -> str:
    return "running" if run.computed_by else ", ".join(dict.fromkeys(c.status for c in run.cells))


def _cited(run: StoredRun) -> str:
    return ", ".join(Path(d).name for d in run.cited_by[:3]) + (", ..." if len(run.cited_by) > 3 else "")


def _print(names: Sequence[str], rows: Sequence[Sequence[str]], out: Path, right: Sequence[str] = ("size",)) -> None:
    from sambench.cli.console import out as console

    if not rows:
        echo(f"no runs in {out}")
        return
    console().print(columns(names, rows, right=right))


def _finish(going: Sequence[Removal], dry_run: bool, as_json: bool) -> None:
    """Remove, unless it is a dry run, and say it."""
    from sambench.results.runs import remove
    from sambench.text import human_bytes

    if not dry_run:
        remove(going)
    size = sum(r.bytes for r in going)
    if as_json:
        echo_json({"dry_run": dry_run, "removed": [{**asdict(r), "path": str(r.path)} for r in going], "bytes": size})
        return
    for one in going:
        echo(f"{'would remove' if dry_run else 'removed'} {one.path} ({human_bytes(one.bytes)}): {one.why}")
    echo(f"{'would free' if dry_run else 'freed'} {human_bytes(size)}" if going else "nothing to remove")
