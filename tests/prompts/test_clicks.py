"""What RITM, SimpleClick and FocalClick share: click maps, zoom-in, probability maps, and the refusal of what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sambench.errors import CheckpointError, ModelError, UsageError
from sambench.models.clicks.coding import Clicks, disk_maps
from sambench.models.clicks.probs import ProbMap, ProbMasks, regions_above
from sambench.models.clicks.segmenter import ClickSegmenter
from sambench.models.clicks.session import Memory, disks_on
from sambench.models.clicks.weights import parse_config, read
from sambench.models.clicks.zoom import ZoomIn, similarity
from sambench.models.focalclick.segmenter import ZOOM as FOCAL_ZOOM
from sambench.pixels.candidates import as_masks
from sambench.pixels.region import Region
from sambench.types import Prediction, Prompt, Window
from tests.helpers import GOLDEN

TABLES = np.load(GOLDEN / "clicks" / "tables.npz")
RITM_ZOOM, SIMPLE_ZOOM = ZoomIn(), ZoomIn(target=(448, 448), skip_clicks=-1)


def clicks_of(rows: np.ndarray) -> Clicks:
    return Clicks(rows[:, :2].astype(np.float64), rows[:, 2] == 1)


def window_of(row: np.ndarray) -> Window | None:
    """From (y0, x0, y1, x1), -1 for none."""
    return None if row[0] < 0 else Window(*map(int, row))


def test_disks_are_the_authors() -> None:
    points = TABLES["disk_points"]
    clicks = Clicks(points[:, :2].astype(np.float64), np.arange(8) < 4)
    expected = np.unpackbits(TABLES["disks"])[: 2 * 48 * 64].reshape(2, 48, 64)
    np.testing.assert_array_equal(disk_maps([clicks], (48, 64), 5)[0], expected)


@pytest.mark.parametrize("radius", [2, 3, 5])
def test_disks_against_the_definition(radius: int) -> None:
    rng = np.random.default_rng(radius)
    clicks = Clicks(rng.uniform(-8, 40, (12, 2)), rng.random(12) < 0.5)
    rows, cols = np.mgrid[0:30, 0:36].astype(np.float32)
    expected = np.zeros((2, 30, 36), np.float32)
    for (y, x), positive in zip(clicks.yx.astype(np.float32), clicks.positive, strict=True):
        if y >= 0 or x >= 0:
            expected[0 if positive else 1][(rows - y) ** 2 + (cols - x) ** 2 <= radius**2] = 1
    np.testing.assert_array_equal(disk_maps([clicks], (30, 36), radius)[0], expected)


@pytest.mark.parametrize(
    ("name", "zoom", "cut"), [("ritm", RITM_ZOOM, 0), ("simpleclick", SIMPLE_ZOOM, 0), ("focalclick", FOCAL_ZOOM, 1)]
)
def test_zoom_in_follows_the_authors(name: str, zoom: ZoomIn, cut: int) -> None:
    """Windows, sizes, when a window is replaced, clicks in the crop: 12 objects at 4 clicks, one of them with the stale window."""
    stored: Window | None = None
    all_clicks = TABLES[f"{name}_clicks"]
    for row, masks in zip(TABLES[f"{name}_rows"], TABLES["mask_windows"], strict=True):
        image, step = row[:2]
        size = (int(masks[2]), int(masks[3]))
        mine = all_clicks[(all_clicks[:, 0] == image) & (all_clicks[:, 1] == step)]
        clicks = clicks_of(mine[:, 2:5])
        before = None if step == 0 else stored
        view = zoom.view(size, clicks, window_of(masks[4:8] if cut == 0 else masks[8:12]), before)
        stored = view.stored
        inclusive = (-1,) * 4 if stored is None else (stored.y0, stored.y1 - 1, stored.x0, stored.x1 - 1)
        where = f"{name} {image} {step}"
        assert inclusive == tuple(row[2:6]), where
        assert view.size == tuple(row[6:8]), where
        if cut == 0:
            assert (stored != before) == bool(row[8]), where
        seen = clicks if view.window is None else clicks.into(view.window, view.size)
        if image == 5 and step == 3 and zoom.skip_clicks >= 0:
            assert view.window is None, where  # seen whole, put into the old window
            assert view.target == stored is not None, where
        np.testing.assert_allclose(seen.yx, mine[:, 5:7], rtol=0, atol=1e-9, err_msg=where)


def test_similarity_is_of_intervals_not_of_areas() -> None:
    a, b = Window(0, 0, 10, 10), Window(5, 0, 15, 20)
    assert similarity(a, b) == pytest.approx(5 / 15 * 10 / 20)
    assert similarity(a, a) == 1.0
    assert similarity(a, Window(20, 20, 30, 30)) == 0.0


def test_a_positive_click_on_the_windows_last_row_moves_it() -> None:
    stored = Window(50, 50, 251, 251)
    inside = Clicks(np.array([[100.0, 100.0], [249.0, 100.0]]), np.array([True, True]))
    edge = Clicks(np.array([[100.0, 100.0], [250.0, 100.0]]), np.array([True, True]))
    mask = Window(80, 80, 220, 220)
    assert ZoomIn().view((400, 400), inside, mask, stored).window == stored
    assert ZoomIn().view((400, 400), edge, mask, stored).window != stored


def test_prob_map_is_zero_outside_its_window() -> None:
    values = torch.rand(6, 5)
    probs = ProbMap(values, Window(2, 3, 8, 8), 12, 10)
    full = np.zeros((12, 10), np.float32)
    full[2:8, 3:8] = values.numpy()
    np.testing.assert_array_equal(probs.crop().numpy(), full)
    for window in (Window(0, 0, 4, 4), Window(2, 3, 8, 8), Window(9, 9, 12, 10), Window(3, 0, 7, 10)):
        y0, x0, y1, x1 = window
        np.testing.assert_array_equal(probs.crop(window).numpy(), full[y0:y1, x0:x1])
    masks = as_masks(ProbMasks(probs, 0.49, probs.above(0.49)), 12, 10)
    np.testing.assert_array_equal(masks.array(0), full > 0.49)
    np.testing.assert_array_equal(masks.prob(0, Window(1, 1, 9, 9)), full[1:9, 1:9])
    logit = np.log(full[2:8, 3:8] / (1 - full[2:8, 3:8])) - np.log(0.49 / 0.51)
    for t in (-0.7, 0.0, 0.7):
        assert masks.area(t)[0] == int((logit > t).sum())


def test_regions_that_are_read_together_are_those_read_one_by_one() -> None:
    maps = [ProbMap(torch.rand(6, 5), Window(2, 3, 8, 8), 12, 10), ProbMap(torch.rand(12, 10), Window(0, 0, 12, 10), 12, 10)]
    asked = [(m, cut) for cut in (0.3, 0.6, 1.0) for m in maps]
    for region, (probs, cut) in zip(regions_above(asked), asked, strict=True):
        assert np.array_equal(region.full(), (probs.crop() > cut).numpy())


def test_disks_drawn_on_a_device_are_those_of_the_host() -> None:
    rng = np.random.default_rng(0)
    for size in ((40, 60), (1, 7), (33, 5)):
        clicks = []
        for n in (1, 4, 9):
            yx = rng.uniform(-8, 68, (n, 2)).round(1)
            yx[0] = (-1, -2) if n == 4 else np.floor(yx[0])  # absent; whole numbers
            clicks.append(Clicks(yx, rng.random(n) < 0.5))
        for radius in (1, 3, 5):
            found = disks_on(clicks, size, radius, torch.device("cpu"))
            assert found.dtype == torch.float32
            assert np.array_equal(found.numpy(), disk_maps(clicks, size, radius))


class Toy(torch.nn.Module):
    """Logits from the disks, the previous mask and the picture; not symmetric left and right."""

    disk_radius = 3

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(6, 1, 5, padding=2, bias=False)
        torch.nn.init.normal_(self.mix.weight, std=0.4, generator=torch.Generator().manual_seed(1))

    def forward(self, rgb: torch.Tensor, previous: torch.Tensor, disks: torch.Tensor) -> torch.Tensor:
        return 4 * disks[:, :1] - 4 * disks[:, 1:] + self.mix(torch.cat([rgb, previous, disks], 1))


def prompt(rows: list[tuple[int, int, int]], carry: object = None) -> Prompt:
    """From (x, y, label)."""
    at = np.array(rows, np.float32)
    return Prompt(points_xy=at[:, :2], labels=at[:, 2].astype(np.int8), carry=carry)


def carry_of(prediction: Prediction) -> object:
    assert prediction.carry is not None
    return prediction.carry[0]


@pytest.mark.parametrize("zoom", [RITM_ZOOM, SIMPLE_ZOOM, ZoomIn(target=64, min_side=20)])
def test_a_batch_gives_what_its_objects_give_alone(zoom: ZoomIn) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 120, 3), np.uint8)
    together, alone = (ClickSegmenter(Toy(), name="toy", zoom=zoom) for _ in range(2))
    together.batched = True
    points = [(int(x), int(y)) for x, y in rng.integers(5, 85, (5, 2))]
    clicks: list[list[tuple[int, int, int]]] = [[(x, y, 1)] for x, y in points]
    carries: list[object] = [None] * 5
    lone: list[object] = [None] * 5
    states = together.encode(image), alone.encode(image)
    for step in range(3):
        batch = together.decode(states[0], [prompt(c, m) for c, m in zip(clicks, carries, strict=True)])
        for i, (mine, other) in enumerate(zip(clicks, lone, strict=True)):
            (one,) = alone.decode(states[1], [prompt(mine, other)])
            np.testing.assert_allclose(batch[i].masks.prob(0), one.masks.prob(0), atol=2e-6)
            assert batch[i].scores.tolist() == [1.0]
            lone[i], carries[i] = carry_of(one), carry_of(batch[i])
            mine.append((points[i][0] + step, points[i][1] + 2 * step, step % 2))


def test_flip_is_the_mean_of_logits() -> None:
    """A mirrored picture with mirrored clicks gives the mirrored answer."""
    image = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    model = ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM)
    (a,) = model.decode(model.encode(image), [prompt([(20, 30, 1), (50, 10, 0)])])
    (b,) = model.decode(model.encode(image[:, ::-1]), [prompt([(59, 30, 1), (29, 10, 0)])])
    np.testing.assert_allclose(a.masks.prob(0), b.masks.prob(0)[:, ::-1], atol=1e-6)


def test_an_initial_mask_is_the_first_previous_mask() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[10:20, 10:30] = True
    model = ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM)
    state = model.encode(image)
    region = Region.from_array(mask)
    (started,) = model.decode(state, [prompt([(12, 12, 1)], region)])
    memory = Memory(ProbMap(torch.from_numpy(mask.astype(np.float32)), Window(0, 0, 40, 50), 40, 50), None, None)
    (same,) = model.decode(state, [prompt([(12, 12, 1)], memory)])
    (without,) = model.decode(state, [prompt([(12, 12, 1)])])
    np.testing.assert_array_equal(started.masks.prob(0), same.masks.prob(0))
    assert np.abs(started.masks.prob(0) - without.masks.prob(0)).max() > 0.01


@pytest.mark.parametrize(("height", "width"), [(1, 700), (3, 2), (1, 1)])
def test_odd_images_are_no_trouble(height: int, width: int) -> None:
    model = ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM)
    state = model.encode(np.full((height, width, 3), 200, np.uint8))
    (first,) = model.decode(state, [prompt([(width - 1, 0, 1)])])
    (second,) = model.decode(state, [prompt([(width - 1, 0, 1), (0, 0, 1)], carry_of(first))])
    assert second.masks.array(0).shape == (height, width)


def test_max_side_limits_what_the_network_sees() -> None:
    seen: list[tuple[int, ...]] = []
    model = ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM, max_side=64)
    model.network.register_forward_hook(lambda _m, args, _out: seen.append(tuple(args[0].shape[2:])))
    (out,) = model.decode(model.encode(np.zeros((300, 200, 3), np.uint8)), [prompt([(12, 12, 1)])])
    assert set(seen) == {(64, 43)}
    assert out.masks.array(0).shape == (300, 200)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Prompt(), "no point"),
        (Prompt(box_xyxy=(1, 2, 3, 4)), "a box"),
        (prompt([(1, 1, 1)], carry=torch.zeros(3)), "carry"),
        (prompt([(1, 1, 1)], carry=Region.from_array(np.ones((3, 3)))), "carry"),
    ],
)
def test_prompts_that_are_no_clicks_are_refused(bad: Prompt, says: str) -> None:
    model = ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM)
    state = model.encode(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ModelError, match="toy") as caught:
        model.decode(state, [bad])
    assert says in str(caught.value)


def test_images_and_settings_that_do_not_fit_are_refused() -> None:
    model = ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM)
    with pytest.raises(ModelError, match="image"):
        model.encode(np.zeros((20, 20), np.uint8))
    with pytest.raises(UsageError, match="precision"):
        ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM, precision="fp8")
    with pytest.raises(ModelError, match="max_side"):
        ClickSegmenter(Toy(), name="toy", zoom=RITM_ZOOM, max_side=3)


def test_authors_files_are_read_with_their_configuration(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    params = {"width": {"type": "builtin", "value": 18, "specified": True}}
    torch.save({"state_dict": {"w": torch.ones(2)}, "config": {"class": "isegm.Model", "params": params}}, path)
    stored = read(path)
    assert (stored.config_class, stored.params, list(stored.state)) == ("isegm.Model", {"width": 18}, ["w"])
    bare = tmp_path / "b.pth"
    torch.save({"w": torch.ones(2)}, bare)
    assert read(bare).params == {}
    with pytest.raises(CheckpointError, match="configuration"):
        parse_config({"class": "x"}, path)
