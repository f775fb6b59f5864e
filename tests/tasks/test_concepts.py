"""The concept task: a model that knows the answer and one that says nothing, rows, files of answers, comparison, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sambench.concepts import ConceptAnnotation, ConceptInstance, ConceptPrediction, ConceptPrompt, ConceptTruth
from sambench.errors import DataError, ModelError, SambenchError
from sambench.loaders.demo import Demo
from sambench.metrics.bootstrap import cluster_weights
from sambench.models.colour_words import ColourWords
from sambench.pixels.candidates import DenseMasks
from sambench.pixels.region import Region
from sambench.results.compare import compare_cells
from sambench.sources.concepts import ConceptFile
from sambench.store.lookup import find_cells
from sambench.tasks.concepts import ConceptTask
from sambench.tasks.prompted import Context
from sambench.tasks.settings.concepts import ConceptSettings
from sambench.tasks.summary import Bootstrap
from sambench.types import ImageRecord, Sample
from tests.helpers.inprocess import Cli

H, W = 40, 60
Answer = Callable[[ConceptPrompt], tuple[list[np.ndarray], list[float]]]


def box(y: int, x: int, h: int = 10, w: int = 12) -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[y : y + h, x : x + w] = True
    return mask


MUGS = [box(2, 2), box(20, 30)]


def sample(*concepts: ConceptTruth, image_id: str = "a") -> Sample:
    return Sample("toy", image_id, H, W, (), lambda: np.zeros((H, W, 3), np.uint8), concepts=concepts)


def drawn(*masks: np.ndarray, exhaustive: bool = True) -> ConceptAnnotation:
    return ConceptAnnotation(tuple(ConceptInstance.of(Region.from_array(m)) for m in masks), exhaustive)


def truth(phrase: str, *annotations: ConceptAnnotation, subset: str = "") -> ConceptTruth:
    return ConceptTruth(phrase, phrase, annotations, subset)


class Model:
    """Answers by a function; counts how often an image is encoded."""

    max_batch = 2

    def __init__(self, answer: Answer) -> None:
        self.answer, self.encoded, self.asked = answer, 0, list[ConceptPrompt]()

    def encode(self, image: np.ndarray) -> None:
        self.encoded += 1

    def concepts(self, state: None, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        assert len(prompts) <= self.max_batch
        self.asked += prompts
        return [self._one(*self.answer(p)) for p in prompts]

    def _one(self, masks: list[np.ndarray], scores: list[float]) -> ConceptPrediction:
        return ConceptPrediction(np.array(masks), np.array(scores))  # type: ignore[arg-type]


IMAGE = sample(
    truth("mug", drawn(*MUGS)),
    truth("plate", drawn()),
    truth("fork", drawn(), drawn(exhaustive=False)),
    truth("cup", drawn(MUGS[0]), drawn(*MUGS), drawn()),
)


def rows_of(answer: Answer, image: Sample = IMAGE, **settings: Any) -> tuple[pd.DataFrame, Model]:
    task, model = ConceptTask(ConceptSettings(**settings)), Model(answer)
    rows = [{**dict.fromkeys(task.columns), **r} for r in task.rows(image, model, Context())]
    return pd.DataFrame(rows), model


def numbers(frame: pd.DataFrame, variant: str = "") -> dict[tuple[str, float | None], float]:
    found = ConceptTask().reduce(frame, Bootstrap(n_resamples=10))
    return {(r["metric"], r.get("threshold")): r["value"] for r in found if r["variant"] == variant and "group_by" not in r}


def test_who_knows_the_answer_has_one_and_who_says_nothing_none() -> None:
    answers = {"mug": MUGS, "cup": MUGS}
    frame, model = rows_of(lambda p: (answers.get(p.phrase or "", []), [0.9] * len(answers.get(p.phrase or "", []))))
    assert (model.encoded, [p.phrase for p in model.asked]) == (1, ["mug", "plate", "fork", "cup"])
    found = numbers(frame)
    assert [found[m, None] for m in ("cgf1", "pmf1", "il_mcc", "miou", "ap")] == pytest.approx([1] * 5, abs=2e-4)
    assert found["ece", None] == pytest.approx(0.1)
    # Of those who drew nothing the last, as in the reference; of the cups the second drew what was answered.
    assert frame["annotator"].tolist() == [0, 0, 1, 1]
    assert frame["exhaustive"].tolist() == [1, 1, 0, 1]
    silent = numbers(rows_of(lambda p: ([], []))[0])
    assert [silent[m, None] for m in ("cgf1", "pmf1", "il_mcc", "miou", "ap")] == [0] * 5
    assert ("ece", None) not in silent


def test_only_masks_of_the_threshold_count() -> None:
    def answer(p: ConceptPrompt) -> tuple[list[np.ndarray], list[float]]:
        return ([*MUGS, box(28, 2)], [0.5, np.nextafter(0.5, 0), 0.1]) if p.phrase == "mug" else ([], [])

    frame, _ = rows_of(answer)
    first = frame.iloc[0]
    assert (first["n_found"], first["n_truth"], list(first["hits"])) == (1, 2, [1] * 10)
    assert first["iou_best"] == 0.5  # the other mug's mask does not count
    assert len(first["ious"]) == 6
    assert rows_of(answer, threshold=0.2)[0].iloc[0]["n_found"] == 2


def test_exemplars_are_the_first_annotators_largest_instance() -> None:
    image = sample(truth("mug", drawn(box(2, 2), box(20, 30, 12, 12))), truth("plate", drawn()))
    for prompt, asked in (("exemplar", [None]), ("both", ["mug", "plate"])):
        frame, model = rows_of(lambda p: ([], []), image, prompt=prompt)
        assert [p.phrase for p in model.asked] == asked
        assert model.asked[0].boxes_xyxy.tolist() == [[30, 20, 41, 31]]
        assert model.asked[0].labels.tolist() == [1]
        assert len(frame) == len(asked)


def test_people_are_scored_against_each_other() -> None:
    a, b = drawn(MUGS[0]), drawn(*MUGS)
    frame, _ = rows_of(lambda p: ([], []), sample(truth("cup", a, b), truth("plate", drawn(), drawn()), truth("jug", a, b, b)))
    assert [list(v) for v in frame["human_found"]] == [[1, 2], [0, 0], [1, 2, 2]]
    assert [list(v) for v in frame["human_truth"]] == [[2, 1], [0, 0], [2, 2, 2]]
    found = numbers(frame, "people")
    # First annotator: two hits of four; second: one and two hits of one and two; third, on the jug alone: all.
    parts = [(2 / 2, 2 / 4), (3 / 4, 3 / 3), (1, 1)]
    assert found["pmf1", None] == pytest.approx(np.mean([2 * p * r / (p + r) for p, r in parts]), abs=2e-4)


def test_boxes_alone_are_compared_as_boxes() -> None:
    image = sample(truth("mug", ConceptAnnotation((ConceptInstance(None, (2.0, 2.0, 13.0, 11.0)),))))
    answer: Answer = lambda p: ([MUGS[0]], [0.9])  # noqa: E731
    with pytest.raises(DataError, match="has a box and no mask") as error:
        rows_of(answer, image)
    assert "--iou box" in str(error.value)
    assert rows_of(answer, image, iou="box")[0].iloc[0]["iou_best"] == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p: ([MUGS[0]], [1.5]), "scores in [0, 1]"),
        (lambda p: ([MUGS[0]], [0.5, 0.5]), "one score per mask"),
        (lambda p: ([MUGS[0].T], [0.5]), "height comes before width"),
        (lambda p: ([MUGS[0]], [float("nan")]), "finite"),
    ],
)
def test_a_broken_answer_is_named(answer: Answer, said: str) -> None:
    with pytest.raises(ModelError) as error:
        rows_of(answer)
    assert said in str(error.value)


def entry(image_id: str, mask: np.ndarray, score: float = 0.9, **more: Any) -> dict[str, Any]:
    rle = Region.from_array(mask).rle()
    return {"image_id": image_id, "score": score, "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}, **more}


def file(tmp_path: Path, entries: list[dict[str, Any]]) -> ConceptFile:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(entries))
    return ConceptFile(path)


def test_a_file_gives_what_it_has(tmp_path: Path) -> None:
    exact = 0.1 + 0.2
    given = file(tmp_path, [entry("a", m, exact, phrase="mug") for m in MUGS] + [entry("a", MUGS[0], phrase="elsewhere")])
    mug, plate, *_ = given.answers("a", (H, W), IMAGE.concepts)
    assert (len(mug.masks), mug.scores.tolist(), len(plate.masks)) == (2, [exact, exact], 0)
    assert np.array_equal(mug.masks.array(1), MUGS[1])
    by_pair = file(tmp_path, [entry("mug", m) for m in MUGS])  # as SAM 3's evaluator has it: ids of pairs
    assert [len(p.masks) for p in by_pair.answers("a", (H, W), IMAGE.concepts)] == [2, 0, 0, 0]


def test_a_phrase_beside_a_category_is_read(tmp_path: Path) -> None:
    # Numbers as JSON writes them, for which entries are read by a shorter way.
    whole = {"category_id": 3, "bbox": [2.0, 2.0, 12.0, 10.0], "phrase": "mug"}
    given = file(tmp_path, [{**entry("7", MUGS[0]), **whole, "image_id": 7}])
    assert (given.results.n_phrases, given.results.of("7").phrases, given.by_pair) == (1, ("mug",), False)
    mug, plate, *_ = given.answers("7", (H, W), IMAGE.concepts)
    assert (len(mug.masks), len(plate.masks)) == (1, 0)
    plain = {k: v for k, v in given.identity.items() if k != "file_sha256"}
    assert plain, "what was measured of it before is another cell"


class Images:
    """As much of a dataset as is asked for before a run."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = {s.image_id: s for s in samples}

    def index(self) -> list[ImageRecord]:
        return [ImageRecord(i, len(s.concepts)) for i, s in self.samples.items()]

    def load(self, image_id: str) -> Sample:
        return self.samples[image_id]


