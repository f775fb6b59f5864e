"""`sambench rescore`: metrics anew from stored rows, or a check of what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.console import echo
from sambench.cli.options import refuse
from sambench.cli.reading import DEFAULT, Runs
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.store.views import CellView
    from sambench.tasks.summary import Bootstrap

    _Scored = tuple[CellView, list[dict[str, Any]]]  # a cell with its metric rows

MAX_RESAMPLES = 1_000_000  # a bootstrap of more takes hours, and gives no digit that a table shows
_OF_METRICS = ("group_by", "resamples", "level", "seed")

GroupBy = Annotated[str | None, typer.Option("--group-by", help="category, or attribute:NAME.")]


def rescore(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, by directory or by name under --runs.")],
    group_by: GroupBy = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, max=MAX_RESAMPLES, help="Bootstrap resamples.")] = 2000,
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Level of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    check_masks: Annotated[bool, typer.Option("--check-masks", help="Compare stored masks with the ground truth again.")] = False,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder, for --check-masks.")] = None,
    evaluator: Annotated[str, typer.Option("--evaluator", metavar="NAME", help="Check AP by pycocotools, hotcoco or lvis.")] = "",
    folder: Runs = DEFAULT,
) -> None:
    """Compute metrics again from stored rows, without model or dataset; CSV on standard output.

    --check-masks and --evaluator check what is stored instead: the masks by the dataset's files, the AP by other code.
    """
    from sambench.results.instance_evaluators import rows_by
    from sambench.store.lookup import find_cells
    from sambench.tasks.summary import Bootstrap

    cells = list({cell.path.resolve(): cell for run in runs for cell in find_cells(run, folder)}.values())
    if check_masks:
        refuse(ctx, [*_OF_METRICS, "evaluator"], "--check-masks computes no metrics", remedy="leave --check-masks out")
        _check_masks(cells, root)
        return
    refuse(ctx, ["root"], "metrics are computed without the dataset", remedy="give --check-masks")
    if evaluator:
        refuse(ctx, _OF_METRICS, "evaluators of others give plain AP", remedy="leave --evaluator out")
        _print_rows((cell, rows_by(evaluator, cell)) for cell in cells)
        return
    _print_rows(_scored(cells, Bootstrap(n_resamples=resamples, level=level, seed=seed), group_by))


def _check_masks(cells: Sequence[CellView], root: Path | None) -> None:
    """Say for each cell how many stored masks do not have the IoUs of its rows; exit code 1 where some do not."""
    from sambench.results.rescore import check_masks

    wrong = False
    for cell in cells:
        masks = check_masks(cell, root=root)
        at = f", largest {masks.largest:.3g} at {masks.where}" if masks.n_differing else ""
        stored = f"{counted(masks.n_masks, 'stored mask')} of {counted(masks.n_rows, 'row')}"
        echo(f"{cell.dataset}: {stored}, {masks.n_differing} differ{at}")
        wrong = wrong or masks.n_differing > 0
    if wrong:
        raise typer.Exit(1)


def _scored(cells: Sequence[CellView], bootstrap: Bootstrap, group_by: str | None) -> Iterator[_Scored]:
    """The metrics of each cell; where they are those that are stored, a difference is said on standard error."""
    from sambench.errors import SambenchError
    from sambench.results.bundle_check import check_metrics
    from sambench.results.rescore import DEFAULT_BOOTSTRAP, rescore

    for cell in cells:
        found = rescore(cell, bootstrap=bootstrap, group_by=group_by)
        if cell.live.status in ("complete", "partial") and group_by is None and bootstrap == DEFAULT_BOOTSTRAP:
            try:
                check_metrics(cell, found)
            except SambenchError as e:
                echo(f"{cell.dataset}, {cell.label}: {e}", err=True)
        yield cell, found


def _print_rows(scored: Iterable[_Scored]) -> None:
    """Metric rows as CSV."""
    import pandas as pd

    from sambench.schema import METRIC_COLUMNS
    from sambench.text import csv_frame

    rows: list[dict[str, Any]] = []
    for cell, found in scored:
        rows += found
        if cell.task.whole_sets_only and cell.live.n_done < cell.live.n_wanted:
            reasons = "; ".join(cell.partial_reasons())
            echo(f"{cell.dataset}, {cell.label}: no scores of a part of a set ({reasons})", err=True)
    echo(csv_frame(pd.DataFrame(rows, columns=list(METRIC_COLUMNS))), nl=False)
