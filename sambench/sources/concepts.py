"""`concepts:FILE`: anyone's answers to phrases, from a results file in COCO's form with the phrase in every entry.

    [{"image_id": 42, "phrase": "red mug", "segmentation": {"size": [height, width], "counts": "..."}, "score": 0.9}, ...]

A phrase without entries is one that nothing was found for. Phrases are compared letter by letter. A file in which no entry has a
phrase is one of SAM 3's evaluator, whose `image_id` is that of a pair of image and phrase: the dataset's ids of phrases are taken
for it, which SA-Co's annotation files have; where they could as well be ids of images, the file is refused. Scores below the task's
threshold count for AP and calibration alone, so a file should have them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sambench.concepts import ConceptPrediction, ConceptTruth
from sambench.errors import DataError, near_names
from sambench.loaders.coco_results import Detections, read_results
from sambench.loaders.results_check import check_ids
from sambench.notes import note
from sambench.pixels.region_masks import RegionMasks
from sambench.sources.base import ModelSpec, Progress, ResolvedModel
from sambench.sources.inputs import place_of, resolved_file, results_contents, same_contents
from sambench.types import Dataset, Gives

PREFIX = "concepts:"
LOOKED_AT = 20  # images whose phrases are compared before a run; each is when it is its turn


class ConceptFile:
    """A `sambench.concepts.ConceptSource`. Raises DataError where the file is none, or does not say what its answers are to."""

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = read_results(path)
        # Beside a category id a phrase was once overlooked: what was measured of such a file is not found again.
        overlooked = {"phrases_beside_categories": True} if self.results.n_phrases and self.results.n_categories else {}
        self.identity: Mapping[str, Any] = {"file_sha256": self.results.sha256(), **overlooked}
        lacking = len(self.results) - self.results.n_phrases
        self.by_pair = bool(len(self.results)) and lacking == len(self.results)
        if lacking and not self.by_pair:
            raise DataError(
                "answers to phrases are in a file of which some entries have no phrase",
                where=path,
                expected='"phrase" in every entry, or in none (then image_id is that of a pair of image and phrase)',
                found=f"{lacking:,} of {len(self.results):,} entries without one",
                remedy="write the phrase that each was found for",
            )

    def answers(self, image_id: str, size: tuple[int, int], concepts: Sequence[ConceptTruth]) -> list[ConceptPrediction]:
        """One a concept. Raises DataError: an entry without a mask, a broken one or one of another size, a score that is none."""
        if self.by_pair:
            return [self._prediction(self.results.of(c.concept_id), size) for c in concepts]
        found, asked = self.results.of(image_id), {c.phrase for c in concepts}
        other = [p for p in found.phrases if p not in asked]
        if other:
            note("answers to phrases that the dataset does not ask for on their image are left out")
            self._refuse_near(other, asked, image_id)
        of = {p: [i for i, q in enumerate(found.phrases) if q == p] for p in asked}
        return [self._prediction(found.take(of[c.phrase]), size) for c in concepts]

    def _refuse_near(self, other: Sequence[str | None], asked: Collection[str], image_id: str) -> None:
        """A phrase in other letters is a mistake of the file's, not another phrase."""
        plain = {_plain(p): p for p in asked}
        for phrase in other:
            meant = plain.get(_plain(phrase or ""))
            if meant is not None:
                raise DataError(
                    "a phrase is written in another way than the dataset's",
                    where=f"{self.path}, image {image_id}",
                    expected=repr(meant),
                    found=repr(phrase),
                    remedy="write phrases exactly as the dataset has them",
                )

    def _prediction(self, found: Detections, size: tuple[int, int]) -> ConceptPrediction:
        self._check_entries(found)
        return ConceptPrediction(RegionMasks([found.region(i, *size) for i in range(len(found))], *size), found.score)

    def _check_entries(self, found: Detections) -> None:
        for i, score in enumerate(found.score.tolist()):
            if not 0 <= score <= 1:
                expected = "a score in [0, 1], the probability that the mask is an instance"
                raise DataError("an answer's score is no probability", where=found.where(i), expected=expected, found=score)
            if not found.has_mask(i):
                raise DataError("an answer has no mask", where=found.where(i), expected="segmentation", found="none")

    def check(self, dataset: Dataset, wanted: Sequence[str]) -> list[str]:
        """What must be said of the file beside a dataset, of which the images `wanted` run. Raises DataError if of another."""
        samples = [dataset.load(i) for i in wanted[:LOOKED_AT]]
        if self.by_pair:
            pairs = [c.concept_id for s in samples for c in s.concepts]
            if not any(self.results.count_of(p) for p in pairs):
                self._refuse('"phrase" in every entry, or ids of pairs of image and phrase', pairs, self.results.image_ids)
            self._refuse_ids_of_images([r.image_id for r in dataset.index()], pairs)
            return [f"{self.path.name}: no entry has a phrase: its image_id is taken for the id of a pair of image and phrase"]
        notes = check_ids(self.results, [r.image_id for r in dataset.index()], None, extra="drop")
        looked = [self.results.of(s.image_id) for s in samples]
        for found in looked:
            self._check_entries(found)
        phrases = [p for found in looked for p in found.phrases if p]
        asked = [c.phrase for s in samples for c in s.concepts]
        if phrases and not set(phrases) & set(asked):
            self._refuse("phrases that the dataset asks for", asked, phrases)
        return [f"{self.path.name}: {text}" for text in notes]

    def _refuse_ids_of_images(self, image_ids: Sequence[str], pairs: Sequence[str]) -> None:
        """Ids of pairs name one pair each, and nothing else: a category's id, say, is that of its phrase on every image."""
        shared = [i for i in image_ids if self.results.count_of(i)]
        again = [p for p, n in Counter(pairs).items() if n > 1]
        found = f"image_id {shared[0]!r}, which is an image's" if shared else ""
        if shared or again:
            raise DataError(
                "answers without phrases could be to any phrase of their image",
                where=self.path,
                expected='"phrase" in every entry, for the dataset has no ids that name one pair of image and phrase alone',
                found=found or f"phrases with one id on several images, {again[0]!r}",
                remedy="write the phrase that each answer was found for",
            )

    def _refuse(self, what: str, asked: Sequence[str], found: Sequence[str]) -> None:
        near = near_names(found[0], asked, 1) if found else []
        raise DataError(
            "a file of answers is of other phrases than the dataset",
            where=self.path,
            expected=f"{what}, as {', '.join(map(repr, asked[:3]))}",
            found=f"{', '.join(map(repr, found[:3]))} in the {LOOKED_AT} images looked at",
            remedy=f"did you mean {near[0]!r}?" if near else "give the answers to this dataset's phrases",
        )


def _plain(phrase: str) -> str:
    return " ".join(phrase.casefold().replace("_", " ").split())


class ConceptFiles:
    """A `ModelSource`: each model is one file, known by its content."""

    form = f"{PREFIX}FILE"
    stored = True

    def gives(self, name: str) -> Gives | None:
        return "concepts"

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        return resolved_file(
            name, "concepts", "answers", lambda path: ConceptFile(path).identity, options=options, precision=precision
        )

    def build(self, spec: ModelSpec) -> ConceptFile:
        found = ConceptFile(place_of(spec.name, PREFIX))
        same_contents(spec, results_contents(found.identity))
        return found

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return self.build(spec).check(dataset, image_ids)


SOURCE = ConceptFiles()