def test_ids_that_could_be_of_images_are_not_taken_for_pairs(tmp_path: Path) -> None:
    def asked(image_id: str, concept_id: str) -> Sample:
        return sample(replace(truth("mug", drawn(*MUGS)), concept_id=concept_id), image_id=image_id)

    given = file(tmp_path, [entry("1", MUGS[0]), entry("2", MUGS[0])])
    said = given.check(Images(asked("a", "1"), asked("b", "2")), ["a", "b"])  # type: ignore[arg-type]
    assert "pair of image and phrase" in said[0]
    # Ids of images; ids of categories.
    for other in (Images(asked("1", "1"), asked("b", "2")), Images(asked("a", "1"), asked("b", "1"))):
        with pytest.raises(DataError, match="could be to any phrase") as error:
            given.check(other, list(other.samples))  # type: ignore[arg-type]
        assert "answers.json" in str(error.value)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry("a", MUGS[0], phrase="mug"), entry("a", MUGS[1])], "some entries have no phrase"),
        ([entry("a", MUGS[0], 1.2, phrase="mug")], "no probability"),
        ([entry("a", MUGS[0], phrase="Mug ")], "expected: 'mug'"),
        ([entry("a", MUGS[0], phrase=7)], "phrase, a text"),
        ([{"image_id": "a", "phrase": "mug", "score": 0.5, "bbox": [0, 0, 4, 4]}], "no mask"),
        ([entry("a", MUGS[0].T, phrase="mug")], "RLE"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, entries: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SambenchError) as error:
        file(tmp_path, entries).answers("a", (H, W), IMAGE.concepts)
    assert said in str(error.value)
    assert "answers.json" in str(error.value)


