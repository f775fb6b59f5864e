"""Models that read phrases, against transformers' own preparation and post-processing on the same random weights."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sambench.concepts import ConceptPrompt
from sambench.errors import ModelError, UsageError
from sambench.models.hf import detectors
from sambench.models.hf.phrases import Remembered
from sambench.notes import noting
from sambench.sources import models
from tests.helpers import hf_folders

pytest.importorskip("transformers")
PHRASES = ["red disc", "striped", "a very small blue ladle"]


def picture(height: int, width: int, seed: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def folder_of(tmp: Path, name: str, seed: int = 1) -> tuple[Path, Any]:
    folder = tmp / name
    folder.mkdir()
    return folder, getattr(hf_folders, name)(folder, seed=seed)


def built(folder: Path, **options: Any) -> Any:
    return models.build(models.resolve(f"hf:{folder}", options, device="cpu", precision="fp32").spec)


def method_of(module: str, name: str) -> Callable[..., Any]:
    """A method of transformers whose module cannot be imported without torchvision, compiled from its source alone."""
    import transformers

    tree = ast.parse((Path(transformers.__file__).parent / "models" / module).read_text())
    wanted = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in (name, "_scale_boxes")]
    for n in wanted:
        n.decorator_list, n.returns = [], None
        for a in (*n.args.args, *n.args.kwonlyargs):
            a.annotation = None
    space: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(wanted, []), module, "exec"), space)
    return space[name]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["sam3", "sam3_lite"])
def test_sam3_answers_as_transformers(tmp_path: Path, name: str) -> None:
    from transformers import AutoTokenizer

    folder, reference = folder_of(tmp_path, name)
    reference = type(reference).from_pretrained(folder).eval()
    image, size = picture(50, 70), (50, 70)
    model, exact = built(folder, threshold=0.0), built(folder, threshold=0.0, resize="probabilities")
    pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
    pixels = (F.interpolate(pixels, (hf_folders.SAM3_SIDE,) * 2, mode="bilinear", antialias=True) - 0.5) / 0.5
    post = method_of("sam3/image_processing_sam3.py", "post_process_instance_segmentation")
    state, tokenizer = model.encode(image), AutoTokenizer.from_pretrained(folder)
    prompts = [ConceptPrompt(p) for p in PHRASES]
    for prompt, ours, theirs in zip(prompts, model.concepts(state, prompts), exact.concepts(state, prompts), strict=True):
        given = tokenizer(prompt.phrase, padding="max_length", max_length=32, return_tensors="pt")
        with torch.inference_mode():
            out = reference(pixel_values=pixels, input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        (expected,) = post(None, out, threshold=0.0, target_sizes=[size])
        order = torch.sort(expected["scores"], descending=True, stable=True).indices
        assert len(order) == 12
        for answer in (ours, theirs):
            np.testing.assert_allclose(answer.scores, expected["scores"][order].numpy(), atol=1e-6)
            assert answer.presence == pytest.approx(float(out.presence_logits.sigmoid()), abs=1e-6)
        masks = np.stack([theirs.masks.array(i) for i in range(len(order))])
        assert (masks != expected["masks"][order].numpy().astype(bool)).mean() < 1e-4
        assert masks.any()
        full = F.interpolate(out.pred_masks[0][order][None], size, mode="bilinear", align_corners=False)[0] > 0
        logits = np.stack([ours.masks.array(i) for i in range(len(order))])
        assert (logits != full.numpy()).mean() < 1e-4
        assert (logits != masks).any(), "the two ways to resize are the same on these weights: nothing is shown"


def test_sam3_phrases_alone_and_together(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, "sam3", seed=0)
    model = built(folder)
    state = model.encode(picture(33, 61))
    together = model.concepts(state, [ConceptPrompt(p) for p in PHRASES])
    for phrase, answer in zip(PHRASES, together, strict=True):
        (alone,) = built(folder).concepts(state, [ConceptPrompt(phrase)])
        assert np.array_equal(alone.scores, answer.scores)
        assert np.array_equal(alone.masks.area(), answer.masks.area())
    assert (together[0].scores > 0.3).all()
    assert len(together[0].scores)
    assert list(together[0].scores) == sorted(together[0].scores, reverse=True)
    model.step = len(PHRASES)  # as on a GPU
    batched = model.concepts(state, [ConceptPrompt(p) for p in PHRASES])
    for a, b in zip(batched, together, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)
    with pytest.raises(ModelError, match="empty prompt"):
        model.concepts(state, [ConceptPrompt()])


def test_sam3_of_a_video_folder(tmp_path: Path) -> None:
    """facebook/sam3 is a Sam3VideoModel: its detector is taken where it is asked for, its tracker elsewhere."""
    folder, _ = folder_of(tmp_path, "sam3")
    expected = built(folder).concepts(built(folder).encode(picture(40, 40)), [ConceptPrompt("disc")])
    detector = json.loads((folder / "config.json").read_text())
    video = {"model_type": "sam3_video", "architectures": ["Sam3VideoModel"], "detector_config": detector}
    (folder / "config.json").write_text(json.dumps(video))
    hf_folders.rename(
        folder, lambda w: {**{f"detector_model.{k}": t for k, t in w.items()}, "tracker_model.no_memory_embedding": torch.zeros(3)}
    )
    resolved = models.resolve(f"hf:{folder}", {"concepts": True}, device="cpu", precision="fp32")
    assert resolved.gives == "concepts"
    assert models.gives_of(f"hf:{folder}") is None, "known with the options alone"
    model = models.build(resolved.spec)
    found = model.concepts(model.encode(picture(40, 40)), [ConceptPrompt("disc")])
    assert np.array_equal(found[0].scores, expected[0].scores)
    assert models.resolve(f"hf:{folder}", {}, device="cpu", precision="fp32").gives == "masks"


def test_example_boxes_need_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = folder_of(tmp_path, "sam3")
    model = built(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    boxes = ConceptPrompt(None, np.array([[3, 4, 20, 30]], np.float32), np.ones(1, np.int8))
    with pytest.raises(ModelError, match="torchvision"):
        model.concepts(model.encode(picture(40, 40)), [boxes])
    # A box of pixels 0 to 39 is the whole picture.
    whole = model._boxes(ConceptPrompt(None, np.array([[0, 0, 39, 19]], np.float32), np.ones(1, np.int8)), (20, 40))
    assert whole.tolist() == [[0.5, 0.5, 1, 1]]


def test_owlv2_answers_as_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    folder, reference = folder_of(tmp_path, "owlv2")
    image, processor = picture(150, 90), Owlv2ImageProcessorPil.from_pretrained(folder)
    model = built(folder, threshold=0.0, template="a photo of a {}")
    pixels = processor(images=[image], return_tensors="pt")["pixel_values"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    state = model.encode(image)
    for phrase, found in zip(["disc", "ball"], model.detect(state, ["disc", "ball"]), strict=True):
        given = tokenizer([f"a photo of a {phrase}"], padding="max_length", truncation=True, max_length=12, return_tensors="pt")
        with torch.inference_mode():
            out = reference(pixel_values=pixels, input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        (expected,) = processor.post_process_object_detection(out, threshold=0.0, target_sizes=[(150, 90)])
        check_boxes(found, expected, (150, 90))


def test_owlv2_pads_and_resizes_as_transformers(tmp_path: Path) -> None:
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    processor = Owlv2ImageProcessorPil(size={"height": 64, "width": 64}, do_normalize=False)
    for size in ((150, 90), (40, 64), (64, 64), (31, 200)):
        image = picture(*size)
        expected = np.asarray(processor(images=[image], return_tensors="np")["pixel_values"][0])
        np.testing.assert_allclose(detectors.padded_square(image, (64, 64)), expected, atol=2e-6)


def test_grounding_dino_answers_as_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
    from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

    folder, reference = folder_of(tmp_path, "grounding_dino")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = GroundingDinoProcessor(GroundingDinoImageProcessorPil.from_pretrained(folder), tokenizer)
    model = built(folder, threshold=0.0)
    image = picture(96, 120)  # needs no resizing, which rounds to grey levels there
    state = model.encode(image)
    for phrase, found in zip(["Red disc ", "striped"], model.detect(state, ["Red disc ", "striped"]), strict=True):
        given = processor(images=image, text=[[phrase]], return_tensors="pt")
        with torch.inference_mode():
            out = reference(**given)
        post = processor.post_process_grounded_object_detection
        (expected,) = post(out, given["input_ids"], threshold=0.0, target_sizes=[(96, 120)])
        check_boxes(found, expected, (96, 120))
    again = model.detect(state, ["striped"])[0]
    assert np.array_equal(again.boxes_xyxy, found.boxes_xyxy), "the image's features are those of the call before"


def check_boxes(found: Any, expected: dict[str, Any], size: tuple[int, int]) -> None:
    order = torch.sort(expected["scores"], descending=True, stable=True).indices
    boxes = expected["boxes"][order].double().numpy().clip(0, [size[1], size[0]] * 2)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    assert inside.sum() >= 3
    np.testing.assert_allclose(found.scores, expected["scores"][order].numpy()[inside], atol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, boxes[inside], atol=2e-3)


def test_sizes_are_those_of_transformers() -> None:
    from transformers.image_transforms import get_size_with_aspect_ratio

    generator = np.random.default_rng(0)
    for height, width in generator.integers(1, 3000, (500, 2)).tolist():
        expected = get_size_with_aspect_ratio((height, width), 800, 1333)
        assert detectors.fitted((height, width), 800, 1333) == expected, (height, width)


def test_long_phrases_are_cut_and_said(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, "owlv2")
    model = built(folder)
    with noting() as said:
        model.detect(model.encode(picture(64, 64)), ["disc", "a phrase of more letters than it takes"])
    assert list(said) == ["a phrase has more tokens than the model takes: only its first 12 are read"]


def test_remembered() -> None:
    asked: list[str] = []
    lengths = Remembered(lambda text: asked.append(text) or len(text), most=2)
    assert [lengths(t) for t in ("a", "bb", "a", "ccc", "a", "bb")] == [1, 2, 1, 3, 1, 2]
    assert asked == ["a", "bb", "ccc", "bb"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "number from 0 to 1"),
        ({"threshold": True}, "number from 0 to 1"),
        ({"template": "a photo"}, "for the phrase"),
        ({"template": "{} and {}"}, "for the phrase"),
        ({"resize": "logits"}, "unknown option"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    folder, _ = folder_of(tmp_path, "owlv2")
    with pytest.raises(UsageError) as e:
        models.resolve(f"hf:{folder}", options, device="cpu", precision="fp32")
    assert message in str(e.value)


def test_options_are_in_the_identity(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path, "owlv2")

    def identity(**options: Any) -> dict[str, Any]:
        return models.resolve(f"hf:{folder}", options, device="cpu", precision="fp32").identity

    plain = identity()
    assert identity(threshold=0.1) == plain, "the default, named"
    assert identity(threshold=0.2) != plain
    assert identity(template="a {}") != plain
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text() + "\n")
    assert identity() != plain, "the tokenizer decides what a phrase is"
    for name in ("tokenizer.json", "vocab.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="no tokenizer"):
        identity()
    with pytest.raises(ModelError, match="finds no concepts"):
        identity(concepts=True)
