"""What is left out of a dataset, and what must be said of its files, in words. Of one image, of a subset, or of a whole set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sambench.text import counted
from sambench.types import BELOW_THRESHOLD, CROWD, EMPTY, GROUP, IGNORED, NO_AREA, NO_MASK, TOO_SHORT

# Of one, and of several.
_WORDS = {
    EMPTY: ("annotation without pixels left out", "annotations without pixels left out"),
    NO_MASK: (
        "annotation without a mask (only a box or keypoints) left out",
        "annotations without a mask (only boxes or keypoints) left out",
    ),
    CROWD: (
        'crowd annotation is an ignore region (crowds = "objects" under [options] of the card: an object)',
        'crowd annotations are ignore regions (crowds = "objects" under [options] of the card: objects)',
    ),
    GROUP: ("mask of a group is no instance", "masks of groups are no instances"),
    IGNORED: ("object left out that lies wholly in an ignore region", "objects left out that lie wholly in an ignore region"),
    NO_AREA: ("shape without an area (point, line) left out", "shapes without an area (points, lines) left out"),
    TOO_SHORT: ("outline of fewer than three points left out", "outlines of fewer than three points left out"),
    BELOW_THRESHOLD: ("mask without a pixel above its threshold left out", "masks without a pixel above their threshold left out"),
}
# What a user may do about it, where that is more than mending the annotations.
_REMEDIES = {
    NO_MASK: "only objects with a mask can be evaluated: export polygons or masks (RLE) with the boxes",
    CROWD: 'crowds = "objects" under [options] of the card takes crowds as objects',
    BELOW_THRESHOLD: "above = N under [options] of the card sets the threshold of masks",
    NO_AREA: "only shapes with an area can be evaluated: polygons, rectangles, circles, ellipses, masks",
    IGNORED: "look at the ignore regions: they cover the objects",
}


def sentences(left_out: Mapping[str, int]) -> list[str]:
    """A sentence for each kind, in the order of the constants; of kinds that are not known (a reader's own) last."""
    order = {kind: n for n, kind in enumerate(_WORDS)}
    kinds = sorted((k for k, n in left_out.items() if n), key=lambda k: (order.get(k, len(order)), k))
    return [counted(left_out[k], *_words(k)) for k in kinds]


def remedies(left_out: Mapping[str, int]) -> list[str]:
    """What may be done about it, a clause for each kind of which something is to be said."""
    return [text for kind, text in _REMEDIES.items() if left_out.get(kind)]


def image_notes(notes: Mapping[str, int]) -> list[str]:
    """`3 images: <note>` for each note of `sambench.notes` with the number of images that have it."""
    return [f"{counted(n, 'image')}: {text}" for text, n in notes.items() if n]


@dataclass
class Tally:
    """Sums over images. left_out: by kind. notes: images by note."""

    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, left_out: Mapping[str, int], notes: Iterable[str]) -> None:
        """One image."""
        self.left_out.update(left_out)
        self.notes.update(set(notes))

    def sentences(self) -> list[str]:
        return sentences(self.left_out) + image_notes(self.notes)


def _words(kind: str) -> tuple[str, str]:
    return _WORDS.get(kind, (f"annotation left out: {kind}", f"annotations left out: {kind}"))