def test_the_demo_has_phrases_of_every_form() -> None:
    from sambench.cards import dataset_card
    from sambench.loaders.open import find_root

    root = find_root(dataset_card("demo"))
    assert root is not None
    demo = Demo(root, holds="concepts")
    assert len(demo.index()) == 24
    loaded = [demo.load(r.image_id) for r in demo.index()]
    assert [r.n_masks for r in demo.index()] == [len(s.concepts) for s in loaded]
    pairs = [c for s in loaded for c in s.concepts]
    for form in ("kind", "colour", "colour kind", "striped"):
        there = {bool(c.annotations[0].instances) for c in pairs if c.subset == form}
        assert there == {True, False}, form
    assert {len(c.annotations) for c in pairs} == {3}
    assert 0 < sum(not c.exhaustive for c in pairs) < 20
    # Frozen like the scenes: published numbers of baselines refer to these phrases.
    assert demo.annotation_digest()[:16] == "c308363783264238"


def test_colours_are_answered_and_nothing_else() -> None:
    image = np.full((H, W, 3), (90, 90, 92), np.uint8)
    image[MUGS[0]] = (200, 30, 30)
    model = ColourWords()
    red, mug = model.concepts(model.encode(image), [ConceptPrompt("red mug"), ConceptPrompt("mug")])
    assert (len(red.masks), len(mug.masks), mug.presence) == (1, 0, 0.0)
    assert isinstance(red.masks, DenseMasks)
    assert red.masks.iou(Region.from_array(MUGS[0]))[0] > 0.8


