"""`sambench probe`: masks that a model's image encoder takes for alike (figure 17 of Segment Anything)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.console import echo
from sambench.cli.running import Devices, Options, Precision, Quiet
from sambench.layout.formats import PAGES, form_of, listed

if TYPE_CHECKING:
    from sambench.types import Dataset, Sample

_FORMATS = f"{listed(PAGES)}; comma-separated."


def probe(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="As `sambench run --datasets` takes it; one.")],
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help="A segmenter whose state gives an embedding.")] = "",
    option: Options = [],  # noqa: B006 - typer copies it
    images: Annotated[int, typer.Option("--images", metavar="N", min=1, help="The first N images in keyed-hash order.")] = 3,
    queries: Annotated[int, typer.Option("--queries", metavar="N", min=1, max=100, help="Rows of the sheet.")] = 6,
    n: Annotated[int, typer.Option("-n", min=1, max=20, help="Neighbours of each.")] = 5,
    most: Annotated[int, typer.Option("--most", metavar="N", min=2, help="Masks of an image that are embedded.")] = 60,
    across: Annotated[bool, typer.Option("--across", help="Neighbours of all these images, not of the mask's own alone.")] = False,
    form: Annotated[str, typer.Option("--format", "-f", help=_FORMATS)] = "html,png",
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the files go.")] = Path("probe"),
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The dataset's folder.")] = None,
    devices: Devices = "auto",
    precision: Precision = "fp32",
    quiet: Quiet = False,
) -> None:
    """Nearest neighbours of masks by image embedding, as a sheet."""
    from sambench.automatic.probing import agreement, embedded, neighbours
    from sambench.cli.console import err
    from sambench.device.precision import check_precision, computing
    from sambench.engine.request import DEFAULT_MODEL
    from sambench.models.embedding import embedder
    from sambench.report.probing import probing
    from sambench.report.write import write
    from sambench.sources.datasets import build, resolve, split_names
    from sambench.sources.models import build as build_model
    from sambench.sources.models import resolve as resolve_model
    from sambench.sources.options import parse_options

    forms = split_names([form])
    for one in forms:
        form_of(one, PAGES)
    check_precision(precision)
    found = resolve(dataset, root=str(root) if root is not None else None)
    for note in found.notes:
        echo(note, err=True)
    name = model or DEFAULT_MODEL
    if not model and not quiet:
        echo(f"model: {name} (the default; --model chooses another)", err=True)
    resolved = resolve_model(name, parse_options(option), device=devices, precision=precision)
    segmenter = embedder(build_model(resolved.spec), name)
    samples = _samples(build(found), found.card.id, images)
    with computing(resolved.spec.precision, resolved.spec.device.partition(":")[0]), _Counted(samples, most, quiet) as counted:
        masks = embedded(segmenter, samples, most=most, on_mask=counted)
    rows = neighbours(masks, n_queries=queries, n=n, across=across)
    document = probing(
        rows, agreement(masks, across=across), model=resolved.title, dataset=found.card.id, n_masks=len(masks), across=across
    )
    for section in document.sections:
        for note in [*section.absent, *(line for picture in section.pictures for line in picture.notes)]:
            err().print(note, soft_wrap=True)
    for path in write(document, forms, to):
        echo(str(path))


def _samples(opened: Dataset, name: str, n: int) -> list[Sample]:
    """The first n images, of those with masks. Raises UsageError where there is none."""
    from sambench.errors import UsageError
    from sambench.provenance import keyed_order

    ids = [r.image_id for r in opened.index() if r.n_masks]
    samples = [opened.load(i) for i in keyed_order(ids, name)[:n]]
    if not any(s.instances for s in samples):
        found = f"{len(samples)} images without"
        raise UsageError("there are no masks to probe", where=name, expected="a dataset of masks", found=found)
    return samples


class _Counted:
    """A bar of masks in a terminal; on standard error."""

    def __init__(self, samples: Sequence[Sample], most: int, quiet: bool) -> None:
        from sambench.cli.console import err

        self.total = sum(min(most, len(s.instances)) for s in samples)
        self.console, self.quiet = err(), quiet
        self.bar: Any = None

    def __enter__(self) -> _Counted:
        if self.console.is_terminal and not self.quiet:
            from rich.progress import Progress

            self.bar = Progress(console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("masks", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, _: Sample) -> None:
        if self.bar:
            self.bar.advance(self.task)
