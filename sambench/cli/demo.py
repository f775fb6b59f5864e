"""`sambench demo`: the six tasks, small, on the embedded scenes, and a page of what came out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sambench.cli.console import echo, quoted


class Step(NamedTuple):
    """One run: of so many scenes, by these models."""

    task: str
    models: tuple[str, ...]
    limit: int | None
    settings: dict[str, Any]


# 160 s of a core: few scenes, a coarse grid where a whole one takes minutes. All of it says PARTIAL.
STEPS = (
    Step("point", ("sam_nano", "otsu"), 4, {}),
    Step("box", ("sam_nano", "otsu"), 4, {}),
    Step("edge", ("sobel", "canny"), None, {}),
    Step("proposals", ("sam_nano",), 2, {"grid": 16}),
    Step("instances", ("sam_nano", "detections"), 4, {}),
    Step("concepts", ("colour_words",), 8, {}),
)


def demo(
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where runs and the report go.")] = Path("sambench-demo"),
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """The six tasks in about two minutes on two cores, on scenes that come with sambench, and a report of them as one HTML file."""
    from sambench.cli.running import run
    from sambench.engine.request import Request

    for n, step in enumerate(STEPS, 1):
        echo(f"\n{n} of {len(STEPS)}: {step.task}")
        request = Request(
            task=step.task,
            datasets=("demo",),
            models=tuple((m, {}) for m in step.models),
            settings=step.settings,
            limit=step.limit,
            out=str(to / "runs"),
        )
        run(request, list(step.models), dry_run=False, quiet=quiet, alone=False)
    page = _report(to)
    echo(f"\nthe report: {page}")
    echo(f"next: sambench table sam_nano --runs {quoted(to / 'runs')}, for its numbers again; or with a model of yours:")
    echo("sambench run point --datasets demo --model YOURS; `sambench new model NAME` writes one to begin with")
    if show and _has_screen():
        typer.launch(str(page))


def _has_screen() -> bool:
    """Whether there is where to open a page: on a server, what opens files writes a list of what it lacks."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _report(to: Path) -> Path:
    from sambench.paper.evidence import Evidence
    from sambench.report.definitions import definition
    from sambench.report.inputs import Inputs, suite_of
    from sambench.report.make import make
    from sambench.report.write import write
    from sambench.store.lookup import find_cells

    evidence = Evidence(find_cells(str(to / "runs"), to))
    document = make(definition("results"), Inputs(evidence=evidence, suite=suite_of("", evidence)))
    (page,) = (p for p in write(document, ["html"], to / "report") if p.suffix == ".html")
    return page
