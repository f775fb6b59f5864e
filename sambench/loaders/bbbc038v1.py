"""BBBC038v1 (2018 Data Science Bowl nuclei): one folder an image, one PNG a nucleus.

    <root>/[stage1_train/]<ImageId>/images/<ImageId>.png
    <root>/[stage1_train/]<ImageId>/masks/<any>.png
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sambench.errors import DataError
from sambench.files import content
from sambench.loaders import images
from sambench.loaders.file_patterns import candidates
from sambench.loaders.open import unknown_image
from sambench.pixels.region import Region
from sambench.types import EMPTY, ImageRecord, Instance, Sample

_PEEKED = 200  # folders that `fits` looks into before it gives up


@dataclass(frozen=True)
class BBBC038v1:
    """The training set of stage 1 in its native layout; `root` is stage1_train or the folder above it.

    image_id is the folder's name, object_id the stem of the mask's file. Masks are 8-bit gray, foreground above 0.
    Images are 8-bit gray, RGB or RGBA (alpha dropped); palette and 16-bit files are not of this release, and refused unless a
    card says plain = false, as for pictures of one's own in this layout.
    """

    root: Path
    name: str
    variant: str = "default"
    plain: bool = True

    @staticmethod
    def fits(root: Path, plain: bool = True) -> bool:
        """Whether the layout is here: some folder X with images/X.png in it."""
        try:
            return any(_image_file(p).is_file() for p in sorted(_folders(_base(root)))[:_PEEKED])
        except OSError:
            return False

    def index(self) -> Sequence[ImageRecord]:
        """All image folders by name, also those without masks (n_masks 0); one directory listing each."""
        return [
            ImageRecord(p.name, n_masks=len(_pngs(p / "masks")), file=str(_image_file(p)))
            for p in self._items()
        ]

    def load(self, image_id: str) -> Sample:
        """Raises DataError: unknown id, no image, no masks, or a broken or odd mask."""
        folder = _base(self.root) / image_id
        if not _is_item(folder):
            raise unknown_image(self.name, image_id, [p.name for p in self._items()])
        image_file = _image_file(folder)
        height, width = images.read_size(image_file)
        files = sorted(_pngs(folder / "masks"))
        if not files:
            raise DataError(
                f"an image of {self.name} has no masks",
                where=folder / "masks",
                expected="at least one PNG, one nucleus each",
                found="an empty folder" if (folder / "masks").is_dir() else "no such folder",
                of_release="fetch or unpack this folder again",
                remedy="remove it",
            )
        regions = [(f.stem, Region.from_array(images.read_mask(f, size=(height, width)))) for f in files]
        instances = tuple(Instance(stem, region, category="nucleus") for stem, region in regions if region.area)
        return Sample(
            dataset=self.name,
            image_id=image_id,
            height=height,
            width=width,
            instances=instances,
            read=partial(images.read_rgb, image_file, size=(height, width), plain=self.plain),
            left_out={EMPTY: len(regions) - len(instances)},
        )

    def annotation_digest(self) -> str:
        """Over names and bytes of all mask files; the same for both forms of `root`."""
        return content.tree_digest(_base(self.root), (f for p in self._items() for f in _pngs(p / "masks")), self.name)

    def _items(self) -> list[Path]:
        return sorted(p for p in _folders(_base(self.root)) if _is_item(p))


def _base(root: Path) -> Path:
    # The archive has no folder of its own; people, and `data get`, make one, and some copies have two.
    while (inner := root / "stage1_train").is_dir():
        root = inner
    return root


def _folders(base: Path) -> list[Path]:
    with os.scandir(base) as entries:
        return [Path(e.path) for e in entries if e.is_dir() and not e.name.startswith((".", "__MACOSX"))]


def _is_item(folder: Path) -> bool:
    return (folder / "masks").is_dir() or (folder / "images").is_dir()


def _pngs(folder: Path) -> list[Path]:
    """PNG files of a folder, without the '._*' companions in archives made on a Mac; none if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if e.name.lower().endswith(".png") and not e.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _image_file(folder: Path) -> Path:
    """Where the image is, or should be."""
    found = candidates(folder / "images", "{id}.png", folder.name)
    return found[0] if len(found) == 1 else folder / "images" / f"{folder.name}.png"
