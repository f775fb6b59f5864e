"""`sambench report`: the paper's tables and figures from runs, in several forms; and `sambench list reports`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.console import columns, echo, echo_json, out
from sambench.cli.options import Json
from sambench.cli.reading import DEFAULT, AnyRuns, Folders, Place, Runs, cells_of
from sambench.cli.tables import TEXT, DataFormat, PageFormats, is_json, pages

if TYPE_CHECKING:
    from sambench.paper.evidence import Rated
    from sambench.store.views import CellView

_SUITE = "The suite whose mean is the top line (default: sa23; fixtures, if all runs are of those)."
_BASELINE = "The model that figure 9a takes differences to."


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A report: paper, table3, fig9a, ... (`sambench list reports`).")],
    named: AnyRuns = [],  # noqa: B006 - typer copies it
    runs: Folders = [],  # noqa: B006 - typer copies it
    form: PageFormats = "html",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("report"),
    suite: Annotated[str, typer.Option("--suite", help=_SUITE)] = "",
    baseline: Annotated[str, typer.Option("--baseline", metavar="MODEL", help=_BASELINE)] = "",
    series: Annotated[
        str, typer.Option("--series", metavar="MODEL,...|DIR", help="Checkpoints of figure 13, in order; or the folder of a watch.")
    ] = "",
    ratings: Annotated[list[str], typer.Option("--ratings", metavar="FILE|DATABASE", help="Ratings of the human study.")] = [],  # noqa: B006
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="key.csv of `sambench rate make`, for ratings of blinded jobs.")
    ] = None,
    rated: Annotated[
        str, typer.Option("--rated", metavar="MODEL,...", help="Models of table 8: one, and those it is compared with.")
    ] = "",
    properties: Annotated[str, typer.Option("--properties", metavar="NAME,...", help="Datasets of figures 5 and 6.")] = "",
    automatic: Annotated[
        Path | None, typer.Option("--automatic", metavar="FILE", help="Masks of section 5: a file in COCO's form.")
    ] = None,
    corrected: Annotated[
        Path | None, typer.Option("--corrected", metavar="FILE", help="The same masks, corrected, under the same ids.")
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder, for images.")] = None,
    place: Place = DEFAULT,
) -> None:
    """Tables and figures of runs next to the published ones; what was not measured is a dash with its reason."""
    from sambench.cli.console import err
    from sambench.errors import UsageError
    from sambench.paper.evidence import Evidence
    from sambench.report.definitions import definition
    from sambench.report.document import cells_used
    from sambench.report.inputs import Inputs, suite_of
    from sambench.report.make import make
    from sambench.report.write import write
    from sambench.results.citations import cite
    from sambench.sources.datasets import split_names

    found = definition(name)
    forms = pages(form)
    for flag, value, what in (("--key", key, "a key"), ("--rated", rated, "rated models")):
        if value and not ratings:
            raise UsageError(f"{what} without ratings", where=flag, expected="--ratings FILE with it")
    cells = cells_of(runs, named, place)
    evidence = Evidence(cells, rated=_rated(ratings, key, split_names([rated])))
    chosen = suite_of(suite, evidence)
    if chosen.generated and not suite:
        echo(f"the runs are of generated copies, and so is the suite: {chosen.id}", err=True)
    if (automatic is None) != (corrected is None):
        where = "--automatic" if corrected is None else "--corrected"
        raise UsageError("pairs of masks take two files", where=where, expected="--automatic FILE --corrected FILE")
    names, checkpoints = _series(series)
    inputs = Inputs(
        evidence=evidence,
        suite=chosen,
        baseline=baseline,
        series=names,
        checkpoints=checkpoints,
        ratings=tuple(ratings),
        key=key,
        rated=tuple(split_names([rated])),
        masks=tuple(split_names([properties])),
        automatic=automatic,
        corrected=corrected,
        root=root,
    )
    document = make(found, inputs)
    written = write(document, forms, to)
    for section in document.sections:
        for reason in section.absent:
            err().print(f"{section.id}: {reason}", soft_wrap=True)
    shown = [p for p in written if p.parent == to and p.suffix != ".bib"] or written
    for path in shown:
        echo(str(path))
    for path in shown[:1]:
        cite(cells_used(document.sections, cells), path)


def _rated(ratings: Sequence[str], key: Path | None, names: Sequence[str]) -> Rated:
    """What claims are judged by. Without names it is SAM over RITM: none where the ratings are of other models, as table 8 says."""
    from sambench.errors import UsageError
    from sambench.report.rated import rated_differences

    if names:
        return rated_differences(ratings, key, names)
    try:
        return rated_differences(ratings, key, ("sam_vit_h", "ritm_hrnet32"))
    except UsageError:
        return {}


def _series(given: str) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[CellView, ...]], ...]]:
    """Models by id, or the checkpoints of the watch whose folder is named."""
    from sambench.sources.datasets import split_names
    from sambench.store.views import read_cell
    from sambench.watch.ledger import entries_of

    names = tuple(split_names([given]))
    if len(names) != 1 or not Path(names[0]).expanduser().exists():
        return names, ()
    found = [e for e in entries_of(Path(names[0]).expanduser()) if e.paths and not e.error]
    labels = [f"{e.step:,}" if e.step is not None else e.file for e in found]
    labels = [e.label if labels.count(label) > 1 else label for label, e in zip(labels, found, strict=True)]
    return (), tuple((label, tuple(read_cell(Path(p)) for p in e.paths)) for label, e in zip(labels, found, strict=True))


def list_reports(form: DataFormat = TEXT, as_json: Json = False) -> None:
    """Reports: the paper's tables and figures, singly and together."""
    from sambench.report.definitions import definitions

    as_json = is_json(form, as_json)
    if as_json:
        known = definitions().values()
        echo_json({"reports": [{"id": d.id, "title": d.title, "source": d.source, "parts": list(d.parts)} for d in known]})
        return
    rows = [[d.id, d.title, d.source, ", ".join(d.parts)] for d in definitions().values()]
    out().print(columns(["id", "what", "source", "made of"], rows, title="reports"))


_BY = "worst, best, disagreement; oracle_gap (clicks, boxes), false_positives (instances, concepts); comma-separated."


def gallery(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, of any task that has a gallery.")],
    other: Annotated[str, typer.Argument(metavar="[RUN]", help="Another, for disagreements.", show_default=False)] = "",
    by: Annotated[str, typer.Option("--by", help=_BY)] = "",
    k: Annotated[int | None, typer.Option("-k", help="Clicks (default: the first count).")] = None,
    n: Annotated[int, typer.Option("-n", min=1, max=200, help="Objects, images or phrases of each kind.")] = 12,
    form: PageFormats = "html,png",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("gallery"),
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder.")] = None,
    folder: Runs = DEFAULT,
) -> None:
    """Best and worst, false positives, largest oracle gaps, and largest disagreements of two runs, as sheets."""
    from sambench.cli.console import err
    from sambench.report.document import cells_used
    from sambench.report.gallery import gallery as make
    from sambench.report.write import write
    from sambench.results.citations import cite
    from sambench.sources.datasets import split_names
    from sambench.store.lookup import find_cells

    forms = pages(form)
    partners = find_cells(other, folder) if other else []
    cells = find_cells(run, folder)
    document = make(cells, partners, by=tuple(split_names([by])), k=k, n=n, root=root)
    for section in document.sections:
        for reason in section.absent:
            err().print(f"{section.title}: {reason}", soft_wrap=True)
    written = write(document, forms, to)
    for path in written:
        echo(str(path))
    for path in written[:1]:
        cite(cells_used(document.sections, [*cells, *partners]), path)
