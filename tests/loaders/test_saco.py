"""SA-Co's pairs and frames, and COCO's and LVIS's categories as concepts: what is read, and each kind of broken file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sambench import cards, fixtures
from sambench.errors import DataError, SambenchError, UsageError
from sambench.loaders.coco import CocoJson
from sambench.loaders.coco_concepts import phrase_of
from sambench.loaders.open import open_dataset
from sambench.loaders.saco import SacoPairs
from sambench.loaders.saco_frames import SacoFrames
from sambench.sources import datasets
from sambench.types import Dataset, Sample

GOLD = [f"gold_attributes_merged_{a}_release_test.json" for a in "abc"]
PICTURE = "1/1001/metaclip_1_1001_c1.jpeg"


def opened(name: str, root: Path, variant: str | None = None) -> Dataset:
    fixtures.write(name, root)
    return open_dataset(cards.dataset_card(name), variant=variant, root=root)


def told(sample: Sample) -> dict[str, list[tuple[int, bool]]]:
    """By phrase, each annotator's number of instances and whether they are all."""
    return {c.phrase: [(len(a.instances), a.exhaustive) for a in c.annotations] for c in sample.concepts}


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_three_annotators(tmp_path: Path) -> None:
    dataset = opened("saco_gold_attributes", tmp_path)
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [(PICTURE, 3), ("1/1002/metaclip_1_1002_c2.jpeg", 2)]
    first, second = (dataset.load(r.image_id) for r in dataset.index())
    assert told(first) == {
        "chili": [(2, True), (1, True), (2, True)],
        "the fish ball": [(1, True), (0, True), (1, True)],
        "blue ladle": [(0, True)] * 3,
    }
    assert told(second)["rice"] == [(1, True), (1, True), (0, False)], "the third's is the mask of a group"
    assert second.left_out == {"mask of a group, no instance": 1}
    assert not second.n_dropped
    rice = second.concepts[1]
    assert (rice.concept_id, rice.subset, rice.exhaustive) == ("10000004", "attributes", False)
    assert [a.annotator for a in rice.annotations] == ["a", "b", "c"]


def test_frames(tmp_path: Path) -> None:
    dataset = opened("saco_veval_sg", tmp_path)
    numbers = {r.image_id: {p: n[0][0] for p, n in told(dataset.load(r.image_id)).items()} for r in dataset.index()}
    assert numbers["sg_000001/00000"] == {"a cup": 1, "the right hand": 1, "thick gold chain": 0}
    assert numbers["sg_000001/00001"] == {"a cup": 0, "the right hand": 1, "thick gold chain": 0}
    assert numbers["sg_000002/00000"] == {"the right hand": 1}
    sparse = open_dataset(cards.dataset_card("saco_veval_sg"), variant="sparse", root=tmp_path)
    assert [r.image_id for r in sparse.index()] == ["sg_000001/00000", "sg_000002/00000"]
    with pytest.raises(UsageError, match="does not fit"):
        SacoFrames(tmp_path, "x", every=0)


def test_coco_asks_for_every_category(tmp_path: Path) -> None:
    dataset = opened("coco_2017_val", tmp_path, "concepts")
    assert [r.n_masks for r in dataset.index()] == [2, 2, 2]
    samples = {r.image_id: dataset.load(r.image_id) for r in dataset.index()}
    assert told(samples["139"]) == {"person": [(1, False)], "toothbrush": [(0, True)]}, "a crowd of people is there too"
    assert told(samples["285"]) == {"person": [(0, True)], "toothbrush": [(1, True)]}
    assert told(samples["632"]) == {"person": [(0, True)], "toothbrush": [(0, True)]}
    assert samples["139"].instances == ()
    assert samples["139"].ignore is None
    plain = open_dataset(cards.dataset_card("coco_2017_val"), root=tmp_path)
    assert plain.load("139").concepts == ()
    assert plain.load("139").instances


def test_lvis_asks_for_what_is_known(tmp_path: Path) -> None:
    dataset = opened("lvis_v1_val", tmp_path, "concepts")
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [("1", 2), ("9", 2)]
    assert told(dataset.load("1")) == {"aerosol can": [(1, True)], "zucchini": [(1, False)]}
    assert told(dataset.load("9")) == {"aerosol can": [(0, True)], "zucchini": [(1, False)]}
    assert [c.subset for c in dataset.load("9").concepts] == ["common", "rare"]
    lists = ("neg_category_ids", "not_exhaustive_category_ids")
    change(tmp_path / "lvis_v1_val.json", lambda c: [c["images"][0].pop(k) for k in lists])
    with pytest.raises(DataError, match="of which categories it has none"):
        dataset.load("1")


def test_phrases_are_the_files_own() -> None:
    assert [phrase_of(n) for n in ("aerosol_can", "bow_(weapon)", "person", "_")] == ["aerosol can", "bow (weapon)", "person", "_"]
    with pytest.raises(UsageError, match="option concepts"):
        CocoJson(Path(), "x", concepts="some")  # type: ignore[arg-type]


