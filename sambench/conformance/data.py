"""What `sambench data verify` and `preview` do: look whether a dataset is what it should be. Nothing is printed here."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sambench import cards
from sambench.errors import UsageError
from sambench.files.writing import replacing
from sambench.left_out import Tally, remedies
from sambench.loaders.open import find_root
from sambench.loaders.subsets import choose_subset, without_masks
from sambench.loaders.survey import survey, told, unlisted
from sambench.notes import as_named, noting
from sambench.sources.datasets import build, notes_on, resolve
from sambench.text import counted
from sambench.types import NEVER_OBJECTS, ImageRecord, Sample, SaysHolds, reader_of

CLOSE = 0.01  # counts within this fraction of the expected ones are "close"

_LOOK = "look at the annotations, and at the options of the card that select them"

Verdict = Literal["exact", "close", "different"]


@dataclass(frozen=True)
class CountCheck:
    """Counts of the files at hand against stated ones. against: 'release' or 'paper'."""

    against: str
    images: int
    masks: int
    verdict: Verdict
    meaning: str


@dataclass(frozen=True)
class VerifyReport:
    """What reading every image and mask of a dataset has shown.

    n_images, n_masks: read without error; n_empty: images of these without masks. said: what is left out of these, by kind, and
    notes on files. notes: on how the dataset is read. broken: (image id, error) of every image that could not be read, or whose
    objects are not those of the index. counted: what n_masks counts. given: the dataset's name, "" of one named by its id.
    sizes: ((width, height), number of images), most frequent first. advice: what to do where there is no mask at all.
    """

    dataset: str
    root: Path
    n_images: int
    n_masks: int
    said: Tally
    broken: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    checks: tuple[CountCheck, ...]
    advice: str = ""
    n_empty: int = 0
    notes: tuple[str, ...] = ()
    counted: str = "masks"
    given: str = ""

    @property
    def n_dropped(self) -> int:
        """Annotations that were meant as objects and are none."""
        return sum(n for kind, n in self.said.left_out.items() if kind not in NEVER_OBJECTS)

    @property
    def sound(self) -> bool:
        """Whether it can be evaluated, all of it."""
        return bool(self.n_masks) and not self.broken

    def text(self) -> str:
        """The report for people, several lines."""
        found = f"{counted(self.n_images, 'image')}, {self.n_masks} {self.counted} in {self.root}"
        lines = [f"{self.dataset}: {found}", *(f"  {n}" for n in self.notes)]
        lines += [f"  {without_masks(self.n_empty)}"] * (self.n_masks > 0 and self.n_empty > 0)
        lines += [f"  {as_named(text, self.given)}" for text in self.said.sentences()]
        shown = [f"{w} x {h} ({n})" for (w, h), n in self.sizes[:6]]
        more = [f"{len(self.sizes) - 6} other sizes"] if len(self.sizes) > 6 else []
        if shown:
            lines.append("  sizes: " + ", ".join(shown + more))
        for c in self.checks:
            lines.append(f"  {c.against}: {counted(c.images, 'image')}, {counted(c.masks, 'mask')}: {c.verdict}; {c.meaning}")
        if self.broken:
            lines.append(f"  {counted(len(self.broken), 'image')} cannot be used:")
            lines += [f"    {image_id}: {error}" for image_id, error in self.broken]
        else:
            lines.append("  every file was read")
        if not self.n_masks:
            lines.append(f"  there is no mask to evaluate: {self.advice}")
        return "\n".join(lines)


def verify(
    name: str, *, root: Path | None = None, progress: Callable[[int, int], object] | None = None
) -> VerifyReport:
    """Read every image and mask of a dataset once, one image in memory at a time.

    progress: called as (images done, images in all). Broken images are listed, not raised; so are those of which the index counts
    objects that nobody gives, and whatever else a reader raises.
    """
    found = resolve(name, root=str(root) if root is not None else None)
    card, dataset = found.card, build(found)
    records = dataset.index()
    n_masks, n_empty, said = 0, 0, Tally()
    broken: list[tuple[str, str]] = []
    sizes: Counter[tuple[int, int]] = Counter()
    for i, record in enumerate(records):
        try:
            with noting() as notes:
                sample = dataset.load(record.image_id)
                height, width = sample.image.shape[:2]
        except Exception as e:  # noqa: BLE001 - a reader may be anybody's
            broken.append((record.image_id, told(e)))
        else:
            sizes[width, height] += 1
            n_masks += sample.n_objects
            n_empty += not record.n_masks
            said.add(sample.left_out, notes)
            lost = _lost(record, sample)
            if lost:
                broken.append((record.image_id, lost))
        if progress is not None:
            progress(i + 1, len(records))
    beside = survey(dataset, unlisted(dataset, [r.image_id for r in records]), most_s=math.inf, most=sys.maxsize)
    said.left_out.update(beside.said.left_out)
    n_images = len(records) - len(broken)
    return VerifyReport(
        dataset=name,
        root=root or found.root or find_root(card) or Path(),
        n_images=n_images,
        n_masks=n_masks,
        notes=tuple(notes_on(found, dataset)),
        n_empty=n_empty + beside.n_images - len(beside.broken),
        said=said,
        broken=tuple(broken),
        sizes=tuple(sizes.most_common()),
        checks=tuple(_checks(card, n_images, n_masks)),
        counted="phrases" if isinstance(reader := reader_of(dataset), SaysHolds) and reader.holds == "concepts" else "masks",
        advice=as_named("; ".join(remedies(said.left_out)) or _LOOK, card.given),
        given=card.given,
    )


def _lost(record: ImageRecord, sample: Sample) -> str:
    """What is wrong where the index counts objects that are neither given nor left out."""
    given, left_out = sample.n_objects, sample.n_dropped
    if given + left_out >= record.n_masks:
        return ""
    n = counted(record.n_masks, "object")
    return f"its reader counts {n} and gives {given}, {left_out} more are left out: mend index() or load() of the reader"


def _checks(card: cards.DatasetCard, n_images: int, n_masks: int) -> list[CountCheck]:
    checks = []
    if card.full is not None:
        verdict = _verdict((n_images, n_masks), (card.full.images, card.full.masks))
        checks.append(CountCheck("release", card.full.images, card.full.masks, verdict, _RELEASE[verdict]))
    if card.paper is not None:
        verdict = _verdict((n_images, n_masks), (card.paper.images, card.paper.masks))
        meaning = _WHOLE[verdict]
        if card.paper.subsampled:
            enough = n_masks >= card.paper.masks
            meaning = "the paper drew a subset of this size: " + (
                "there is enough to draw one" if enough else "there is less here, and all of it is used"
            )
        checks.append(CountCheck("paper", card.paper.images, card.paper.masks, verdict, meaning))
    return checks


_RELEASE: dict[Verdict, str] = {
    "exact": "this is the complete release",
    "close": "nearly the complete release; another version of it, or a few files are missing",
    "different": "a part of the release, another version, or another split",
}
_WHOLE: dict[Verdict, str] = {
    "exact": "numbers compare with the paper's",
    "close": "not quite what the paper evaluated; numbers compare with care",
    "different": "not what the paper evaluated; numbers do not compare",
}


def _verdict(found: tuple[int, int], expected: tuple[int, int]) -> Verdict:
    if found == expected:
        return "exact"
    near = all(abs(f - e) <= CLOSE * e for f, e in zip(found, expected, strict=True))
    return "close" if near else "different"


def preview(name: str, output: Path, *, n: int = 12, root: Path | None = None) -> Path:
    """Write a PNG sheet of `n` images with their masks (the first in keyed-hash order); returns its path: `output`, which gets the
    suffix .png where it has none.

    Raises UsageError (n below 1, a folder that cannot be written) and what opening the dataset raises.
    """
    from sambench.pixels.contact_sheet import contact_sheet

    if n < 1:
        raise UsageError("a preview needs at least one image", expected="n >= 1", found=n)
    found = resolve(name, root=str(root) if root is not None else None)
    dataset = build(found)
    sheet, output = contact_sheet(dataset, choose_subset(dataset, found.card, "full").image_ids[:n]), Path(output).expanduser()
    output = output if output.suffix or output.is_dir() else output.with_name(f"{output.name}.png")
    try:
        with replacing(output, make_folder=False) as aside:
            sheet.save(aside, format="PNG")
    except OSError as e:
        raise UsageError("a preview cannot be written", where=output, found=e.strerror or repr(e)) from e
    return output
