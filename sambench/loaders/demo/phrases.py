"""Phrases of the demo scenes and what three simulated annotators draw for them, for the concept task; the same on every machine.

Of each scene: kinds of thing ("mug"), colours ("red thing"), both ("red mug"), patterns ("striped thing"), and some of each that
are not there. The annotators disagree as people do: about things between two colours, about small things, and about where exactly
an edge is; of very many things one of them stops before the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptTruth
from sambench.loaders.demo.draw import Thing
from sambench.pixels.colours import WORDS, colour_words
from sambench.pixels.region import Region
from sambench.provenance import keyed_hash
from sambench.types import Instance, Sample

NAMES = ("first", "second", "third")
SMALLEST_PX = (40, 60, 110)  # the smallest thing that an annotator draws
SHARE = (0.5, 0.4, 0.6)  # of a thing's pixels, how many have a colour for the annotator to call it by that
TIRED_AFTER = 30  # things of one phrase that the third annotator draws
PRESENT = {"kind": 2, "colour": 2, "colour kind": 2, "striped": 1}  # how many phrases of each form a scene has, at most
ABSENT = {"kind": 1, "colour": 1, "colour kind": 1, "striped": 1}


def phrases_of(samples: Iterable[Sample], striped: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """By image id: phrase, form, and by annotator the ids of the things that they draw, and whether those are all. striped: the ids
    of things with stripes."""
    seen = [(s, _Seen(s, frozenset(striped))) for s in samples]
    kinds = sorted({i.category for s, _ in seen for i in s.instances})
    return {s.image_id: scene.phrases(kinds) for s, scene in seen}


def striped_of(things: Iterable[Thing]) -> list[str]:
    """The ids of those of the dataset's annotated things, in order, whose largest piece has stripes."""
    return [str(n) for n, thing in enumerate(things, 1) if thing.pattern == "stripes"]


class _Seen:
    """A scene as the annotators see it."""

    def __init__(self, sample: Sample, striped: frozenset[str]) -> None:
        self.image_id, self.things, self.striped = sample.image_id, sample.instances, striped
        words = colour_words(sample.image)
        self.shares = {i.object_id: _shares(words, i.region) for i in sample.instances}

    def phrases(self, kinds: Sequence[str]) -> list[dict[str, Any]]:
        """All of the scene, in a fixed order."""
        forms: dict[str, list[str]] = {
            "kind": list(kinds),
            "colour": [f"{c} thing" for c in WORDS],
            "colour kind": [f"{c} {k}" for c in WORDS for k in sorted({i.category for i in self.things})],
            "striped": ["striped thing", *(f"striped {k}" for k in sorted({i.category for i in self.things}))],
        }
        out = []
        for form, phrases in forms.items():
            wanted = {True: PRESENT[form], False: ABSENT[form]}
            for phrase in sorted(phrases, key=lambda p: keyed_hash("phrase", self.image_id, p)):
                drawn = [self._drawn(phrase, a) for a in range(len(NAMES))]
                there = any(d["objects"] for d in drawn)
                if wanted[there]:
                    wanted[there] -= 1
                    out.append({"phrase": phrase, "form": form, "annotations": drawn})
        return out

    def _drawn(self, phrase: str, annotator: int) -> dict[str, Any]:
        first, _, last = phrase.rpartition(" ")
        fitting = [
            i.object_id
            for i in self.things
            if i.region.area >= SMALLEST_PX[annotator]
            and last in ("thing", i.category)
            and (first in ("", "striped") or self.shares[i.object_id][WORDS.index(first)] >= SHARE[annotator])
            and (first != "striped" or i.object_id in self.striped)
        ]
        tired = annotator == len(NAMES) - 1 and len(fitting) > TIRED_AFTER
        return {"objects": fitting[:TIRED_AFTER] if tired else fitting, "exhaustive": not tired}


def _shares(words: Any, region: Region) -> Any:
    """float64 [len(WORDS)]: the shares of a thing's pixels that have each word."""
    h, w = region.array.shape
    inside = words[region.y0 : region.y0 + h, region.x0 : region.x0 + w][region.array]
    return np.bincount(inside, minlength=len(WORDS)) / region.area


def concepts_of(sample: Sample, phrases: Sequence[dict[str, Any]]) -> tuple[ConceptTruth, ...]:
    """The phrases of a scene, with masks. phrases: as `phrases_of` gives them."""
    things = {i.object_id: i for i in sample.instances}
    return tuple(
        ConceptTruth(
            concept_id=str(n + 1),
            phrase=p["phrase"],
            annotations=tuple(
                ConceptAnnotation(
                    tuple(ConceptInstance.of(_drawn_by(a, things[i])) for i in given["objects"]), given["exhaustive"], NAMES[a]
                )
                for a, given in enumerate(p["annotations"])
            ),
            subset=p["form"],
        )
        for n, p in enumerate(phrases)
    )


def _drawn_by(annotator: int, thing: Instance) -> Region:
    """The first draws exactly; of the others everything is up to a pixel off."""
    region = thing.region
    if not annotator:
        return region
    off = keyed_hash("concepts", NAMES[annotator], thing.object_id)
    dy, dx = off % 3 - 1, off // 3 % 3 - 1
    y0, x0 = region.y0 + dy, region.x0 + dx
    top, left = max(0, -y0), max(0, -x0)
    part = region.array[top : region.height - y0, left : region.width - x0]
    moved = Region.from_window(part, y0 + top, x0 + left, region.height, region.width)
    return moved if moved.area else region
