"""The one rule for pictures with an EXIF orientation: which frame their annotations are in.

`stored`: that of the pixels in the file, as pycocotools, OpenCV and readers of label maps see them. `shown`: as viewers turn the
picture, and annotation tools that are viewers with it (VIA, LabelMe). `fitting`: as shown where the annotation has that size, else
stored. Each reader has the default of its format; the option `orientation` of a card says otherwise. Where a tag other than 1 is
met, a note says which frame was taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from sambench.errors import CardError, DataError
from sambench.loaders import images
from sambench.loaders.coco_file import naming
from sambench.notes import note
from sambench.pixels.region import check_pixels
from sambench.types import UInt8Array

Orientation = Literal["stored", "shown", "fitting"]
CHOICES = ("stored", "shown", "fitting")


class Frame(NamedTuple):
    """size: (height, width) of the picture as its annotations see it. turn: the EXIF orientation to apply, 1 where none is."""

    size: tuple[int, int]
    turn: int


def frame_of(
    image: Path,
    orientation: Orientation,
    size: tuple[int | None, int | None] | None = None,
    *,
    what: str = "an image",
    than: str = "its annotations",
    where: str = "",
) -> Frame:
    """The frame of a picture's annotations.

    size: (height, width) that they say, None for what they do not know. For errors: what, the picture; than, what has that size;
    where, its entry. Raises CardError on an unknown orientation, DataError: no picture, one of another size in that frame, or one
    that is larger than any mask is drawn in.
    """
    if orientation not in CHOICES:
        raise CardError(
            "an orientation does not fit", where="option orientation", expected=" or ".join(CHOICES), found=repr(orientation)
        )
    stored, tag = images.read_size(image), images.read_orientation(image)
    check_pixels(*stored, image)
    shown = stored[::-1] if tag >= 5 else stored
    as_shown = tag != 1 and (orientation == "shown" or (orientation == "fitting" and _fits(size, shown)))
    taken, other = (shown, stored) if as_shown else (stored, shown)
    if not _fits(size, taken):
        option = "stored" if as_shown else "shown"
        said = " x ".join("?" if s is None else str(s) for s in reversed(size or ()))
        raise DataError(
            f"{what} has another size than {than}",
            where=image,
            expected=f"{said} (width x height{where and f', {where}'})",
            found=f"{taken[1]} x {taken[0]}" + (f", {'shown' if as_shown else 'stored'} with EXIF orientation {tag}" * (tag != 1)),
            remedy=f'the image {option} has that size: set orientation = "{option}" under [options] of the card'
            if _fits(size, other)
            else None,
        )
    if tag != 1:
        note(_note(as_shown))
    return Frame(taken, tag if as_shown else 1)


def _fits(size: tuple[int | None, int | None] | None, frame: tuple[int, int]) -> bool:
    return size is None or all(s in (None, f) for s, f in zip(size, frame, strict=True))


def _note(as_shown: bool) -> str:
    if as_shown:
        return 'EXIF orientation is not 1: taken as shown, turned (orientation = "stored" under [options] of the card: as stored)'
    return 'EXIF orientation is not 1: taken as stored (orientation = "shown" under [options] of the card: turned as shown)'


def read_turned(dataset: str, image: Path, orientation: int) -> UInt8Array:
    """uint8 [H, W, 3], RGB, turned as an EXIF orientation of 1 to 8 says. Raises DataError naming the dataset and the file."""
    with naming(dataset):
        return images.turn(images.read_rgb(image), orientation)
