"""Categories as phrases: two of one name are one phrase, with the instances of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sambench.concepts import ConceptTruth
from sambench.loaders.coco import CocoJson
from sambench.notes import noting

NAMES = {1: "cup", 2: "plate", 5: "paper_cup", 7: "paper cup", 9: "cup"}


def dataset(folder: Path, rule: str, annotated: list[int], names: dict[int, str] = NAMES, **lists: list[int]) -> CocoJson:
    """An image with a square an annotation, of these categories."""
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "1.png")
    squares: list[dict[str, Any]] = [
        {"id": n, "image_id": 1, "category_id": c, "iscrowd": 0, "segmentation": [[5 * n, 2, 5 * n + 4, 2, 5 * n + 4, 9, 5 * n, 9]]}
        for n, c in enumerate(annotated, 1)
    ]
    image = {"id": 1, "file_name": "1.png", "height": 40, "width": 60, **lists}
    # Not in the order of ids: which category names the phrase must not depend on it.
    categories = [{"id": c, "name": name, "frequency": "fcr"[c % 3]} for c, name in reversed(names.items())]
    file = {"images": [image], "categories": categories, "annotations": squares}
    (folder / "annotations.json").write_text(json.dumps(file))
    return CocoJson(folder, "toy", concepts=rule)  # type: ignore[arg-type]


def asked(found: CocoJson) -> dict[str, tuple[str, int, bool]]:
    """By phrase its id, the number of its instances, whether they are all."""
    concepts: tuple[ConceptTruth, ...] = found.load("1").concepts
    assert len({c.phrase for c in concepts}) == len(concepts) == found.index()[0].n_masks
    return {c.phrase: (c.concept_id, len(c.annotations[0].instances), c.exhaustive) for c in concepts}


def test_categories_of_one_name_are_one_phrase(tmp_path: Path) -> None:
    found = dataset(tmp_path, "exhaustive", [1, 9, 9, 7])
    with noting() as said:
        assert asked(found) == {"cup": ("1", 3, True), "plate": ("2", 0, True), "paper cup": ("5", 1, True)}
    assert list(said) == [
        "categories 1, 9 have one name: they are asked for once, as 'cup'",
        "categories 5, 7 have one name: they are asked for once, as 'paper cup'",
    ]


@pytest.mark.parametrize(
    ("annotated", "negative", "not_exhaustive", "expected"),
    [
        ([1, 9], [], [], ("1", 2, True)),
        ([9], [1], [], ("1", 1, True)),
        ([], [1, 9], [], ("1", 0, True)),
        ([1], [], [], ("1", 1, False)),  # of the other nothing is known on this image
        ([1, 9], [], [9], ("1", 2, False)),
        ([1], [], [9], ("1", 1, False)),
        ([], [9], [], ("1", 0, False)),
        ([], [], [], None),
    ],
)
def test_what_is_known_of_a_phrase_is_what_is_known_of_all_its_categories(
    tmp_path: Path, annotated: list[int], negative: list[int], not_exhaustive: list[int], expected: Any
) -> None:
    lists = {"neg_category_ids": [*negative, 2], "not_exhaustive_category_ids": not_exhaustive}
    found = asked(dataset(tmp_path, "federated", annotated, **lists))
    assert found == {**({"cup": expected} if expected else {}), "plate": ("2", 0, True)}


def test_of_several_frequencies_the_highest_counts(tmp_path: Path) -> None:
    found = dataset(tmp_path, "exhaustive", [1], {1: "cup", 2: "cup", 3: "cup", 4: "fork"})
    assert {c.phrase: c.subset for c in found.load("1").concepts} == {"cup": "frequent", "fork": "common"}


def test_the_digest_tells_merged_phrases_from_those_of_before(tmp_path: Path) -> None:
    found = dataset(tmp_path, "exhaustive", [1])
    masks = CocoJson(tmp_path, "toy").annotation_digest()
    assert found.annotation_digest() != masks
    plain = dataset(tmp_path, "exhaustive", [1], {1: "cup", 2: "plate"})
    assert plain.annotation_digest() == CocoJson(tmp_path, "toy").annotation_digest()
