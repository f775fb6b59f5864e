"""`sambench text`: masks of phrases, with a point where the phrase alone fails (figure 12 of Segment Anything)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.console import echo
from sambench.cli.opening import Counted, first_samples, open_dataset, resolve_model
from sambench.cli.options import Devices, First, Options, Precision, Quiet, Root
from sambench.cli.tables import PageFormats, pages

if TYPE_CHECKING:
    from sambench.types import Dataset, Sample

_MODEL = "A model of phrases: colour_words, or sambench list models."
_SEGMENTER = "Model prompted with the point (default: the model itself, if it takes clicks; else sam_nano)."


def text(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset with phrases, as `run concepts` takes it.")],
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help=_MODEL)] = "colour_words",
    option: Options = [],  # noqa: B006 - typer copies it
    segmenter: Annotated[str, typer.Option("--segmenter", metavar="NAME", help=_SEGMENTER)] = "",
    limit: First = 6,
    n: Annotated[int, typer.Option("-n", min=1, max=100, help="Phrases on the sheet.")] = 12,
    fails: Annotated[
        float, typer.Option("--fails-below", metavar="IOU", min=0.0, max=1.0, help="IoU below which a point is given.")
    ] = 0.5,
    form: PageFormats = "html,png",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("text"),
    root: Root = None,
    devices: Devices = "auto",
    precision: Precision = "fp32",
    quiet: Quiet = False,
) -> None:
    """A sheet of phrases and the masks that they give, with an extra point where the text fails."""
    from sambench.automatic.text_masks import text_masks
    from sambench.cli.console import err
    from sambench.device.precision import computing
    from sambench.engine.request import DEFAULT_MODEL
    from sambench.errors import UsageError
    from sambench.models.contract import examine
    from sambench.report.text_sheet import text_sheet
    from sambench.report.write import write
    from sambench.sources.models import build
    from sambench.types import Segmenter

    forms = pages(form)
    name, opened = open_dataset(dataset, root)
    named = resolve_model(model, option, devices=devices, precision=precision)
    reader = build(named.spec)
    if not callable(getattr(reader, "concepts", None)):
        expected = "a model that answers phrases, as colour_words"
        gives = examine(reader, model).gives
        raise UsageError("a model reads no phrases", where=f"--model {model}", expected=expected, found=f"one that gives {gives}")
    own = not segmenter and isinstance(reader, Segmenter)
    asked, flag = segmenter or DEFAULT_MODEL, "--segmenter"
    other = named if own else resolve_model(asked, (), devices=devices, precision=precision, flag=flag)
    clicked = reader if own else build(other.spec)
    if not isinstance(clicked, Segmenter):
        expected = "a model that answers clicks"
        raise UsageError("a model takes no clicks", where=f"{flag} {asked}", expected=expected, found=other.id)
    samples = _samples(opened, name, limit)
    total = min(n, sum(len(s.concepts) for s in samples))
    with computing(precision, named.spec.device.partition(":")[0]), Counted("phrases", total, quiet=quiet) as counted:
        rows = text_masks(reader, clicked, samples, n=n, fails_below=fails, on_phrase=counted)
    document = text_sheet(rows, model=named.title, segmenter=other.title, dataset=name, fails_below=fails)
    for section in document.sections:
        for note in [*section.absent, *(line for picture in section.pictures for line in picture.notes[1:2])]:
            err().print(note, soft_wrap=True)
    for path in write(document, forms, to):
        echo(str(path))


def _samples(opened: Dataset, name: str, n: int) -> list[Sample]:
    """The first n images. Raises UsageError where none has a phrase."""
    from sambench.errors import UsageError

    samples = first_samples(opened, name, n)
    if not any(s.concepts for s in samples):
        expected = "a dataset with phrases, as demo:concepts (sambench list datasets)"
        raise UsageError("there are no phrases", where=name, expected=expected, found=f"{len(samples)} images without")
    return samples
