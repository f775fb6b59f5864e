"""Numbers that others published after the paper, and means over parts of a suite whose members are inferred."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sambench import cards, fixtures
from sambench.errors import CardError, UsageError
from sambench.paper.compare import compare_values, paper_tables, quantity
from sambench.paper.evidence import Evidence
from sambench.paper.ledger import ledger, ledger_tables
from sambench.paper.published import best_known, of, published, sources, splits, title
from sambench.store.lookup import find_cells
from sambench.store.views import CellView
from sambench.tasks.summary import Bootstrap
from tests.helpers import ROOT
from tests.helpers.cells import flat, point_cell
from tests.helpers.inprocess import Cli

QUICK = Bootstrap(n_resamples=50)
IMAGE, VIDEO = (splits("sam2")[name].members for name in ("image", "video"))


def iou_of(dataset: str) -> float:
    """Another for each dataset, at one click; a tenth more at five."""
    members = cards.suite_card("sa23").members  # type: ignore[union-attr]
    return 0.3 + members.index(dataset) / 100


def cells_of(out: Path, datasets: tuple[str, ...], model: str = "sam_vit_h", **more: object) -> list[CellView]:
    return [point_cell(out, d, model, flat(iou_of(d), 0.025), clicks=(1, 5), **more) for d in datasets]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[CellView]:
    members = cards.suite_card("sa23").members  # type: ignore[union-attr]
    return cells_of(tmp_path_factory.mktemp("sa23"), members)


def test_the_sources_are_files_found_by_their_place() -> None:
    assert sources() == ("paper", "others", "saco", "sam2", "sam3", "models")
    assert "2408.00714" in title("sam2")
    with pytest.raises(UsageError, match="did you mean 'sam2'"):
        of("sam22")


def test_what_is_printed() -> None:
    sam2 = of("sam2")
    large = {v.column: v.value for v in sam2 if v.method == "SAM 2 Hiera-L (mix)"}
    assert large == pytest.approx(
        {"all_1": 0.635, "all_5": 0.835, "image_1": 0.643, "image_5": 0.837, "video_1": 0.624, "video_5": 0.832}
        | {"new14_1": 0.712, "new14_5": 0.856, "fps": 61.4}
    )
    assert best_known(sam2, "EdgeTAM", "all_1").source.startswith("github.com/facebookresearch/EdgeTAM")  # type: ignore[union-attr]
    sam3 = {(v.method, v.k): v.value for v in of("sam3") if v.k}
    assert sam3["SAM 3", 3] == pytest.approx(0.813)
    assert all(v.reason for v in of("sam3"))  # nobody can measure them here, and why
    saco = {(v.method, v.dataset, v.metric): v.value for v in of("saco")}
    assert saco["SAM 3", "saco_gold", "cgf1"] == pytest.approx(0.5406)
    assert saco["SAM 3", "saco_silver_fathomnet", "il_mcc"] == 0.86
    others = {(v.method, v.dataset, v.task, v.variant): v.value for v in of("others")}
    assert others["EfficientViT-SAM-XL1", "coco_2017_val", "point", "top"] == pytest.approx(0.59757)
    assert others["HQ-SAM 2", "coco_2017_val", "instances", "multi"] == pytest.approx(0.504)
    assert {v.kind for name in ("saco", "sam2", "sam3", "others") for v in of(name)} == {"published"}


def test_models_have_cards_and_cards_say_the_same() -> None:
    values = [v for name in ("saco", "sam2", "sam3", "others") for v in of(name)]
    assert {v.model for v in values if v.model} <= set(cards.model_cards())
    known = {(v.model, v.k): v.value for v in values if v.model and v.dataset == "sa23" and v.split is None}
    on_cards = [v for v in of("models") if v.dataset == "sa23"]
    assert {v.model for v in on_cards} >= {"sam2_hiera_l", "sam2_hiera_b"}
    for v in on_cards:
        assert v.prompt == "center", v.model  # another first click would be another number
        assert v.value == pytest.approx(known.get((v.model, v.k), v.value)), v.model


def test_the_inferred_split_agrees_with_every_printed_mean() -> None:
    """13 and 10 members, each of the suite's once; their means make the mean of all within the rounding of three numbers."""
    members = cards.suite_card("sa23").members  # type: ignore[union-attr]
    assert sorted([*IMAGE, *VIDEO]) == sorted(members)
    assert (len(IMAGE), len(VIDEO)) == (13, 10)
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for v in (v for v in of("sam2") if v.table.startswith("sam2_sa23")):
        rows.setdefault((v.method, int(v.k or 0)), {})[v.column.partition("_")[0]] = 100 * float(v.value or 0)
    assert len(rows) == 20
    for key, r in rows.items():
        assert abs((13 * r["image"] + 10 * r["video"]) / 23 - r["all"]) <= 0.1 + 1e-9, key


@pytest.mark.parametrize(("suite", "n_methods"), [("saco_gold", 8), ("saco_silver", 6)])
def test_printed_means_of_phrases_are_those_of_the_suites_members(suite: str, n_methods: int) -> None:
    """What stands under another dataset's name, or in another column, would not give the printed mean."""
    members = cards.suite_card(suite).members  # type: ignore[union-attr]
    values = {(v.method, v.metric, v.dataset): float(v.value or 0) for v in of("saco")}
    means = [key for key in values if key[2] == suite]
    assert len(means) == 3 * n_methods
    for method, metric, _ in means:
        mean = math.fsum(values[method, metric, d] for d in members) / len(members)
        off = {"cgf1": 0.0001, "pmf1": 0.0006, "il_mcc": 0.0101}[metric]  # they are rounded, some of them to three digits
        assert abs(mean - values[method, metric, suite]) <= off, (method, metric)


