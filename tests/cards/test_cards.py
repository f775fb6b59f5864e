"""Cards: the packaged ones, and every way in which one's own can be wrong."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sambench import cards, paths
from sambench.errors import CardError, UsageError
from sambench.files import content
from sambench.getting import dataset_table
from sambench.getting import weights as fetch
from sambench.sources.datasets import find_targets

PACKAGED = [(kind, path) for kind in ("datasets", "baselines") for path in sorted(paths.packaged(kind).glob("*.toml"))]

DATASET = """
id = "mine"
name = "Mine"
reader = "sambench.loaders.demo:Demo"
[access]
state = "manual"
"""
MODEL = """
id = "mine"
name = "Mine"
factory = "sambench.models.otsu:otsu"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for every test; cards are read anew."""
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path))
    cards.forget()
    yield tmp_path
    cards.forget()


def put(folder: Path, text: str, name: str = "mine.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("kind", "path"), PACKAGED, ids=[p.stem for _, p in PACKAGED])
def test_packaged_cards(kind: str, path: Path) -> None:
    card = cards.read_card(path, "dataset" if kind == "datasets" else "model")
    assert card.id == path.stem
    entry = getattr(card, "reader", None) or getattr(card, "factory", None)
    if entry is not None:
        assert callable(cards.load_entry(entry, where=path))
    if isinstance(card, cards.DatasetCard):
        assert card.licence
        assert card.layout
        assert card.access.steps or card.access.state == "embedded"
        assert card.access.url.startswith("https://") or card.access.state != "auto"
    if isinstance(card, cards.ModelCard) and card.weights is not None:
        if card.weights.packaged:
            assert not card.weights.url
            assert content.file_sha256(fetch.cached_weights(card)) == card.weights.sha256
        else:
            assert card.weights.url.startswith("https://") or "https://" in card.weights.source
        assert card.weights.source
        if card.weights.sha256 is None or card.weights.bytes is None:  # nobody has published them, and the card says so
            assert "checksum" in card.weights.source


def test_the_cards_of_issue_a_are_there() -> None:
    assert {"demo", "bbbc038v1"} <= set(cards.dataset_cards())
    assert {"grabcut", "otsu", "sam_vit_b", "sam_vit_l", "sam_vit_h"} <= set(cards.model_cards())
    suite = cards.suite_card("all")
    assert suite is cards.suite_card("sa23")
    assert suite is not None
    assert len(set(suite.members)) == len(suite.members) == 23


def test_unknown_names_come_with_near_ones() -> None:
    with pytest.raises(UsageError, match="did you mean 'bbbc038v1'"):
        cards.dataset_card("bbbc038")
    with pytest.raises(UsageError, match="did you mean 'grabcut'"):
        cards.model_card("grab_cut")
    assert cards.suite_card("sa24") is None


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('licens = "x"\n' + DATASET, "licens", "licence"),
        (DATASET + 'stat = "auto"', "access.stat", "state"),
        (DATASET + '[paper]\nname = "x"\nsplit = "x"\nimages = 1\nmasks = 1\nsubsampeld = true', "paper.subsampeld", "subsampled"),
        (DATASET + '[variants.coarse]\ndescripton = "x"', "variants.coarse.descripton", "description"),
        (DATASET.replace("reader", "raeder"), "raeder", "reader"),
    ],
)
def test_an_unknown_key_of_a_dataset_names_the_near_ones(home: Path, text: str, key: str, near: str) -> None:
    path = put(home / "cards" / "datasets", text)
    with pytest.raises(CardError, match="unknown key") as e:
        cards.dataset_card("demo")
    assert repr(key) in e.value.message
    assert repr(near) in (e.value.remedy or "")
    assert e.value.where == path


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        (MODEL + '[weights]\nurl = "https://x"\nfile = "x"\nsha265 = "0"', "weights.sha265", "sha256"),
        (
            MODEL + '[[published]]\ntask = "point"\ndataset = "demo"\nmetric = "miou"\nvaleu = 1.0\nsource = "x"',
            "published.0.valeu",
            "value",
        ),
    ],
)
def test_an_unknown_key_of_a_model_names_the_near_ones(home: Path, text: str, key: str, near: str) -> None:
    put(home / "cards" / "baselines", text)
    with pytest.raises(CardError, match="unknown key") as e:
        cards.model_card("otsu")
    assert repr(key) in e.value.message
    assert repr(near) in (e.value.remedy or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id = "mine', "not valid TOML"),
        ("\x00", "not valid TOML"),
        ('id = "mine"\nid = "mine"', "not valid TOML"),
        ('name = "Mine"', "lacks the key 'id'"),
        (DATASET.replace('"mine"', '"My dataset"'), "'id' does not fit"),
        (DATASET.replace('"manual"', '"somewhere"'), "'access.state' does not fit"),
        (DATASET.replace("demo:Demo", "demo.Demo"), "'reader' does not fit"),
        ('kind = "datset"\n' + DATASET, "unknown kind"),
        ('kind = ["dataset"]\n' + DATASET, "unknown kind"),
        ('kind = "model"\n' + MODEL, "another kind"),
    ],
)
def test_a_broken_card_is_named(home: Path, text: str, message: str) -> None:
    path = put(home / "cards" / "datasets", text)
    with pytest.raises(CardError, match=message) as e:
        cards.dataset_cards()
    assert e.value.where == path


def test_a_card_that_is_not_text(home: Path) -> None:
    put(home / "cards" / "datasets", "").write_bytes(b"\xff\xfe")
    with pytest.raises(CardError, match="not valid TOML"):
        cards.dataset_cards()


@pytest.mark.parametrize("text", [DATASET.replace("mine", "demo"), DATASET.replace("mine", "sa23"), DATASET.replace("mine", "all")])
def test_a_name_that_is_taken_is_an_error_and_never_a_shadow(home: Path, text: str) -> None:
    path = put(home / "cards" / "datasets", text)
    with pytest.raises(CardError, match="two cards have the id") as e:
        cards.dataset_cards()
    assert str(path) in str(e.value.where)
    assert str(paths.packaged("datasets")) in str(e.value.where)


def test_own_cards_are_found_in_the_home(home: Path) -> None:
    put(home / "cards" / "datasets", DATASET)
    put(home / "cards" / "baselines", MODEL)
    put(home / "cards" / "datasets", 'kind = "suite"\nid = "both"\nname = "Both"\nmembers = ["mine", "demo"]', "both.toml")
    cards.forget()
    assert cards.dataset_card("mine").name == "Mine"
    assert cards.model_card("mine").max_batch == 64
    suite = cards.suite_card("both")
    assert suite is not None
    assert suite.members == ("mine", "demo")
    assert list(cards.dataset_cards()) == sorted(cards.dataset_cards())


SUITE = 'kind = "suite"\nid = "kinds"\nname = "Kinds"\nmembers = [{members}]\ngenerated = {generated}'


def test_members_of_a_suite_are_datasets_or_variants_of_them(home: Path) -> None:
    path = put(home / "cards" / "datasets", SUITE.format(members='"demo:boundaries", "gone:old", "demo:none"', generated="false"))
    cards.forget()
    suite = cards.suite_card("kinds")
    assert suite is not None
    assert (suite.members, suite.datasets) == (("demo:boundaries", "gone:old", "demo:none"), ("demo", "gone", "demo"))
    targets, missing, _ = find_targets(["kinds"], subset="full")
    assert [(t.card.id, t.spec.variant) for t in targets] == [("demo", "boundaries")]
    assert targets[0].dataset.load(targets[0].dataset.index()[0].image_id).boundaries
    assert [(m.name, m.why) for m in missing] == [
        ("gone:old", "has no card in this version"),
        ("demo:none", "unknown variant of dataset demo 'none'"),
    ]
    table = dataset_table.markdown(suite).splitlines()[2:]
    assert [line.split(" | ")[0] for line in table] == ["| `demo:boundaries`", "| `gone:old`", "| `demo:none`"]
    for members, generated in (('"demo:"', "false"), ('"demo:default"', "false"), ('"demo:boundaries"', "true")):
        path.write_text(SUITE.format(members=members, generated=generated))
        cards.forget()
        with pytest.raises(CardError):
            cards.suite_card("kinds")


def test_cards_at_explicit_paths(tmp_path: Path) -> None:
    dataset, model = put(tmp_path / "a", DATASET), put(tmp_path / "b", MODEL)
    assert cards.dataset_card(str(dataset)).id == "mine"
    assert cards.model_card(str(model)).id == "mine"
    assert "mine" not in cards.dataset_cards()
    with pytest.raises(CardError, match="cannot be read"):
        cards.dataset_card(str(tmp_path / "none.toml"))
    with pytest.raises(CardError, match="another kind"):
        cards.model_card(str(put(tmp_path / "c", 'kind = "dataset"\n' + DATASET)))


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, object], None]:
    """Installs an entry point, as a package that brings cards does."""

    def install(group: str, value: str, result: object) -> None:
        class Entry:
            name = "toys"

            @staticmethod
            def load() -> object:
                if isinstance(result, Exception):
                    raise result
                return lambda: result

        Entry.value = value  # type: ignore[attr-defined]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [Entry] if group == wanted else [])
        wanted = group
        cards.forget()

    return install


def test_plug_ins_bring_cards(tmp_path: Path, plug_in: Callable[[str, str, object], None]) -> None:
    put(tmp_path / "toys", DATASET)
    plug_in("sambench.datasets", "toys:folder", tmp_path / "toys")
    assert cards.dataset_card("mine").name == "Mine"
    assert "mine" not in cards.model_cards()
    put(tmp_path / "toys", MODEL)
    plug_in("sambench.models", "toys:folder", str(tmp_path / "toys"))
    assert cards.model_card("mine").name == "Mine"


@pytest.mark.parametrize("result", [ImportError("no toys"), None, 3])
def test_a_broken_plug_in_is_named(plug_in: Callable[[str, str, object], None], result: object) -> None:
    plug_in("sambench.datasets", "toys:folder", result)
    with pytest.raises(CardError, match="plug-in 'toys'") as e:
        cards.dataset_cards()
    assert e.value.where == "toys:folder"


def test_a_real_entry_point_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "toys-1.0.dist-info"
    put(info, "[sambench.datasets]\ntoys = toys_with_cards:folder\n", "entry_points.txt")
    put(info, "Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n", "METADATA")
    put(tmp_path, "import pathlib\ndef folder():\n    return pathlib.Path(__file__).parent / 'inside'\n", "toys_with_cards.py")
    put(tmp_path / "inside", DATASET)
    monkeypatch.syspath_prepend(tmp_path)
    cards.forget()
    assert cards.dataset_card("mine").id == "mine"


def test_variants() -> None:
    card = cards.DatasetCard.model_validate(
        tomllib.loads(DATASET + '[options]\na = 1\nb = 2\n[variants.coarse]\ndescription = "x"\noptions = { b = 3 }')
    )
    assert card.options_of(None) == card.options_of("default") == {"a": 1, "b": 2}
    assert card.options_of("coarse") == {"a": 1, "b": 3}
    with pytest.raises(UsageError, match="did you mean 'coarse'"):
        card.options_of("coarser")
    card.options_of(None)["a"] = 9
    assert card.options == {"a": 1, "b": 2}


@pytest.mark.parametrize("entry", ["sambench.nowhere:x", "sambench.cards:nothing"])
def test_an_entry_that_is_not_there(entry: str) -> None:
    with pytest.raises(CardError, match=entry) as e:
        cards.load_entry(entry, where="card mine")
    assert e.value.where == "card mine"


def test_what_a_card_cites_is_a_list_of_works_or_a_sentence() -> None:
    otsu = cards.model_cards()["otsu"].citation
    assert (otsu.works[0].authors, otsu.works[0].year) == (("Otsu",), 1979)
    assert str(otsu).startswith("Otsu: A threshold selection method from gray-level histograms. IEEE")
    coco = str(cards.dataset_cards()["coco_2017_val"].citation)
    assert coco.startswith("Lin et al.: Microsoft COCO: Common Objects in Context. ECCV 2014")
    assert str(cards.Citation.model_validate("Nobody, 2026")) == "Nobody, 2026"
    assert not cards.Citation()
    known = {**cards.dataset_cards(), **cards.model_cards()}
    assert [i for i, card in known.items() if card.citation and not card.citation.works] == []


def test_a_work_without_its_year_is_refused_by_name(tmp_path: Path) -> None:
    text = (paths.packaged("baselines") / "otsu.toml").read_text()
    path = tmp_path / "otsu.toml"
    path.write_text(text.replace(", year = 1979", ""))
    with pytest.raises(CardError, match="citation") as error:
        cards.read_card(path, "model")
    assert "year" in str(error.value)