def test_runs_are_listed_compared_and_drawn(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    first = cli("run", "concepts", "--datasets", "demo", "--limit", "5", "--workers", "1", "-q")
    assert first.code == 0, first.err
    (cell,) = find_cells("colour_words", Path("runs"))
    frame = cell.scored(["image_id", "category", "height", "width", "n_found"])
    entries = [
        entry(r.image_id, np.pad(MUGS[0], ((0, r.height - H), (0, r.width - W))), phrase=r.category)
        for r in frame.itertuples()
        if not r.n_found
    ]
    Path("odd.json").write_text(json.dumps(entries))
    again = cli("run", "concepts", "--datasets", "demo", "-m", "concepts:odd.json", "--limit", "5", "--workers", "1", "-q")
    assert again.code == 0, again.err
    table = cli("table", "colour_words", "concepts_odd").out
    assert [word for word in ("cgF1", "IL_MCC", "people", "phrases", "annotator") if word not in table] == []
    rows = json.loads(cli("table", "colour_words", "--format", "json").out)
    (rows,) = rows if isinstance(rows, list) else [rows]
    assert {r["model"]: r["status"] for r in rows["rows"]} == dict.fromkeys(("colour_words", "people"), "PARTIAL (--limit)")
    assert "cgf1: A = concepts-colour_words" in cli("compare", "colour_words", "concepts_odd").out
    _compared_by_hand()
    assert cli("rescore", "colour_words", "--group-by", "category").code == 0
    assert cli("plot", "colour_words", "concepts_odd", "--out", "curves").code == 0
    assert {p.name for p in Path("curves").iterdir()} == {
        "cgf1_parts.png", "cgf1_parts.csv", "reliability.png", "reliability.csv",
    }  # fmt: skip
    assert "people" in Path("curves/cgf1_parts.csv").read_text()
    sheets = cli("gallery", "colour_words", "concepts_odd", "--format", "md", "-n", "2", "--out", "sheets")
    assert sheets.code == 0, sheets.err
    kinds = {p.name.split("_concepts")[0] for p in Path("sheets").rglob("*.csv")}
    assert kinds == {"worst", "false_positives", "disagreement"}
    wrong = cli("run", "concepts", "--datasets", "demo", "-m", "otsu")
    assert (wrong.code, "a model that gives concepts" in wrong.err, "colour_words" in wrong.err) == (2, True, True)


def _compared_by_hand() -> None:
    """The interval, of the metric computed of the rows of every draw."""
    a, b = (find_cells(name, Path("runs")) for name in ("colour_words", "concepts_odd"))
    (found,) = compare_cells(a, b, metric="cgf1", bootstrap=Bootstrap(n_resamples=30, seed=3)).differences
    task = ConceptTask()
    frames = [c[0].scored(list(task.columns)[:-4]) for c in (a, b)]
    images = sorted(frames[0]["image_id"].unique())
    draws = []
    for _, weights in cluster_weights(len(images), 30, [3, 0]):
        for times in weights.astype(int):
            names = [i for i, n in zip(images, times, strict=True) for _ in range(n)]
            parts = [pd.concat([f[f["image_id"] == i] for i in names]) for f in frames]
            draws.append(_cgf1(parts[0]) - _cgf1(parts[1]))
    assert (found.paired.low, found.paired.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=1e-9)
    assert found.paired.mean == pytest.approx(_cgf1(frames[0]) - _cgf1(frames[1]), abs=1e-12)


def _cgf1(frame: pd.DataFrame) -> float:
    from sambench.metrics.concepts import summary

    kept = frame[frame["exhaustive"] == 1]
    counts = (kept["n_truth"].to_numpy(), kept["n_found"].to_numpy(), np.array(kept["hits"].to_list()))
    return float(summary(*counts)["cgf1"])


def test_subsets_have_rows_of_their_own() -> None:
    image = replace(IMAGE, concepts=(truth("mug", drawn(*MUGS), subset="kitchen"), truth("plate", drawn(), subset="garden")))
    frame, _ = rows_of(lambda p: (MUGS, [0.9, 0.9]), image)
    found = ConceptTask().reduce(frame, Bootstrap(n_resamples=10))
    groups = {r["group"]: r["value"] for r in found if r.get("group_by") == "subset" and r["metric"] == "il_fpr"}
    assert groups == pytest.approx({"kitchen": 0, "garden": 1}, abs=1e-5)
