"""`sambench rate serve`: the pages on which people rate, and `sambench rate simulate`: simulated raters."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.console import echo, quoted
from sambench.cli.tables import PageFormats
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.rating.database import Database
    from sambench.rating.intake import Folder, Planned
    from sambench.rating.queue import Queue

_DATABASE = "An SQLite file, or postgresql://USER:PASSWORD@HOST/NAME of a team (default: ratings.sqlite in JOBS)."
_HOST = "Address to listen on; 0.0.0.0 opens the pages to the network."
_BASE = "Where raters reach the server, if a proxy stands before it: https://ratings.example.org"

Jobs = Annotated[Path, typer.Argument(metavar="JOBS", help="The folder of `sambench rate make`, or its folder for_raters.")]
Place = Annotated[str | None, typer.Option("--database", metavar="FILE|URL", help=_DATABASE)]
KeyOpt = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="key.csv of the study, if it is not next to the jobs.")]


def serve(
    jobs: Jobs = Path("rating"),
    database: Place = None,
    key: KeyOpt = None,
    invite: Annotated[int, typer.Option("--invite", metavar="N", min=0, max=200, help="Make links for N more raters.")] = 0,
    raters: Annotated[int | None, typer.Option("--raters-per-job", metavar="N", min=1, help="Raters of a mask.")] = None,
    overlap: Annotated[
        float | None, typer.Option("--overlap", metavar="SHARE", min=0, max=1, help="Share of the inputs with so many; others: 1.")
    ] = None,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="What raters read at the top.")] = "Mask ratings",
    break_min: Annotated[float, typer.Option("--break", metavar="MIN", min=0, help="Minutes until a break is proposed.")] = 25.0,
    host: Annotated[str, typer.Option("--host", help=_HOST)] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8765,
    base_url: Annotated[str, typer.Option("--base-url", metavar="URL", help=_BASE)] = "",
) -> None:
    """Pages on which people rate masks, and a page for whoever runs the study. Ctrl-C stops; every rating is stored."""
    from sambench.rating.intake import find_study

    web = _web()
    folder = find_study(jobs, key)
    planned = _planned(raters, overlap)
    store, queue = _opened(folder, database or str(folder.root.parent / "ratings.sqlite"), planned)
    listening = web.listen(host, port)
    address = base_url.rstrip("/") or listening.address
    app = web.application(store, web.Settings(folder.root, title, break_min, base_url))
    echo(f"{counted(len(folder.records), 'job')} of {folder.root}; ratings go to {store.shown}")
    if folder.key is None:
        echo("the key is not here: ratings are stored, and `rate stats` needs --key", err=True)
    if any(rater.simulated for rater in queue.raters()):
        echo("that database holds simulated ratings: every table made of it will say so", err=True)
    for warning in listening.warnings(base_url):
        echo(warning, err=True)
    for _ in range(invite):
        queue.invite()
    echo(f"only for you: {address}/lead/open/{web.lead_token(store)}")
    for rater in queue.raters():
        if rater.revoked_at is None:
            echo(f"{rater.alias} {rater.label or rater.name}".ljust(12) + f" {address}/r/{rater.token}")
    if not queue.raters():
        echo("nobody is invited yet: do it there, or with --invite N")
    web.run(app, listening)
    echo(f"stopped; ratings are in {store.shown}")
    echo(f"next: sambench rate stats {quoted(store.shown)}", err=True)
    store.close()


def _planned(raters: int | None, overlap: float | None) -> Planned | None:
    """What was asked for, None for what the database has."""
    from sambench.rating.intake import Planned

    return None if raters is None and overlap is None else Planned(raters or 1, 1.0 if overlap is None else overlap)


def _opened(folder: Folder, place: str, planned: Planned | None) -> tuple[Database, Queue]:
    from sambench.rating.database import Database
    from sambench.rating.intake import bring_in
    from sambench.rating.queue import Queue

    store = Database(place, create=True)
    bring_in(store, folder, planned)
    return store, Queue(store)


def _web() -> ModuleType:
    """The web part. Raises UsageError where its libraries are not installed."""
    from sambench.errors import UsageError, install, message_of

    try:
        from sambench.rating.web import server
    except ImportError as e:
        raise UsageError("the rating pages need a web server", found=message_of(e), remedy=install("serve")) from e
    return server


def simulate(
    jobs: Jobs = Path("rating"),
    database: Annotated[
        str | None, typer.Option("--database", metavar="FILE|URL", help="Where ratings go (default: simulated.sqlite in JOBS).")
    ] = None,
    key: KeyOpt = None,
    n: Annotated[int, typer.Option("--raters", metavar="N", min=1, help="How many rate.")] = 8,
    careless: Annotated[int, typer.Option("--careless", metavar="N", min=0, help="How many of them answer at random.")] = 0,
    bias: Annotated[float, typer.Option("--bias", metavar="SD", min=0, help="Of the raters' own means, in points.")] = 0.5,
    noise: Annotated[float, typer.Option("--noise", metavar="SD", min=0, help="Of a rating, in points.")] = 0.9,
    fatigue: Annotated[float, typer.Option("--fatigue", metavar="POINTS", help="What a rater loses in 100 ratings.")] = 0.0,
    effect: Annotated[
        list[str], typer.Option("--effect", metavar="MODEL=POINTS", help="What a model's masks get in addition to their IoU.")
    ] = [],  # noqa: B006 - typer copies it
    raters_per_job: Annotated[int | None, typer.Option("--raters-per-job", metavar="N", min=1, help="Raters of a mask.")] = None,
    overlap: Annotated[
        float | None, typer.Option("--overlap", metavar="SHARE", min=0, max=1, help="Share of the inputs with so many; others: 1.")
    ] = None,
    most: Annotated[int | None, typer.Option("--ratings", metavar="N", min=1, help="Stop after so many.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the raters.")] = 0,
) -> None:
    """Simulated raters work through a study, for a dry run. Their ratings are marked as simulated."""
    from sambench.rating.intake import find_study
    from sambench.rating.simulate import Raters
    from sambench.rating.simulate import simulate as run

    folder = find_study(jobs, key)
    raters = Raters(n, careless, bias, noise, fatigue, effects=_effects(effect), seed=seed)
    planned = _planned(raters_per_job, overlap)
    store, _ = _opened(folder, database or str(folder.root.parent / "simulated.sqlite"), planned)
    done = run(store, raters, most=most)
    echo(f"{done:,} simulated ratings are in {store.shown}")
    echo(f"next: sambench rate stats {quoted(store.shown)}", err=True)
    store.close()


def _effects(values: list[str]) -> dict[str, float]:
    from sambench.errors import UsageError

    out: dict[str, float] = {}
    for value in values:
        name, _, points = value.rpartition("=")
        try:
            out[name] = float(points)
        except ValueError:
            name = ""
        if not name or not abs(out[name]) <= 10:
            raise UsageError("--effect does not fit", expected="MODEL=POINTS, a number from -10 to 10", found=value)
    return out


def report(
    ratings: Annotated[list[str], typer.Argument(metavar="DATABASE|FILE...", help="Of `rate serve`, or files of ratings.")],
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="key.csv, for files of blinded jobs.")] = None,
    rated: Annotated[
        str, typer.Option("--rated", metavar="MODEL,...", help="Models of table 8: one, and one or two that it is compared with.")
    ] = "",
    form: PageFormats = "html",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("rating-report"),
) -> None:
    """Table 8 and figures 9b, 11 and 18 of the paper from a study's ratings, next to what the paper published."""
    from sambench.cli.report import report as make_report

    make_report("ratings", form=form, to=to, ratings=ratings, key=key, rated=rated)
