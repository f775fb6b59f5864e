"""What commands begin with that ask one model about the first images of one dataset: `probe` and `text`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sambench.cli.console import echo
from sambench.cli.requests import options_for

if TYPE_CHECKING:
    from sambench.sources.models import ResolvedModel
    from sambench.types import Dataset, ImageRecord, Sample


def open_dataset(name: str, root: str | None) -> tuple[str, Dataset]:
    """The id of a dataset's card, and its reader; what must be said of the files is said on standard error."""
    from sambench.sources.datasets import build, resolve

    found = resolve(name, root=root)
    for note in found.notes:
        echo(note, err=True)
    return found.card.id, build(found)


def first_samples(opened: Dataset, name: str, n: int, wanted: Callable[[ImageRecord], bool] = lambda _: True) -> list[Sample]:
    """The first n images in the keyed-hash order of the dataset of that name, of those that are wanted."""
    from sambench.provenance import keyed_order

    ids = [record.image_id for record in opened.index() if wanted(record)]
    return [opened.load(image_id) for image_id in keyed_order(ids, name)[:n]]


def resolve_model(name: str, option: Sequence[str], *, devices: str, precision: str, flag: str = "--model") -> ResolvedModel:
    """A model that can be asked, with its options. flag: that named it. Raises UsageError for a file of results."""
    from sambench.device.precision import check_precision
    from sambench.errors import UsageError
    from sambench.sources.models import resolve, source_of

    check_precision(precision)
    if source_of(name).stored:
        raise UsageError("a file of results cannot be asked", where=f"{flag} {name}", expected="a model")
    return resolve(name, options_for(name, [name], option), device=devices, precision=precision)


class Counted:
    """A bar of what is done in a terminal, unless `quiet`; on standard error. It is called with whatever is done."""

    def __init__(self, what: str, total: int, *, quiet: bool) -> None:
        from sambench.cli.console import err

        self.what, self.total, self.quiet, self.console = what, total, quiet, err()
        self.bar: Any = None

    def __enter__(self) -> Counted:
        if self.console.is_terminal and not self.quiet:
            from rich.progress import Progress

            self.bar = Progress(console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.what, total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, *_: object) -> None:
        if self.bar:
            self.bar.advance(self.task)