def test_anyones_file(tmp_path: Path) -> None:
    fixtures.write("saco_gold_attributes", tmp_path)
    name = "saco:" + ",".join([*(str(tmp_path / g) for g in GOLD), str(tmp_path / "images")])
    dataset = datasets.build(datasets.resolve(name))
    assert told(dataset.load(PICTURE))["chili"] == [(2, True), (1, True), (2, True)]
    assert datasets.gives_of(name) == "concepts"
    one = datasets.build(datasets.resolve(f"saco:{tmp_path / GOLD[1]}"))
    assert told(one.load(PICTURE))["chili"] == [(1, True)]
    assert datasets.recognised_by(tmp_path / GOLD[0]) == [f"saco:{tmp_path / GOLD[0]}"]
    fixtures.write("coco_2017_val", tmp_path / "coco")
    coco = tmp_path / "coco" / "annotations" / "instances_val2017.json"
    assert [n.partition(":")[0] for n in datasets.recognised_by(coco)] == ["coco"]
    with pytest.raises(DataError, match="another form"):
        datasets.resolve(f"saco:{coco},{tmp_path / 'coco' / 'val2017'}")


def other_phrase(content: dict[str, Any]) -> None:
    content["images"][0]["text_input"] = "pepper"


def no_phrase(content: dict[str, Any]) -> None:
    del content["images"][0]["text_input"]


def twice(content: dict[str, Any]) -> None:
    content["images"][1]["id"] = content["images"][0]["id"]


def lost_pair(content: dict[str, Any]) -> None:
    gone = content["images"].pop(0)["id"]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != gone]


def stray(content: dict[str, Any]) -> None:
    content["annotations"][0]["image_id"] = 5


def two_sizes(content: dict[str, Any]) -> None:
    content["images"][0]["width"] = 61


def broken_mask(content: dict[str, Any]) -> None:
    content["annotations"][0]["segmentation"]["counts"] = "0"


def odd_flag(content: dict[str, Any]) -> None:
    content["images"][0]["is_instance_exhaustive"] = "maybe"


@pytest.mark.parametrize(
    ("which", "edit", "said"),
    [
        (1, other_phrase, "do not hold the same pairs"),
        (2, lost_pair, "do not hold the same pairs"),
        (0, no_phrase, "lacks a key"),
        (0, twice, "same id"),
        (1, stray, "belongs to no pair"),
        (0, two_sizes, "two sizes"),
        (2, broken_mask, "broken RLE"),
        (0, odd_flag, "is_instance_exhaustive"),
    ],
)
def test_broken_pairs(tmp_path: Path, which: int, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    dataset = opened("saco_gold_attributes", tmp_path)
    change(tmp_path / GOLD[which], edit)
    with pytest.raises(DataError, match=said) as e:
        dataset.load(PICTURE)
    assert GOLD[which] in str(e.value.where), "which file"
    assert e.value.remedy


def test_a_missing_annotator(tmp_path: Path) -> None:
    fixtures.write("saco_gold_attributes", tmp_path)
    (tmp_path / GOLD[2]).unlink()
    with pytest.raises(SambenchError) as e:
        open_dataset(cards.dataset_card("saco_gold_attributes"), root=tmp_path).index()
    assert "<a, b, c>" in str(e.value)
    with pytest.raises(DataError, match="missing") as lost:
        SacoPairs(tmp_path, "x", annotations=GOLD).index()
    assert GOLD[2] in str(lost.value.found)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda c: c["video_np_pairs"][0].update(noun_phrase="a mug"), "not its category's name"),
        (lambda c: c["video_np_pairs"].pop(0), "belongs to no phrase of its video"),
        (lambda c: c["video_np_pairs"][0].update(video_id=9), "belongs to no video"),
        (lambda c: c["annotations"][0]["segmentations"].pop(), "no masks"),
        (lambda c: c["videos"][0].update(height=None), "has no size"),
        (lambda c: c.pop("video_np_pairs"), "not in SA-Co/VEval's form"),
    ],
)
def test_broken_frames(tmp_path: Path, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    dataset = opened("saco_veval_sg", tmp_path)
    change(tmp_path / "annotation" / "saco_veval_smartglasses_test.json", edit)
    with pytest.raises(DataError, match=said):
        dataset.load("sg_000001/00000")


def test_cards_of_all_parts() -> None:
    known = cards.dataset_cards()
    for suite, n in (("saco_gold", 7), ("saco_silver", 10)):
        members = cards.suite_cards()[suite].members
        assert len(members) == n
        for member in members:
            card = known[member]
            assert (card.mask_kind, len(card.options["annotations"])) == ("concept", 3 if suite == "saco_gold" else 1)
            assert card.options["subset"] == member.removeprefix(f"{suite}_")
            assert card.licence
            assert card.access.steps
    assert known["lvis_v1_val"].variant_holding("concepts") == known["coco_2017_val"].variant_holding("concepts") == "concepts"
