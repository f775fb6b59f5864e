"""Masks of a rating study: of models that are run now, or read from a file of a model that ran elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sambench import cards
from sambench.errors import DataError, RunError, message_of, shown
from sambench.files import content
from sambench.loaders.coco_masks import region_of
from sambench.loaders.open import open_dataset
from sambench.loaders.rated import rescaled_region
from sambench.pixels.region import RLE, Region
from sambench.rating.items import Drawn
from sambench.store.views import CellView, read_cell
from sambench.types import Instance, Sample

Run = Callable[..., Path]  # as `sambench.engine.run.run_cell` with its `on_event`: the directory of the one cell that was asked for
Models = Sequence[tuple[str, Mapping[str, Any]]]
MasksOf = dict[str, RLE]  # by `place`


def objects_of(d: Drawn) -> Iterator[tuple[Sample, Instance]]:
    """Every object of a study with its rescaled image, in the order of the items."""
    dataset = open_dataset(cards.dataset_card(d.card), root=d.folder)
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        for instance in sample.instances:
            yield sample, instance


def predict(
    task: Literal["point", "box"],
    models: Models,
    drawn: Sequence[Drawn],
    out: Path,
    run: Run,
    **placing: Any,
) -> dict[tuple[str, str], MasksOf]:
    """{(dataset, model): masks} of models that run here; rows are kept in `out`, and what is there is not computed again.

    run: evaluates. placing: devices, workers and precision, which it is given.
    Raises KeyboardInterrupt when it was interrupted, RunError
    where a model failed on an image.
    """
    found: dict[tuple[str, str], MasksOf] = {}
    for d in drawn:
        for model in models:
            folder = run(
                task=task,
                datasets=(d.card,),
                models=(model,),
                settings={"clicks": (1,)} if task == "point" else {},
                subset="full",
                out=str(out),
                root=str(d.folder.resolve()),
                **placing,
            )
            cell = read_cell(folder)
            # A model that is there already, with other options or weights: its name alone would not tell them apart.
            taken = (d.dataset, cell.model) in found
            found[d.dataset, folder.parent.name.split("-", 1)[1] if taken else cell.model] = _read_masks(cell)
    return found


def _read_masks(cell: CellView) -> MasksOf:
    """The model's top-ranked masks. Raises RunError where images failed."""
    failures = cell.record.failures
    if failures:
        raise RunError(
            f"{cell.model} failed on {len(failures)} images of a rating study",
            where=f"image {failures[0].image_id!r} of {cell.dataset}",
            found=failures[0].error,
            remedy="mend the cause and issue the same command again: what is finished is kept",
        )
    rows = cell.scored(["image_id", "object_id", "height", "width", "top_index", "mask_rles"])
    return {
        place(r["image_id"], r["object_id"]): {"size": [r["height"], r["width"]], "counts": r["mask_rles"][r["top_index"]]}
        for r in rows.to_dict("records")
    }


def given_masks(name: str, file: Path, drawn: Sequence[Drawn]) -> Iterator[tuple[Drawn, MasksOf]]:
    """A model's masks from a JSON list of {dataset?, image_id, object_id, segmentation}; every object of the study must be
    there.
    """
    try:
        entries = json.loads(content.read_bytes(file))
    except (OSError, ValueError, RecursionError) as e:
        raise DataError("a file of masks cannot be read", where=shown(file), expected="a JSON list", found=message_of(e)) from e
    if not isinstance(entries, list):
        raise DataError("a file of masks is not a list", where=file, found=type(entries).__name__)
    given: dict[tuple[str, str], tuple[int, Any]] = {}
    twice: dict[tuple[str, str], str] = {}
    for n, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"image_id", "object_id", "segmentation"} <= entry.keys():
            keys = ", ".join(entry) if isinstance(entry, dict) else type(entry).__name__
            raise DataError(
                "an entry of a file of masks lacks keys",
                where=f"{file}, entry {n}",
                expected="image_id, object_id, segmentation (polygons or RLE)",
                found=shown(keys),
            )
        key = str(entry.get("dataset", "")), place(entry["image_id"], entry["object_id"])
        if key in given:
            twice[key] = f"entries {given[key][0]} and {n}"
        given[key] = (n, entry["segmentation"])
    for d in drawn:
        masks: MasksOf = {}
        lacking = []
        for sample, instance in objects_of(d):
            at = place(sample.image_id, instance.object_id)
            key = (d.dataset, at) if (d.dataset, at) in given else ("", at)
            if key in twice:
                where = f"{file}, {twice[key]}"
                raise DataError("an object has two masks in a file of masks", where=where, found=shown(at), remedy="remove one")
            n, segmentation = given.get(key, (-1, None))
            if segmentation is None:
                lacking.append(at.replace("\t", "/"))
                continue
            masks[at] = _on_frame(segmentation, sample, f"{file}, entry {n}").rle()
        if lacking:
            raise DataError(
                f"{len(lacking)} of {d.n_objects} objects of {d.dataset} have no mask of {name!r}",
                where=file,
                found=f"nothing for {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}",
                remedy="prompt the model with every line of work/prompts.csv (`--prompts-only` writes it and stops)",
            )
        yield d, masks


def place(image_id: object, object_id: object) -> str:
    """An object's key among the masks of a dataset."""
    return f"{image_id}\t{object_id}"


def _on_frame(segmentation: Any, sample: Sample, where: str) -> Region:
    """A mask of the image as it is rated, or of the original's size: scaled down then."""
    size = segmentation.get("size") if isinstance(segmentation, dict) else [sample.height, sample.width]
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise DataError("a mask has no size", where=where, expected="[height, width] in pixels", found=shown(repr(size)))
    height, width = size
    if abs(height * sample.width - width * sample.height) > max(height, width, sample.height, sample.width):
        raise DataError(
            "a mask has another shape than its image", where=where, expected=f"{[sample.height, sample.width]}", found=shown(size)
        )
    return rescaled_region(region_of(segmentation, height, width, where=where), sample.height, sample.width)
