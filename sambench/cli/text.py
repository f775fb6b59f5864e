"""`sambench text`: masks of phrases, with a point where the phrase alone fails (figure 12 of Segment Anything)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.console import echo
from sambench.cli.running import Devices, Options, Precision
from sambench.layout.formats import PAGES, form_of, listed

if TYPE_CHECKING:
    from sambench.sources.models import ResolvedModel
    from sambench.types import Dataset, Sample

_FORMATS = f"{listed(PAGES)}; comma-separated."
_MODEL = "A model of phrases: colour_words, or sambench list models."
_SEGMENTER = "Model prompted with the point (default: the model itself, if it takes clicks; else sam_nano)."


def text(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset with phrases, as `run concepts` takes it.")],
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help=_MODEL)] = "colour_words",
    option: Options = [],  # noqa: B006 - typer copies it
    segmenter: Annotated[str, typer.Option("--segmenter", metavar="NAME", help=_SEGMENTER)] = "",
    images: Annotated[int, typer.Option("--images", metavar="N", min=1, help="The first N images in keyed-hash order.")] = 6,
    n: Annotated[int, typer.Option("-n", min=1, max=100, help="Phrases on the sheet.")] = 12,
    fails: Annotated[
        float, typer.Option("--fails-below", metavar="IOU", min=0.0, max=1.0, help="IoU below which a point is given.")
    ] = 0.5,
    form: Annotated[str, typer.Option("--format", "-f", help=_FORMATS)] = "html,png",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("text"),
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder.")] = None,
    devices: Devices = "auto",
    precision: Precision = "fp32",
) -> None:
    """A sheet of phrases and the masks that they give, with an extra point where the text alone fails."""
    from sambench.automatic.text_masks import text_masks
    from sambench.cli.console import err
    from sambench.device.precision import check_precision, computing
    from sambench.errors import UsageError
    from sambench.models.contract import examine
    from sambench.report.text_sheet import text_sheet
    from sambench.report.write import write
    from sambench.sources.datasets import build, resolve, split_names
    from sambench.sources.models import build as build_model
    from sambench.types import Segmenter

    forms = split_names([form])
    for one in forms:
        form_of(one, PAGES)
    check_precision(precision)
    found = resolve(dataset, root=str(root) if root is not None else None)
    for note in found.notes:
        echo(note, err=True)
    named = _resolved(model, option, devices, precision, "--model")
    reader = build_model(named.spec)
    if not callable(getattr(reader, "concepts", None)):
        expected = "a model that answers phrases, as colour_words"
        gives = examine(reader, model).gives
        raise UsageError("a model reads no phrases", where=f"--model {model}", expected=expected, found=f"one that gives {gives}")
    own = not segmenter and isinstance(reader, Segmenter)
    other = named if own else _resolved(segmenter or "sam_nano", (), devices, precision, "--segmenter")
    clicked = reader if own else build_model(other.spec)
    if not isinstance(clicked, Segmenter):
        expected = "a model that answers clicks"
        raise UsageError("a model takes no clicks", where=f"--segmenter {segmenter}", expected=expected, found=other.id)
    samples = _samples(build(found), found.card.id, images)
    with computing(precision, named.spec.device.partition(":")[0]):
        rows = text_masks(reader, clicked, samples, n=n, fails_below=fails)
    document = text_sheet(rows, model=named.title, segmenter=other.title, dataset=found.card.id, fails_below=fails)
    for section in document.sections:
        for note in [*section.absent, *(line for picture in section.pictures for line in picture.notes[1:2])]:
            err().print(note, soft_wrap=True)
    for path in write(document, forms, to):
        echo(str(path))


def _resolved(name: str, options: Sequence[str], devices: str, precision: str, flag: str) -> ResolvedModel:
    from sambench.errors import UsageError
    from sambench.sources.models import resolve, source_of
    from sambench.sources.options import parse_options

    if source_of(name).stored:
        raise UsageError("a file of results cannot be asked", where=f"{flag} {name}", expected="a model")
    return resolve(name, parse_options(options), device=devices, precision=precision)


def _samples(opened: Dataset, name: str, n: int) -> list[Sample]:
    """The first n images. Raises UsageError where none has a phrase."""
    from sambench.errors import UsageError
    from sambench.provenance import keyed_order

    samples = [opened.load(i) for i in keyed_order([r.image_id for r in opened.index()], name)[:n]]
    if not any(s.concepts for s in samples):
        expected = "a dataset with phrases, as demo:concepts (sambench list datasets)"
        raise UsageError("there are no phrases", where=name, expected=expected, found=f"{len(samples)} images without")
    return samples
