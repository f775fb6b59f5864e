"""What holds for all dataset cards together: the 23 and their facts, the suites, the table in docs/, a run of all fixtures."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest

from sambench import cards, fixtures, paths
from sambench.errors import UsageError
from sambench.getting.dataset_table import markdown
from sambench.loaders.open import open_dataset
from sambench.sources.datasets import find_targets
from sambench.types import ForDetection, ListsImages, reader_of
from tests.helpers import ROOT, TOY_MODEL, sambench

SA23 = cards.suite_cards()["sa23"].members


def test_all_23_have_a_card_a_fixture_and_the_facts() -> None:
    for name in SA23:
        card = cards.dataset_card(name)
        assert name in fixtures.names()
        assert card.paper is not None
        assert card.one_mask, name
        assert len(card.one_mask) < 80
        assert (card.paper.reproducible == "no") == card.paper.subsampled, name
        if card.paper.reproducible in ("yes", "expected") and card.full is not None:
            assert (card.full.images, card.full.masks) == (card.paper.images, card.paper.masks), name


@pytest.mark.shared
def test_the_papers_counts_are_those_of_its_table_7(shared: Path) -> None:
    text = (shared / "spec" / "published.yaml").read_text(encoding="utf-8")
    rows = re.findall(r"^    - \[(\w+), .*?,\s+(\d+),\s+(\d+),\s+-?[\d.]+\]", text, flags=re.MULTILINE)
    assert [r[0] for r in rows] == list(SA23)
    for name, images, masks in rows:
        paper = cards.dataset_card(name).paper
        assert paper is not None
        assert (paper.images, paper.masks) == (int(images), int(masks)), name


def test_every_variant_of_the_23_has_a_source() -> None:
    for name in SA23:
        for key, variant in cards.dataset_card(name).variants.items():
            assert variant.source or variant.description, f"{name}:{key}"


def test_the_open_part_needs_neither_form_nor_account() -> None:
    members = cards.suite_cards()["sa23-open"].members
    states = {name: cards.dataset_card(name).access.state for name in SA23}
    assert members == tuple(n for n in SA23 if states[n] in ("auto", "manual"))
    assert len(members) == 20


def test_the_generated_suite_is_the_whole_one() -> None:
    suite = cards.suite_cards()["fixtures"]
    assert suite.generated
    assert suite.members == SA23


def test_files_that_a_program_fetches_cannot_be_exchanged_on_the_way() -> None:
    """Over https, or checked against a hash; but for one archive of COCO, which has neither."""
    for card in cards.dataset_cards().values():
        for file in card.access.files:
            assert file.url.startswith("https://") or not file.url or file.sha256 or file.file == "train2017.zip", card.id
            assert "drive.google" not in file.url, "answers with a page, not with the file"


def test_the_table_of_the_23_is_that_of_the_cards() -> None:
    page = (ROOT / "docs" / "sa23.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- sa23-table: .*? -->\n\n(.*?)\n<!-- end -->", page, flags=re.DOTALL)
    assert table == markdown(cards.suite_cards()["sa23"])


def test_the_table_on_the_command_line() -> None:
    done = sambench("list", "datasets", "--format", "markdown", "--suite", "sa23-open")
    assert done.stdout == markdown(cards.suite_cards()["sa23-open"])
    assert len(done.stdout.splitlines()) == 22
    for wrong in (["--format", "html"], ["--format", "markdown", "--suite", "sa24"]):
        assert sambench("list", "datasets", *wrong).returncode == 2


# Generated copies


def test_cached_fixtures_are_written_once_and_anew_when_their_writer_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fixtures.cached("doors")
    before = {p: p.stat().st_mtime_ns for p in first.rglob("*")}
    assert before
    assert fixtures.cached("doors") == first
    assert {p: p.stat().st_mtime_ns for p in first.rglob("*")} == before
    monkeypatch.setattr(fixtures, "_writers_digest", lambda: "f" * 64)
    assert fixtures.cached("doors") == paths.cache() / "fixtures" / "doors-ffffffff"
    assert not [p for p in first.parent.iterdir() if p.name.startswith(".")]
    with pytest.raises(UsageError, match="unknown fixture"):
        fixtures.cached("doorz")


def test_a_generated_copy_is_never_taken_for_the_dataset() -> None:
    targets, missing, suites = find_targets(["fixtures"], subset="paper")
    assert missing == []
    assert [s.id for s in suites] == ["fixtures"]
    assert [t.card.id for t in targets] == list(SA23)
    for target in targets:
        assert target.subset.name == "generated"
        assert not target.subset.is_paper_size
        assert "generated" in target.subset.note
        assert Path(target.spec.root or "").is_relative_to(paths.cache())


@pytest.mark.slow
def test_all_23_run_from_their_native_layouts(tmp_path: Path) -> None:
    """The issue's own command, with a model that is quick."""
    done = sambench("run", "point", "--datasets", "fixtures", "--model", TOY_MODEL, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    records = [json.loads(p.read_text()) for p in tmp_path.glob("point-*/*/cell.json")]
    assert len(records) == 23
    assert {r["status"] for r in records} == {"complete"}
    assert "generated" in done.stderr
    for record in records:
        assert record["counts"]["n_images_failed"] == 0
        assert record["counts"]["n_objects"] > 0


def test_what_a_reader_offers_is_asked_of_itself(tmp_path: Path) -> None:
    fixtures.write("coco_2017_val", tmp_path)
    dataset = open_dataset(cards.dataset_card("coco_2017_val"), root=tmp_path)
    reader = reader_of(dataset)
    assert isinstance(reader, ForDetection)
    assert isinstance(reader, ListsImages)
    assert reader_of(reader) is reader
    assert not hasattr(dataset, "category_names")  # it forwards nothing
    fixtures.write("bbbc038v1", tmp_path / "other")
    other = open_dataset(cards.dataset_card("bbbc038v1"), root=tmp_path / "other")
    assert not isinstance(reader_of(other), ListsImages)
    assert isinstance(reader_of(pickle.loads(pickle.dumps(dataset))), ForDetection)
