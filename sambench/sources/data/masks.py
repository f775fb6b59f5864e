"""`masks:IMAGES,MASKS`: images, and a binary mask for each, whose foreground is the image's one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.sources.data.maps import MapSource, recognised
from sambench.sources.data.words import Word

PREFIX = "masks:"


class Masks(MapSource):
    """A `Recogniser`. IMAGES and MASKS are folders, or patterns with {id}."""

    form = f"{PREFIX}IMAGES,MASKS"
    reader = "sambench.loaders.mask_png:MaskPng"
    what = "masks"

    def recognise(self, path: Path) -> Sequence[str]:
        return [Word("masks", tuple(map(str, pair)), {}).text() for pair in recognised(path, masks=True)]


SOURCE = Masks()
