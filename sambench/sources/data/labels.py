"""`labels:IMAGES,LABELS`: images, and a label map for each in which every value but 0 is one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sambench.sources.data.maps import MapSource, recognised
from sambench.sources.data.words import Word

PREFIX = "labels:"


class Labels(MapSource):
    """A `Recogniser`. IMAGES and LABELS are folders, or patterns with {id}."""

    form = f"{PREFIX}IMAGES,LABELS"
    reader = "sambench.loaders.label_png:LabelPng"
    what = "label maps"

    def recognise(self, path: Path) -> Sequence[str]:
        return [Word("labels", tuple(map(str, pair)), {}).text() for pair in recognised(path, masks=False)]


SOURCE = Labels()
