"""Which images of a dataset are evaluated: the paper's number of masks, everything, or a list of ids (protocol section 1)."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.cards import DatasetCard, PaperFacts
from sambench.errors import UTF8_REMEDY, DataError, UsageError, near_names
from sambench.files import content
from sambench.left_out import remedies
from sambench.loaders.open import find_root
from sambench.loaders.survey import known_images, survey
from sambench.notes import as_named
from sambench.provenance import keyed_order
from sambench.text import counted
from sambench.types import Dataset, ImageRecord, InFolder, reader_of

MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Subset:
    """The images of a run. The ids alone make its identity; they are the same on every machine with the same files.

    name: 'paper', 'full' or 'file:<stem>'. image_ids: in keyed-hash order. n_masks: as indexed, before empty ones are dropped.
    digest: sha256 hex over the sorted ids. is_paper_size: whether it has as many masks as the paper evaluated (at least as many,
    where the paper drew whole images). note: what a reader of the result must know, or ''.
    """

    name: str
    image_ids: tuple[str, ...]
    n_masks: int
    digest: str
    is_paper_size: bool
    note: str


def choose_subset(dataset: Dataset, card: DatasetCard, subset: str, *, every_image: bool = False) -> Subset:
    """'paper', 'full', or the path of a text file with one image id a line ('#' starts a comment).

    'paper': where the paper drew whole images up to about 10k masks, images in keyed-hash order until the paper's number of
    masks is first reached; all of them if there are fewer; elsewhere everything. Images without masks are left out, unless
    every_image is wanted (and the dataset's index has them).
    Raises UsageError (no such subset or file, an unknown or repeated id) and DataError (no masks at all).
    """
    records = list(dataset.index())
    usable = {r.image_id: r for r in records if r.n_masks or every_image}
    if not any(r.n_masks for r in records):
        raise no_masks(dataset, card)
    _check_ids(usable, card.id)
    left_out = len(records) - len(usable)
    order = keyed_order(usable, card.id)
    if subset in ("paper", "full"):
        if subset == "paper" and card.paper is not None:
            chosen, notes = _as_paper([usable[i] for i in order], card.paper)
        else:
            chosen, notes = order, []
        name = subset
    else:
        path = Path(subset).expanduser()
        wanted = listed_ids(path, {r.image_id for r in records}, card.id)
        left_out = len(wanted - usable.keys())
        chosen, notes, name = [i for i in order if i in wanted], [], f"file:{path.stem}"
        if not chosen:
            raise UsageError("a subset names no image that has masks", where=path, found=f"{len(wanted)} ids")
    if left_out:
        notes.append(without_masks(left_out))
    n_masks = sum(usable[i].n_masks for i in chosen)
    return Subset(
        name, tuple(chosen), n_masks, _digest(chosen), _is_paper_size(card.paper, chosen, n_masks), "; ".join(notes)
    )


def without_masks(n: int) -> str:
    """The sentence on so many images in which nothing can be evaluated."""
    return f"{counted(n, 'image')} without masks left out"


def no_masks(dataset: Dataset, card: DatasetCard) -> DataError:
    """The error for a dataset without a single object: what there is instead, by kind, and what to do about that."""
    images = known_images(dataset)
    found = survey(dataset, images)
    n = counted(len(images), "image") if images else "no images"
    reader = reader_of(dataset)
    root = ""
    if isinstance(reader, InFolder) and reader.root != find_root(card):  # given by --root: verify must be told, too
        root = f" --root {shlex.quote(str(reader.root))}"
    check = f"check the files: sambench data verify {card.named}{root}"
    return DataError(
        f"dataset {card.id!r} holds no masks",
        expected="images with at least one mask",
        found=as_named("; ".join([n, *found.sentences()]), card.given),
        remedy=as_named("; ".join([*remedies(found.said.left_out), check]), card.given),
    )


def _check_ids(ids: Iterable[str], dataset: str) -> None:
    """Ids are kept one a line in UTF-8. Raises DataError."""
    utf8 = sys.getfilesystemencoding() == "utf-8"  # else file names in UTF-8 look as if they were none
    for image_id in ids:
        odd = any("\ud800" <= c <= "\udfff" for c in image_id)  # bytes of a file's name that are not UTF-8
        if odd or image_id.splitlines() != [image_id]:
            raise DataError(
                f"an image of dataset {dataset!r} has an id that is not a line of text",
                expected="UTF-8 without line breaks",
                found=ascii(image_id),
                remedy="rename that file or folder, or mend the annotations" if utf8 else UTF8_REMEDY,
            )


def _as_paper(records: Sequence[ImageRecord], paper: PaperFacts) -> tuple[list[str], list[str]]:
    total = sum(r.n_masks for r in records)
    if not paper.subsampled:
        if (len(records), total) == (paper.images, paper.masks):
            return [r.image_id for r in records], []
        here = f"the available data holds {len(records)} images with {total} masks"
        return [r.image_id for r in records], [f"{here}; the paper counts {paper.images} with {paper.masks}: all are used"]
    if total < paper.masks:
        note = f"the available data holds {total} masks; the paper drew {paper.masks}: all are used"
        return [r.image_id for r in records], [note]
    chosen, n = [], 0
    for r in records:
        if n >= paper.masks:
            break
        chosen.append(r.image_id)
        n += r.n_masks
    if len(chosen) == len(records):
        return chosen, []
    return chosen, [f"{len(chosen)} images drawn up to the paper's {paper.masks} masks; its own list was never published"]


def _is_paper_size(paper: PaperFacts | None, chosen: Sequence[str], n_masks: int) -> bool:
    if paper is None:
        return False
    if not paper.subsampled:
        return (len(chosen), n_masks) == (paper.images, paper.masks)
    return n_masks >= paper.masks


def listed_ids(path: Path, known: set[str], dataset: str) -> set[str]:
    """The image ids in a subset's file, one a line. Raises UsageError for a file that is none, or has an id that is not known."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError("a subset file is too large", where=path, expected=f"up to {MOST_BYTES:,} bytes of image ids")
        lines = content.regular_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except FileNotFoundError as e:
        near = near_names(str(path), ["paper", "full"])
        raise UsageError(
            f"unknown subset {str(path)!r}",
            expected="paper, full, or the path of a file with one image id per line",
            found="no such file",
            remedy=f"did you mean {' or '.join(near)}?" if near else None,
        ) from e
    except (OSError, ValueError) as e:  # ValueError: other bytes than UTF-8, or a NUL in the name
        found = (e.strerror if isinstance(e, OSError) else None) or str(e)
        raise UsageError("a subset file cannot be read", where=f"{path}", expected="a file of UTF-8 text", found=found) from e
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        image_id = line.strip()
        if image_id not in known:  # some ids have a # in them
            image_id = "" if image_id.startswith("#") else image_id.split(" #")[0].strip()
        if not image_id:
            continue
        if image_id not in known:
            near = near_names(image_id, known)
            raise UsageError(
                f"a subset names an image that dataset {dataset!r} does not have",
                where=f"{path}, line {number}",
                expected=f"one of {len(known)} ids",
                found=repr(image_id),
                remedy=f"did you mean {' or '.join(map(repr, near))}?" if near else None,
            )
        if image_id in first_line:
            where = f"{path}, lines {first_line[image_id]} and {number}"
            raise UsageError("a subset names an image twice", where=where, found=repr(image_id), remedy="remove one")
        first_line[image_id] = number
    if not first_line:
        raise UsageError("a subset file names no image", where=path, expected="one image id per line", found="no ids")
    return set(first_line)


def _digest(ids: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{i}\n" for i in sorted(ids)).encode()).hexdigest()