def test_phrases_are_compared_with_their_published_numbers(tmp_path: Path, cli: Cli) -> None:
    fixtures.write("saco_gold_attributes", tmp_path / "data")
    more = ("--model", "colour_words", "--out", tmp_path / "runs", "--quiet")
    ended = cli("run", "concepts", "--datasets", "saco_gold_attributes", "--root", tmp_path / "data", *more)
    assert ended.code == 0, ended.err
    (table,) = paper_tables(find_cells("colour_words", tmp_path / "runs"), "saco", bootstrap=QUICK)
    assert {r.values["quantity"] for r in table.rows} == {"cgF1", "pmF1", "100 x IL_MCC"}
    assert {r.values["method"] for r in table.rows} == {"SAM 3"}
    assert [r.values["published"] for r in table.rows] == pytest.approx([0.5493, 0.72, 0.76])


def test_means_over_the_suite_and_its_parts(whole: list[CellView]) -> None:
    found = {a.published.column: a for a in compare_values(Evidence(whole), of("sam2"), bootstrap=QUICK) if a.same_model}
    for name, members in (("all", [*IMAGE, *VIDEO]), ("image", [*IMAGE]), ("video", [*VIDEO])):
        mean = math.fsum(map(iou_of, members)) / len(members)
        assert found[f"{name}_1"].measured == pytest.approx(mean, abs=1e-12)
        assert found[f"{name}_5"].measured == pytest.approx(mean + 0.1, abs=1e-12)
    assert found["all_1"].light == "grey"
    assert "23 of the 23 sets are not the paper's" in found["all_1"].why
    assert quantity(found["video_1"].published) == "mIoU at 1 click, center, video sets (inferred)"
    assert "inferred" not in quantity(found["all_1"].published)


def test_a_part_of_the_suite_gives_that_part_alone(tmp_path: Path) -> None:
    part = cells_of(tmp_path, tuple(VIDEO))
    found = {a.published.column for a in compare_values(Evidence(part), of("sam2"), bootstrap=QUICK) if a.same_model}
    assert found == {"video_1", "video_5"}
    lines = [e for e in ledger(Evidence(part), "sam2", bootstrap=QUICK) if e.method == "SAM ViT-H" and e.dataset == "sa23"]
    whys = {e.what: e.why for e in lines}
    assert whys["mIoU at 1 click, center"] == "sam_vit_h with center clicks: complete on 10 of the 23 datasets"
    short = cells_of(tmp_path / "short", tuple(VIDEO)[:-1]) + cells_of(tmp_path / "cut", tuple(VIDEO)[-1:], limit=1)
    assert not compare_values(Evidence(short), of("sam2"), bootstrap=QUICK)
    generated = cells_of(tmp_path / "copies", tuple(VIDEO), subset={"name": "generated"})
    assert not compare_values(Evidence(generated), of("sam2"), bootstrap=QUICK)


def test_another_model_is_compared_with_the_headline(tmp_path: Path) -> None:
    mine = cells_of(tmp_path, tuple(VIDEO), model="mine")
    (table,) = paper_tables(mine, "sam2", bootstrap=QUICK)
    assert {r.values["method"] for r in table.rows} == {"SAM ViT-H", "SAM 2 Hiera-L (mix)"}
    assert {r.values["why"] for r in table.rows} == {"another model"}
    assert any(n.startswith("video sets (inferred, 10 of sa23): streets,") for n in table.notes)
    with pytest.raises(UsageError, match="published counterpart") as e:
        paper_tables(mine[:3], "sam2", bootstrap=QUICK)
    assert "complete runs on every member" in str(e.value)


def test_the_ledger_says_who_was_assumed_and_why() -> None:
    tables = ledger_tables(ledger(Evidence([]), "sam2", bootstrap=QUICK), "sam2")
    assumed = tables[-1]
    assert "inferred" in assumed.title
    parts = dict.fromkeys(IMAGE, "image") | dict.fromkeys(VIDEO, "video")
    assert {r.values["dataset"]: r.values["part"] for r in assumed.rows} == parts
    assert all(r.values["why"] for r in assumed.rows)
    assert any("(13 * image + 10 * video) / 23" in n for n in assumed.notes)
    assert len(ledger_tables(ledger(Evidence([]), "sam3", bootstrap=QUICK), "sam3")) == 1


def test_on_the_command_line(whole: list[CellView], cli: Cli) -> None:
    out = whole[0].path.parent.parent
    ended = cli("compare", "sam_vit_h", "sam2", "--out", out, "--format", "csv")
    assert ended.code == 0, ended.err
    assert "video sets (inferred)" in ended.out
    ended = cli("reproduce", "sam2", "--out", out, "--state", "unavailable", "--format", "csv")
    assert ended.code == 0, ended.err
    assert "A100" in ended.out
    ended = cli("compare", "sam_vit_h", "sam2", "--out", out, "-k", 1)
    assert ended.code == 2
    assert "compare RUN sam2" in ended.err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [('group = "image" }', 'group = "imago" }', "of an unknown split"), ('of = "sa23"', 'off = "sa23"', "splits.image")],
)
def test_a_split_that_does_not_fit_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "published_sam2.toml"
    path.write_text((ROOT / "reports" / "published_sam2.toml").read_text().replace(old, new, 1))
    with pytest.raises(CardError, match=says):
        published(path=path)
