"""Images that were annotated as their EXIF orientation shows them, not as their pixels are stored."""

from __future__ import annotations

from pathlib import Path

from sambench.errors import DataError
from sambench.loaders import images
from sambench.loaders.coco_file import naming
from sambench.types import UInt8Array


def turn_to(image: Path, size: tuple[int, int], exif: bool) -> int:
    """The EXIF orientation (1: none) to apply so that the image has the mask's size. Raises DataError if it never has.

    size: (height, width) of the mask.
    """
    stored = images.read_size(image)
    orientation = images.read_orientation(image) if exif else 1
    turned = stored[::-1] if orientation >= 5 else stored
    if turned == size:
        return orientation
    if stored == size:
        return 1
    raise DataError(
        "an image has another size than its mask",
        where=image,
        expected=f"{size[1]} x {size[0]} (width x height)",
        found=f"{stored[1]} x {stored[0]}" + (f", EXIF orientation {orientation}" if orientation != 1 else ""),
    )


def read_turned(dataset: str, image: Path, orientation: int) -> UInt8Array:
    """uint8 [H, W, 3], RGB, turned as an EXIF orientation of 1 to 8 says. Raises DataError naming the dataset and the file."""
    with naming(dataset):
        return images.turn(images.read_rgb(image), orientation)
