"""`proposals:FILE`: masks of any method from a results file in COCO's form, as the proposal task takes them.

    [{"image_id": 42, "segmentation": {"size": [height, width], "counts": "..."}, "score": 0.24}, ...]

Categories and boxes are not read. Of more proposals than count those of the highest scores are taken, the earlier ones among
equals. Masks without pixels are left out: they can find nothing, and would take the places of others. A mask that stands there
twice counts twice, as in COCO's evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sambench.errors import DataError, UsageError
from sambench.loaders.coco_results import read_results
from sambench.loaders.results_check import check_ids
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, slug
from sambench.sources.inputs import place_of
from sambench.types import Dataset, ListsImages, Proposals, reader_of

PREFIX = "proposals:"
LOOKED_AT = 20  # images whose masks are looked at before a run; each is when it is its turn


class ProposalFile:
    """A `ProposalSource`. Raises DataError where the file is none, or has entries without a mask."""

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = read_results(path)
        self.identity: Mapping[str, Any] = {"file_sha256": self.results.sha256()}
        lacking = len(self.results) - self.results.n_masks
        if lacking:
            raise DataError(
                "proposals are masks, and a file has some without",
                where=path,
                expected="a segmentation in every entry",
                found=f"{lacking:,} of {len(self.results):,} entries without one",
                remedy="write the masks; boxes alone can prompt a model: sambench run instances --boxes FILE",
            )

    def proposals(self, image_id: str, size: tuple[int, int], most: int) -> Proposals:
        """The `most` of highest score that have pixels. Raises DataError: a mask of another size, or a broken one."""
        found = self.results.of(image_id)
        order = np.argsort(-found.score, kind="stable")
        rles: list[dict[str, Any]] = []
        scores: list[float] = []
        for i in order:
            if len(rles) == most:
                break
            rle = found.rle(int(i), *size)
            if coco_mask.area(rle):
                rles.append(rle)
                scores.append(float(found.score[i]))
        return Proposals(rles, np.array(scores, np.float64))

    def check(self, dataset: Dataset, wanted: Sequence[str]) -> list[str]:
        """What must be said of the file beside a dataset, of which the images `wanted` run. Raises DataError if of another."""
        reader = reader_of(dataset)
        ids = reader.all_image_ids() if isinstance(reader, ListsImages) else [r.image_id for r in dataset.index()]
        notes = check_ids(self.results, ids, None, extra="drop")
        empty = duplicates = n = 0
        chosen = [i for i in wanted if self.results.count_of(i)][:LOOKED_AT]
        for image_id in chosen:
            sample = dataset.load(image_id)
            found = self.results.of(image_id)
            n += len(found)
            duplicates += found.n_duplicates()
            empty += sum(not coco_mask.area(found.rle(i, sample.height, sample.width)) for i in range(len(found)))
        of = f"of {n:,} proposals in {len(chosen):,} images looked at"
        if empty:
            notes.append(f"{empty:,} {of} are empty masks: they are left out")
        if duplicates:
            notes.append(
                f"{duplicates:,} {of} stand there twice; each takes a place of its own"
            )
        return [f"{self.path.name}: {note}" for note in notes]


class ProposalFiles:
    """A `ModelSource`: each model is one file, known by its content."""

    form = f"{PREFIX}FILE"
    stored = True

    def gives(self, name: str) -> str | None:
        return "proposals"

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        for key in options:
            raise UsageError("a file of proposals has no options", where="-M", found=key, remedy="leave it out")
        if precision != "fp32":
            raise UsageError("proposals from a file have no precision", where="--precision", found=precision, remedy="leave it out")
        path = place_of(name, PREFIX)
        label = f"proposals_{slug(path.stem)}"
        identity = {"proposals": dict(ProposalFile(path).identity), "precision": "fp32", "device_kind": "cpu"}
        spec = ModelSpec(f"{PREFIX}{path}", {}, "cpu", "fp32")
        return ResolvedModel(spec, label, path.stem, identity, False, gives="proposals")

    def build(self, spec: ModelSpec) -> ProposalFile:
        return ProposalFile(place_of(spec.name, PREFIX))

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return self.build(spec).check(dataset, image_ids)


SOURCE = ProposalFiles()
