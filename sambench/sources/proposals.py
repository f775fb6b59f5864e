"""`proposals:FILE`: masks of any method from a results file in COCO's form, as the proposal task takes them.

    [{"image_id": 42, "segmentation": {"size": [height, width], "counts": "..."}, "score": 0.24}, ...]

Or `proposals:FOLDER`: a JSON a picture in SA-1B's form, as `sambench masks` writes it (`sambench.loaders.sa1b`), named by the
image's id or by its file's name. Their score is the task's own for automatic masks, the mean of predicted IoU and stability,
and the predicted IoU in a picture whose masks have no stability.

Categories and boxes are not read. Of more proposals than count those of the highest scores are taken, the earlier ones among
equals. Masks without pixels are left out: they can find nothing, and would take the places of others. A mask that stands there
twice counts twice, as in COCO's evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sambench.errors import DataError
from sambench.files import content
from sambench.files.unchanged import Unchanged
from sambench.loaders import values
from sambench.loaders.coco_masks import region_of
from sambench.loaders.coco_results import read_results
from sambench.loaders.results_check import check_ids
from sambench.loaders.sa1b import MaskFile, mask_files, read_mask_file
from sambench.sources.base import ModelSpec, Progress, ResolvedModel
from sambench.sources.inputs import place_of, resolved_file, results_contents, same_contents
from sambench.text import counted
from sambench.types import Dataset, Gives, ListsImages, Proposals, reader_of

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
        of = f"of {n:,} proposals in {counted(len(chosen), 'image')} looked at"
        if empty:
            notes.append(f"{empty:,} {of} are empty masks: they are left out")
        if duplicates:
            notes.append(
                f"{duplicates:,} {of} stand there twice; each takes a place of its own"
            )
        return [f"{self.path.name}: {note}" for note in notes]


class ProposalFolder:
    """A `ProposalSource` of a folder with one file of masks for each picture. Raises DataError where it holds none."""

    device_kind = "cpu"
    precision = "fp32"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = mask_files(folder)
        if not files:
            expected = "a JSON of masks for each image, as `sambench masks` writes them"
            raise DataError("a folder holds no proposals", where=folder, expected=expected, found="no JSON files")
        self._held = Unchanged(files.values(), f"masks of {folder.name}")
        digest = content.digest_of({name: self._held.sha256[path] for name, path in files.items()})
        self.identity: Mapping[str, Any] = {"files_sha256": digest}
        self.files = dict(files)
        by_name: dict[str, list[Path]] = {}
        for image_id, path in files.items():
            name = image_id.rpartition("/")[2]
            number = name.lstrip("0") if name.isdecimal() else name  # COCO's 000000000042.jpg is image 42
            for key in {name, number} - {"", image_id}:
                by_name.setdefault(key, []).append(path)
        self.files |= {key: paths[0] for key, paths in by_name.items() if len(paths) == 1 and key not in files}

    def proposals(self, image_id: str, size: tuple[int, int], most: int) -> Proposals:
        """The `most` of highest score that have pixels; none of an image without a file.

        Raises DataError: a mask of another size or a broken one, a score that is no number.
        """
        if image_id not in self.files:
            return Proposals([], np.zeros(0, np.float64))
        held = self._read(self.files[image_id])
        scores = _scores(held)
        rles: list[dict[str, Any]] = []
        kept: list[float] = []
        for i in np.argsort(-scores, kind="stable"):
            if len(rles) == most:
                break
            one = held.annotations[i]
            region = region_of(one["segmentation"], *size, where=held.where(one))
            if region.area:
                rles.append(dict(region.rle()))
                kept.append(float(scores[i]))
        return Proposals(rles, np.array(kept, np.float64))

    def _read(self, path: Path) -> MaskFile:
        """A file as it was hashed: another content would bear its name. Raises DataError."""
        try:
            return read_mask_file(path)
        finally:  # also where what is there now is broken
            self._held.check(path, "a file of masks")

    def check(self, dataset: Dataset, wanted: Sequence[str]) -> list[str]:
        """What must be said of the folder beside a dataset, of which the images `wanted` run. Raises DataError if of another."""
        bare = [i for i in wanted if i not in self.files]
        if wanted and len(bare) == len(wanted):
            raise DataError(
                "a folder of proposals is of other images than the dataset",
                where=self.folder,
                expected=f"files named by the dataset's images, as {bare[0]}.json",
                found=f"{len(self.files):,} names, as {next(iter(self.files))}",
                remedy="name the files by image ids or by the images' file names",
            )
        for image_id in [i for i in wanted if i in self.files][:LOOKED_AT]:
            sample = dataset.load(image_id)
            self.proposals(image_id, (sample.height, sample.width), LOOKED_AT)
        note = f"{self.folder.name}: {len(bare):,} of {len(wanted):,} images have no file of masks, and no proposal"
        return [note] if bare else []


def _scores(held: MaskFile) -> npt.NDArray[np.float64]:
    """float64 [N]: the mean of predicted IoU and stability, or the predicted IoU where one of the masks has no stability."""
    iou = np.array([values.number(a.get("predicted_iou"), "predicted_iou", held.where(a)) for a in held.annotations], np.float64)
    told = [a.get("stability_score") for a in held.annotations]
    if any(map(values.absent, told)):
        return iou
    where = [held.where(a) for a in held.annotations]
    stability = np.array([values.number(s, "stability_score", w) for s, w in zip(told, where, strict=True)], np.float64)
    return (iou + stability) / 2


def _source(path: Path) -> ProposalFile | ProposalFolder:
    return ProposalFolder(path) if path.is_dir() else ProposalFile(path)


class ProposalFiles:
    """A `ModelSource`: each model is one file, or one folder of files, known by its content."""

    form = f"{PREFIX}FILE"
    stored = True

    def gives(self, name: str) -> Gives | None:
        return "proposals"

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        return resolved_file(
            name, "proposals", "proposals", lambda path: _source(path).identity, options=options, precision=precision
        )

    def build(self, spec: ModelSpec) -> ProposalFile | ProposalFolder:
        found = _source(place_of(spec.name, PREFIX))
        same_contents(spec, results_contents(found.identity))
        return found

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return self.build(spec).check(dataset, image_ids)


SOURCE = ProposalFiles()
