"""The two baselines without weights: their rules on pictures whose answer is known, and that nothing in them is random."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from sambench.errors import ModelError
from sambench.models.grabcut import grabcut
from sambench.models.otsu import otsu
from sambench.pixels.region import Region
from sambench.pixels.region_masks import RegionMasks
from sambench.prompts import box_prompt, center_click, next_click
from sambench.types import Prompt, Segmenter, Window

HEIGHT, WIDTH = 160, 200


def clicks(*xy_label: tuple[float, float, int], carry: Any = None, box: Any = None) -> Prompt:
    xy = np.array([c[:2] for c in xy_label], np.float32).reshape(-1, 2)
    return Prompt(xy, np.array([c[2] for c in xy_label], np.int8), box_xyxy=box, carry=carry)


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, cols = np.ogrid[:HEIGHT, :WIDTH]
    return (rows - y) ** 2 + (cols - x) ** 2 <= radius**2


def picture(noise: float = 12.0, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """An orange disc, a second one apart from it, and a dark one, on a blue ground with noise; the masks by name."""
    masks = {"disc": disc(60, 60, 22), "twin": disc(60, 140, 15), "dark": disc(120, 100, 12)}
    image = np.full((HEIGHT, WIDTH, 3), (60.0, 80.0, 150.0))
    image[masks["disc"] | masks["twin"]] = (230, 140, 40)
    image[masks["dark"]] = (20, 10, 30)
    image += np.random.default_rng(seed).normal(0, noise, image.shape)
    return image.clip(0, 255).astype(np.uint8), masks


def answer(model: Segmenter, image: np.ndarray, prompt: Prompt) -> Region:
    (prediction,) = model.decode(model.encode(image), [prompt])
    assert len(prediction.masks) == len(prediction.scores) == 1
    assert (prediction.masks.height, prediction.masks.width) == image.shape[:2]
    return prediction.masks.region(0)


@pytest.fixture(params=[grabcut, otsu], ids=["grabcut", "otsu"])
def model(request: pytest.FixtureRequest) -> Segmenter:
    return request.param()


# --- both ---


def test_a_click_finds_the_object(model: Segmenter) -> None:
    image, masks = picture()
    for name, at in (("disc", (60, 60, 1)), ("twin", (140, 60, 1))):
        assert answer(model, image, clicks(at)).iou(Region.from_array(masks[name])) > 0.9, name


def test_a_box_finds_the_object(model: Segmenter) -> None:
    image, masks = picture()
    for name in ("disc", "twin"):
        target = Region.from_array(masks[name])
        assert answer(model, image, clicks(box=box_prompt(target))).iou(target) > 0.9, name


def test_they_are_segmenters_without_torch(model: Segmenter) -> None:
    assert isinstance(model, Segmenter)
    assert model.identity["model"] in ("grabcut", "otsu")  # type: ignore[attr-defined]


def test_one_prompt_alone_and_among_others_answer_alike(model: Segmenter) -> None:
    image, _ = picture()
    prompts = [clicks((60, 60, 1)), clicks((140, 60, 1)), clicks((100, 120, 1)), clicks(box=(30.0, 30.0, 90.0, 90.0))]
    state = model.encode(image)
    together = [p.masks.rle(0) for p in model.decode(state, prompts)]
    alone = [model.decode(state, [p])[0].masks.rle(0) for p in reversed(prompts)][::-1]
    assert together == alone
    assert model.decode(state, []) == []


def test_opencv_random_state_is_of_no_consequence(model: Segmenter) -> None:
    # Smooth noise: colour models that start elsewhere end elsewhere, as the seeds at the end show.
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3)), (0, 0), 5)
    image = (128 + 40 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    prompt = clicks((60, 60, 1), (75, 60, 1), (95, 60, 0))
    found = []
    for seed in (1, 2, 3):
        cv2.setRNGSeed(seed)
        found.append(answer(model, image, prompt).rle())
    assert found[0] == found[1] == found[2]
    assert len({answer(grabcut(seed=seed), image, prompt).rle()["counts"] for seed in range(5)}) > 1


def test_no_object_prompted_gives_an_empty_mask(model: Segmenter) -> None:
    image, _ = picture()
    assert answer(model, image, clicks((60, 60, 0))).area == 0
    assert answer(model, image, clicks()).area == 0


@pytest.mark.parametrize("factory", [grabcut, otsu])
@pytest.mark.parametrize("flags", [{"device": "cuda:0"}, {"precision": "bf16"}, {"weights": "w.pth"}])
def test_flags_they_have_no_use_for_are_refused(factory: Any, flags: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="without weights, on the CPU"):
        factory(**flags)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (30, 30)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_tiny_and_uniform_images(model: Segmenter, shape: tuple[int, int], value: int) -> None:
    image = np.full((*shape, 3), value, np.uint8)
    y, x = shape[0] - 1, shape[1] - 1
    mask = answer(model, image, clicks((x, y, 1)))
    assert mask.area >= 1
    assert mask.full()[y, x]
    assert answer(model, image, clicks((0, 0, 1), (x, y, 0))).area >= 0
    assert answer(model, image, clicks(box=(0.0, 0.0, float(x), float(y)))).area >= 1


# --- GrabCut ---


def test_grabcut_gets_better_with_clicks() -> None:
    image, masks = picture(noise=60)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    model = grabcut()
    target = Region.from_array(masks["disc"] & ~disc(60, 52, 9))  # a hole that the colours deny
    state, carry, points, ious = model.encode(image), None, [], []
    click = center_click(target)
    for _ in range(9):
        points.append((click.x, click.y, int(click.positive)))
        (prediction,) = model.decode(state, [clicks(*points, carry=carry)])
        assert prediction.carry is not None
        carry = prediction.carry[0]
        ious.append(float(prediction.masks.iou(target)[0]))
        following = next_click(target, prediction.masks.region(0), clicked=[p[:2] for p in points])
        assert following is not None
        click = following
    assert ious[-1] > ious[0]


def test_grabcut_heeds_the_labels_of_clicked_pixels() -> None:
    image, _ = picture()
    # A click denies a pixel six away from the first one: both keep the two pixels around them, in whichever order they come.
    for first, second in (((60, 60, 1), (66, 60, 0)), ((66, 60, 0), (60, 60, 1))):
        mask = answer(grabcut(certain_radius=9), image, clicks(first, second, (60, 80, 1))).full()
        assert mask[60, 58:63].all()
        assert not mask[60, 64:69].any()
        assert mask[80, 60]
    beside = answer(grabcut(), image, clicks((60, 60, 1), (61, 60, 0))).full()
    assert beside[60, 60]
    assert not beside[60, 61]


@pytest.mark.parametrize("side", [150, 420])
def test_grabcut_window_grows_to_hold_a_large_object(side: int) -> None:
    # The click is near a corner, so that the first window, of 96 pixels, sees both the object and its ground.
    image = np.full((600, 700, 3), 40, np.uint8)
    image[60 : 60 + side, 80 : 80 + side] = (200, 180, 60)
    image += np.random.default_rng(0).integers(0, 20, image.shape).astype(np.uint8)
    target = Region.from_window(np.ones((side, side), bool), 60, 80, 600, 700)
    assert answer(grabcut(), image, clicks((100, 80, 1))).iou(target) > 0.97


def test_grabcut_never_leaves_the_box_and_starts_from_the_carry() -> None:
    image, masks = picture()
    model = grabcut()
    inside = answer(model, image, clicks(box=(50.0, 40.0, 70.0, 80.0)))
    x0, y0, x1, y1 = inside.box_xyxy
    assert (x0 >= 50, y0 >= 40, x1 <= 70, y1 <= 80) == (True,) * 4
    both = Region.from_array(masks["disc"])
    assert answer(model, image, clicks((60, 60, 1), carry=both)).iou(both) > 0.9


def test_grabcut_options_are_in_the_identity_and_checked() -> None:
    assert grabcut().identity == {
        "model": "grabcut",
        "window": 96,
        "max_side": 200,
        "iterations": 1,
        "probable_radius": 8,
        "certain_radius": 3,
        "seed": 0,
    }
    assert grabcut(iterations=5).identity != grabcut().identity
    for bad in ({"window": 1}, {"iterations": 0}, {"max_side": 2.5}, {"certain_radius": -1}, {"window": True}):
        with pytest.raises(ModelError, match="does not fit"):
            grabcut(**bad)


# --- Otsu ---


def test_otsu_takes_the_component_on_the_side_of_the_click() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 10:20] = image[10:20, 30:50] = 200
    assert answer(otsu(), image, clicks((12, 12, 1))).box_xyxy == (10, 10, 19, 19)
    ground = answer(otsu(), image, clicks((0, 0, 1)))
    assert ground.area == 40 * 60 - 100 - 200
    assert answer(otsu(), image, clicks((12, 12, 1), (35, 12, 1))).area == 300
    assert answer(otsu(), image, clicks((12, 12, 1), (35, 12, 1), (0, 0, 0))).area == 300


def test_otsu_splits_a_component_between_clicks_of_either_label() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 10:51] = 200
    mask = answer(otsu(), image, clicks((10, 15, 1), (50, 15, 0)))
    assert mask.box_xyxy == (10, 10, 30, 19)  # the middle column is as near to either, and goes with the object
    assert mask.area == 21 * 10


def test_otsu_components_touch_by_sides() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    image[2, 2] = image[3, 3] = 255
    assert answer(otsu(), image, clicks((2, 2, 1))).area == 1


def test_otsu_gray_weighs_the_channels_as_rgb() -> None:
    # Green is brighter than blue: read as BGR or unweighted, the halves would change levels or fall together.
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, :10, 0], image[:, 10:, 2] = 200, 200
    state = otsu().encode(image)
    assert state.gray[0, 0] == 60
    assert state.gray[0, 19] == 23
    assert answer(otsu(), image, clicks((0, 0, 1))).box_xyxy == (0, 0, 9, 19)


def test_otsu_in_a_box_takes_the_level_rarer_on_its_rim() -> None:
    image = np.full((40, 60, 3), 220, np.uint8)
    image[10:20, 10:20] = 30
    assert answer(otsu(), image, clicks(box=(5.0, 5.0, 25.0, 25.0))).box_xyxy == (10, 10, 19, 19)
    image = 255 - image
    assert answer(otsu(), image, clicks(box=(5.0, 5.0, 25.0, 25.0))).box_xyxy == (10, 10, 19, 19)
    assert answer(otsu(), image, clicks((6, 6, 1), box=(5.0, 5.0, 25.0, 25.0))).area == 21 * 21 - 100


# --- the container they return ---


def test_region_masks_say_what_the_full_frames_say() -> None:
    _, named = picture()
    frames = [*named.values(), np.zeros((HEIGHT, WIDTH), bool)]
    masks = RegionMasks([Region.from_array(f) for f in frames], HEIGHT, WIDTH)
    target = Region.from_array(disc(65, 62, 20))
    assert len(masks) == 4
    assert masks.area().tolist() == [int(f.sum()) for f in frames]
    assert masks.box().tolist() == [list(Region.from_array(f).box_xyxy) for f in frames]
    full = target.full()
    expected = [(f & full).sum() / (f | full).sum() for f in frames]
    assert masks.iou(target).tolist() == expected
    window = Window(50, 40, 90, 150)
    for i, frame in enumerate(frames):
        assert np.array_equal(masks.array(i), frame)
        assert masks.rle(i) == Region.from_array(frame).rle()
        assert np.array_equal(masks.prob(i), frame.astype(np.float32))
        assert np.array_equal(masks.prob(i, window), frame[50:90, 40:150].astype(np.float32))
    with pytest.raises(ModelError, match="no logits"):
        masks.area(1.0)
    with pytest.raises(ValueError, match="candidate 0 is of 160 x 200"):
        RegionMasks([Region.from_array(frames[0])], HEIGHT, WIDTH + 1)
