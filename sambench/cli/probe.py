"""`sambench probe`: masks that a model's image encoder takes for alike (figure 17 of Segment Anything)."""

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


def probe(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="As `sambench run --datasets` takes it; one.")],
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help="A segmenter whose state gives an embedding.")] = "",
    option: Options = [],  # noqa: B006 - typer copies it
    limit: First = 3,
    queries: Annotated[int, typer.Option("--queries", metavar="N", min=1, max=100, help="Rows of the sheet.")] = 6,
    n: Annotated[int, typer.Option("-n", min=1, max=20, help="Neighbours of each.")] = 5,
    most: Annotated[int, typer.Option("--most", metavar="N", min=2, help="Masks of an image that are embedded.")] = 60,
    across: Annotated[bool, typer.Option("--across", help="Neighbours of all these images, not only of the mask's own.")] = False,
    form: PageFormats = "html,png",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("probe"),
    root: Root = None,
    devices: Devices = "auto",
    precision: Precision = "fp32",
    quiet: Quiet = False,
) -> None:
    """Nearest neighbours of masks by image embedding, as a sheet."""
    from sambench.automatic.probing import agreement, embedded, neighbours
    from sambench.cli.console import err
    from sambench.device.precision import computing
    from sambench.engine.request import DEFAULT_MODEL
    from sambench.models.embedding import embedder
    from sambench.report.probing import probing
    from sambench.report.write import write
    from sambench.sources.models import build

    forms = pages(form)
    name, opened = open_dataset(dataset, root)
    if not model and not quiet:
        echo(f"model: {DEFAULT_MODEL} (the default; --model chooses another)", err=True)
    resolved = resolve_model(model or DEFAULT_MODEL, option, devices=devices, precision=precision)
    segmenter = embedder(build(resolved.spec), model or DEFAULT_MODEL)
    samples = _samples(opened, name, limit)
    total = sum(min(most, len(s.instances)) for s in samples)
    kind = resolved.spec.device.partition(":")[0]
    with computing(resolved.spec.precision, kind), Counted("masks", total, quiet=quiet) as counted:
        masks = embedded(segmenter, samples, most=most, on_mask=counted)
    rows = neighbours(masks, n_queries=queries, n=n, across=across)
    document = probing(
        rows, agreement(masks, across=across), model=resolved.title, dataset=name, n_masks=len(masks), across=across
    )
    for section in document.sections:
        for note in [*section.absent, *(line for picture in section.pictures for line in picture.notes)]:
            err().print(note, soft_wrap=True)
    for path in write(document, forms, to):
        echo(str(path))


def _samples(opened: Dataset, name: str, n: int) -> list[Sample]:
    """The first n images, of those with masks. Raises UsageError where there is none."""
    from sambench.errors import UsageError

    samples = first_samples(opened, name, n, lambda record: record.n_masks > 0)
    if not any(s.instances for s in samples):
        found = f"{len(samples)} images without"
        raise UsageError("there are no masks to probe", where=name, expected="a dataset of masks", found=found)
    return samples
