"""Which images are evaluated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sambench import cards
from sambench.cards import DatasetCard, PaperFacts
from sambench.errors import DataError, UsageError
from sambench.loaders.open import open_dataset
from sambench.loaders.subsets import choose_subset
from sambench.provenance import keyed_order
from sambench.types import ImageRecord, Sample


@dataclass(frozen=True)
class Counted:
    """A dataset of which only the index exists."""

    records: tuple[ImageRecord, ...]
    name: str = "toy"
    variant: str = "default"

    def index(self) -> Sequence[ImageRecord]:
        return self.records

    def load(self, image_id: str) -> Sample:
        raise NotImplementedError

    def annotation_digest(self) -> str:
        return ""


def toy(*counts: int) -> Counted:
    return Counted(tuple(ImageRecord(f"img{i:03}", n) for i, n in enumerate(counts)))


def card(images: int = 0, masks: int = 0, subsampled: bool = True) -> DatasetCard:
    base = cards.dataset_card("demo").model_copy(update={"id": "toy"})
    if not masks:
        return base
    paper = PaperFacts(name="Toy", split="all", images=images, masks=masks, subsampled=subsampled)
    return base.model_copy(update={"paper": paper})


def test_paper_draws_whole_images_in_keyed_order_until_the_count_is_reached() -> None:
    dataset = toy(*[3] * 40)
    chosen = choose_subset(dataset, card(10, 31), "paper")
    order = keyed_order([r.image_id for r in dataset.records], "toy")
    assert chosen.image_ids == tuple(order[:11])  # 30 masks after ten images: one more
    assert (chosen.name, chosen.n_masks, chosen.is_paper_size) == ("paper", 33, True)
    assert choose_subset(dataset, card(10, 30), "paper").image_ids == tuple(order[:10])
    assert "never published" in chosen.note
    assert list(order) != sorted(order)


def test_the_order_is_pinned() -> None:
    # Every published subset depends on it: a change of the key or the hash is another protocol.
    assert choose_subset(toy(*[1] * 8), card(), "full").image_ids == (
        "img001", "img007", "img000", "img005", "img004", "img002", "img006", "img003",
    )  # fmt: skip


def test_fewer_masks_than_the_paper_drew() -> None:
    chosen = choose_subset(toy(2, 5, 4), card(100, 10506), "paper")
    assert len(chosen.image_ids) == 3
    assert not chosen.is_paper_size
    assert chosen.note == "the available data holds 11 masks; the paper drew 10506: all are used"


def test_sets_that_the_paper_used_whole() -> None:
    exact = choose_subset(toy(2, 5, 4), card(3, 11, subsampled=False), "paper")
    assert (exact.is_paper_size, exact.note, exact.n_masks) == (True, "", 11)
    other = choose_subset(toy(2, 5), card(3, 11, subsampled=False), "paper")
    assert not other.is_paper_size
    assert "2 images with 7 masks; the paper counts 3 with 11" in other.note


def test_without_a_paper_row_and_full() -> None:
    dataset = toy(2, 5, 4)
    for name in ("paper", "full"):
        chosen = choose_subset(dataset, card(), name)
        assert (chosen.name, chosen.n_masks, chosen.is_paper_size, chosen.note) == (name, 11, False, "")
    assert choose_subset(dataset, card(1, 2), "full").n_masks == 11


def test_digest_is_of_the_ids_alone() -> None:
    a = choose_subset(toy(2, 5, 4), card(), "full")
    b = choose_subset(Counted(tuple(reversed(toy(9, 1, 7).records))), card(), "full")
    assert a.digest == b.digest == hashlib.sha256(b"img000\nimg001\nimg002\n").hexdigest()
    assert a.image_ids == b.image_ids
    assert a.digest != choose_subset(toy(2, 5), card(), "full").digest


def test_images_without_masks_are_left_out_and_said() -> None:
    chosen = choose_subset(toy(2, 0, 4, 0), card(), "full")
    assert set(chosen.image_ids) == {"img000", "img002"}
    assert chosen.note == "2 images without masks left out"
    with pytest.raises(DataError, match="no masks"):
        choose_subset(toy(0, 0), card(), "full")
    with pytest.raises(DataError, match="no masks"):
        choose_subset(toy(), card(), "paper")


def test_a_file_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "hard-ones.txt"
    path.write_text("# the hard ones\nimg002\n\nimg000  # blurred\n")
    chosen = choose_subset(toy(2, 5, 4), card(), str(path))
    assert chosen.name == "file:hard-ones"
    assert list(chosen.image_ids) == keyed_order(["img000", "img002"], "toy")
    assert chosen.n_masks == 6
    same = tmp_path / "same.txt"
    same.write_text("\ufeffimg000\r\nimg002\r\n", encoding="utf-8")
    assert choose_subset(toy(2, 5, 4), card(), str(same)).digest == chosen.digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("img000\nimg0o1\n", r"line 2\n.*\n.*\n.*did you mean 'img001'"),
        ("img000\nimg001\nimg000\n", "lines 1 and 3"),
        ("# nothing\n", "names no image"),
        ("img001\n", "no image that has masks"),
        ("", "names no image"),
    ],
)
def test_broken_files_of_ids(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(UsageError) as e:
        choose_subset(toy(2, 0, 4), card(), str(path))
    assert e.match(says)
    assert str(path) in str(e.value)


def test_unknown_subset_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean paper"):
        choose_subset(toy(1), card(), "papr")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        choose_subset(toy(1), card(), str(tmp_path / "binary.txt"))


@pytest.mark.shared
def test_real_images_at_hand(shared: Path) -> None:
    bbbc = cards.dataset_card("bbbc038v1")
    chosen = choose_subset(open_dataset(bbbc, root=shared / "data/bbbc038v1"), bbbc, "paper")
    assert (len(chosen.image_ids), chosen.n_masks, chosen.is_paper_size) == (120, 5272, False)
    assert chosen.note == "the available data holds 5272 masks; the paper drew 10506: all are used"
