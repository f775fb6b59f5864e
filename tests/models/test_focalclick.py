"""FocalClick: the authors' outputs with deterministic weights, focus crops, merging, their file format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sambench import cards
from sambench.errors import CheckpointError, UsageError
from sambench.models.clicks.coding import disk_maps
from sambench.models.clicks.probs import resize
from sambench.models.focalclick import segmenter as segmenter_module
from sambench.models.focalclick.build import ARCHITECTURES, b0s1, b0s2, b3s2, build_focalclick, hrnet18s_s1, wanted_params
from sambench.models.focalclick.focus import focus_window, merged
from sambench.models.focalclick.network import FocalNetwork
from sambench.models.focalclick.refiner import roi_sample
from sambench.models.focalclick.segmenter import FocalSegmenter
from sambench.pixels.region import Region
from sambench.types import Window
from tests.helpers.click_models import CLICK_ARRAYS, batch_of, click_through, difference, first_clicks, prompt_of
from tests.helpers.golden_clicks import CLICKS, golden_state_dict, manifest_digest, procedural_image, procedural_previous

TABLES = np.load(CLICK_ARRAYS / "tables.npz")
SQUARE = (256, 256)
# Names and shapes of the state dict that the authors' code writes: number of tensors, of elements, and a digest of all of them.
MANIFESTS = {
    "hrnet18s_s1": (983, 4_249_464, "639457844d"),
    "hrnet18s_s2": (983, 4_249_464, "639457844d"),
    "hrnet32_s2": (1949, 31_029_637, "fdfe0bb405"),
    "b0s1": (257, 3_741_676, "75a3b33b2d"),
    "b0s2": (257, 3_741_676, "75a3b33b2d"),
    "b3s2": (653, 45_689_356, "12c77bd9d4"),
}


def on_meta(arch: str) -> FocalNetwork:
    with torch.device("meta"):
        return FocalNetwork(ARCHITECTURES[arch])


def write(path: Path, arch: str, **changed: Any) -> Path:
    """A checkpoint as the authors write it, with golden weights."""
    values = {**wanted_params(arch), "use_leaky_relu": True, "norm_radius": 5, "use_disks": True, **changed}
    params = {k: {"type": "builtin", "value": v, "specified": True} for k, v in values.items()}
    config = {"class": "isegm.model.is_segformer_model.SegFormerModel", "params": params}
    torch.save({"state_dict": golden_state_dict(on_meta(arch), "focalclick"), "config": config}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("focalclick")


@pytest.fixture(scope="module")
def model(folder: Path) -> FocalSegmenter:
    return b3s2(weights=write(folder / "combined_segformerb3s2.pth", "b3s2"))


@pytest.fixture(scope="module")
def small(folder: Path) -> FocalSegmenter:
    return b0s2(weights=write(folder / "b0s2.pth", "b0s2"))


@pytest.fixture(scope="module")
def raw(model: FocalSegmenter) -> dict[str, torch.Tensor]:
    """The networks alone: first click; five clicks with the procedural previous mask, and the refiner on top of these."""
    rgb, whole = batch_of(procedural_image()), Window(0, 0, 300, 400)
    clicks = {n: first_clicks(n).into(whole, SQUARE) for n in (1, 5)}
    disks = {n: torch.from_numpy(disk_maps([c], SQUARE, 5)) for n, c in clicks.items()}
    crop = Window(60, 57, 250, 356)
    golden = np.load(CLICK_ARRAYS / "focalclick.npz")
    assert tuple(golden["refine_crop_y1y2x1x2"]) == (crop.y0, crop.y1, crop.x0, crop.x1)
    in_crop = torch.from_numpy(disk_maps([first_clicks(5).into(crop, SQUARE)], SQUARE, 5))
    previous = resize(torch.from_numpy(procedural_previous())[None, None], SQUARE)
    box = torch.from_numpy(golden["refine_roi"][None, 1:])
    with torch.inference_mode():
        first = model.network.coarse(resize(rgb, SQUARE), torch.zeros(1, 1, *SQUARE), disks[1])
        multi = model.network.coarse(resize(rgb, SQUARE), previous, disks[5])
        cut = resize(rgb[:, :, crop.y0 : crop.y1, crop.x0 : crop.x1], SQUARE)
        refined = model.network.refine(cut, in_crop, multi, box)
    np.testing.assert_allclose([multi.features.mean(), multi.features.std()], golden["feature_mean_std"], atol=1e-4)
    return {
        "raw_first_logits": first.logits,
        "raw_multi_logits": multi.logits,
        "refine_logits": refined.logits,
        "refine_trimap_logits": refined.trimap,
        "refine_coarse_logits": refined.coarse,
    }


@pytest.fixture(scope="module")
def pipeline(model: FocalSegmenter) -> list[tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]]:
    """The whole predictor: probabilities, target window and focus crop (y1, y2, x1, x2) after each click."""
    seen: list[Window] = []

    def watched(*args: Any) -> Window:
        seen.append(focus_window(*args))
        return seen[-1]

    out = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter_module, "focus_window", watched)
        for prediction in click_through(model, procedural_image()):
            assert prediction.carry is not None
            windows = (prediction.carry[0].stored or Window(0, 0, 300, 400), seen[-1])
            out.append((prediction.masks.prob(0), *((w.y0, w.y1, w.x0, w.x1) for w in windows)))
    return out  # type: ignore[return-value]


@pytest.mark.parametrize("arch", MANIFESTS)
def test_names_and_shapes_are_the_authors(arch: str) -> None:
    shapes = {k: tuple(t.shape) for k, t in on_meta(arch).state_dict().items()}
    count, elements, digest = MANIFESTS[arch]
    assert len(shapes) == count
    assert sum(int(np.prod(s)) for s in shapes.values()) == elements
    assert manifest_digest(shapes).startswith(digest)


def test_norms_have_the_authors_eps() -> None:
    """Not to be seen in the golden arrays: 1e-6 in blocks and after stages, 1e-5 in embeddings and reduced keys."""
    norms = {n: m.eps for n, m in on_meta("b3s2").named_modules() if isinstance(m, torch.nn.LayerNorm)}
    wide = [n for n, eps in norms.items() if eps == 1e-5]
    assert len(wide) == 30
    assert len(norms) == 90
    assert all("patch_embed" in n or n.endswith("attn.norm") for n in wide)
    assert all(eps == 1e-6 for n, eps in norms.items() if n not in wide)


@pytest.mark.parametrize(
    ("arch", "radius"), [("hrnet18s_s1", 2), ("b0s1", 3), ("hrnet18s_s2", 5), ("hrnet32_s2", 5), ("b0s2", 5), ("b3s2", 5)]
)
def test_disk_radius_follows_from_the_version(arch: str, radius: int) -> None:
    assert ARCHITECTURES[arch].disk_radius == radius


def test_networks_give_the_golden_logits(raw: dict[str, torch.Tensor]) -> None:
    golden = np.load(CLICK_ARRAYS / "focalclick.npz")
    assert {k: difference(v, golden[k], 9) for k, v in raw.items()} == pytest.approx(dict.fromkeys(raw, 0), abs=2e-4)


def test_segmenter_gives_the_golden_probabilities(pipeline: list[tuple[Any, ...]]) -> None:
    golden = np.load(CLICK_ARRAYS / "focalclick.npz")
    for k, (probs, target, focus) in enumerate(pipeline):
        assert target == tuple(golden["pipe_global_roi"][k]), k
        assert focus == tuple(golden["pipe_focus_roi"][k]), k
        assert np.abs(probs[::8, ::8] - golden["pipe_probs"][k].astype(np.float32)).max() < 1e-3, k
        stats = (probs.min(), probs.mean(), probs.max(), probs.std())
        np.testing.assert_allclose(stats, golden["pipe_prob_stats"][k], atol=5e-5)


@pytest.mark.shared
def test_every_pixel_of_the_golden_arrays(shared: Path, raw: dict[str, torch.Tensor], pipeline: list[tuple[Any, ...]]) -> None:
    golden = np.load(shared / "golden" / "clicks" / "focalclick.npz")
    for name, values in raw.items():
        assert difference(values, golden[f"proc_{name}"]) < 2e-4, name
    for k, (probs, _, _) in enumerate(pipeline):
        assert np.abs(probs - golden["proc_pipe_probs"][k].astype(np.float32)).max() < 1e-3, k


def unpacked(name: str, size: tuple[int, int]) -> Region:
    return Region.from_array(np.unpackbits(TABLES[name])[: size[0] * size[1]].reshape(size))


@pytest.mark.parametrize("i", range(20))
def test_focus_crops_are_the_authors(i: int) -> None:
    size = tuple(map(int, TABLES[f"focus_{i}_size"]))
    row, y0, y1, x0, x1, y, x, *expected = map(int, TABLES["focus_rows"][i])
    assert row == i
    new, old = (unpacked(f"focus_{i}_{which}", size) for which in ("new", "old"))  # type: ignore[arg-type]
    w = focus_window(new, old, Window(y0, x0, y1, x1), (y, x))
    assert [w.y0, w.y1, w.x0, w.x1] == expected


@pytest.mark.parametrize("i", range(6))
def test_progressive_merging_is_the_authors(i: int) -> None:
    old, new, expected = (unpacked(f"merge_{i}_{which}", (80, 100)) for which in ("prev", "pred", "out"))
    y, x = map(int, TABLES[f"merge_{i}_yx"])
    np.testing.assert_array_equal(merged(new, old, (y, x)).full(), expected.full())


def test_a_click_on_no_difference_merges_all_that_is_unchanged() -> None:
    """The authors' components number the unchanged pixels 0, and so their union is a part like any other."""
    old, new = np.zeros((2, 9, 12), bool)
    old[2:6, 2:6] = new[2:7, 2:6] = True
    on_object = merged(Region.from_array(new), Region.from_array(old), (3, 3))
    assert on_object.area == 0  # all that is unchanged, the old mask among it, is taken away
    outside = merged(Region.from_array(new), Region.from_array(old), (0, 0))
    np.testing.assert_array_equal(outside.full(), ~(old ^ new) | old)


def test_roi_sample_against_a_bilinear_loop() -> None:
    x = torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(2))
    boxes = torch.tensor([[0.0, 0.0, 10.0, 8.0], [2.25, 1.5, 7.75, 5.0]])
    out = roi_sample(x, boxes)
    torch.testing.assert_close(out[0], x[0], atol=1e-5, rtol=0)
    x0, y0, x1, y1 = boxes[1].tolist()
    for i in range(8):
        for j in range(10):
            at_y, at_x = y0 + (i + 0.5) * (y1 - y0) / 8 - 0.5, x0 + (j + 0.5) * (x1 - x0) / 10 - 0.5
            r, c = int(at_y), int(at_x)
            dy, dx = at_y - r, at_x - c
            want = (1 - dy) * ((1 - dx) * x[1, :, r, c] + dx * x[1, :, r, c + 1])
            want = want + dy * ((1 - dx) * x[1, :, r + 1, c] + dx * x[1, :, r + 1, c + 1])
            torch.testing.assert_close(out[1, :, i, j], want, atol=1e-5, rtol=0)


def test_objects_of_one_image_go_through_together(small: FocalSegmenter) -> None:
    image = procedural_image(200, 260)
    rows = (CLICKS * (0.65, 0.65, 1)).astype(np.int64)
    objects = [rows, rows[[2, 1, 0]], rows[[4, 3, 2]]]
    carries: list[Any] = [None] * 3
    alone = [list(click_through(small, image, o[:3])) for o in objects]
    small.batched = True
    try:
        state = small.encode(image)
        for k in range(1, 4):
            out = small.decode(state, [prompt_of(o[:k], c) for o, c in zip(objects, carries, strict=True)])
            for i, prediction in enumerate(out):
                assert prediction.carry is not None
                carries[i] = prediction.carry[0]
                np.testing.assert_allclose(prediction.masks.prob(0), alone[i][k - 1].masks.prob(0), atol=2e-5)
    finally:
        small.batched = False


def test_bf16_is_near_fp32(folder: Path, small: FocalSegmenter) -> None:
    half = b0s2(weights=folder / "b0s2.pth", precision="bf16")
    image = procedural_image(200, 260)
    (a,) = click_through(small, image, CLICKS[3:4])
    (b,) = click_through(half, image, CLICKS[3:4])
    gap = np.abs(a.masks.prob(0) - b.masks.prob(0)).mean()
    assert 0 < gap < 0.05
    assert b.masks.prob(0).dtype == np.float32


def test_an_initial_mask_starts_merging(small: FocalSegmenter) -> None:
    """Nothing but the part under the click changes, and the network's previous mask stays the probabilities."""
    image = procedural_image(200, 260)
    before = np.zeros((200, 260), bool)
    before[50:120, 60:160] = True
    region = Region.from_array(before)
    state = small.encode(image)
    (out,) = small.decode(state, [prompt_of(np.array([(150, 200, 1)]), region)])
    assert out.carry is not None
    memory = out.carry[0]
    assert memory.merging
    after = out.masks.array(0)
    np.testing.assert_array_equal(after, merged(memory.probs.above(0.5), region, (150, 200)).full())
    assert memory.mask.area == after.sum()
    (plain,) = small.decode(state, [prompt_of(np.array([(150, 200, 1)]))])
    assert plain.carry is not None
    assert not plain.carry[0].merging


def test_after_ten_clicks_only_the_focus_crop_changes(small: FocalSegmenter) -> None:
    image = procedural_image(120, 160)
    rng = np.random.default_rng(4)
    rows = np.column_stack([rng.integers(0, 120, 12), rng.integers(0, 160, 12), np.arange(12) % 2 == 0]).astype(np.int64)
    seen: list[Window] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter_module, "focus_window", lambda *a: (seen.append(focus_window(*a)), seen[-1])[1])
        maps = [p.masks.prob(0) for p in click_through(small, image, rows)]
    for k in (10, 11):
        w = seen[k]
        outside = np.ones((120, 160), bool)
        outside[w.y0 : w.y1, w.x0 : w.x1] = False
        np.testing.assert_allclose(maps[k][outside], maps[k - 1][outside], atol=1e-6)
    assert np.abs(maps[9] - maps[8]).max() > 1e-3


@pytest.mark.parametrize(("build", "wrote", "said"), [(b0s1, "b0s2", "pipeline_version = 's1'"), (b0s2, "b0s1", "'s2'")])
def test_the_other_version_is_refused_by_its_configuration(folder: Path, build: Any, wrote: str, said: str) -> None:
    path = folder / f"{wrote}.pth"
    if not path.exists():
        write(path, wrote)
    with pytest.raises(CheckpointError, match="configuration differs") as caught:
        build(weights=path)
    assert said in str(caught.value)


def test_a_checkpoint_of_another_family_is_named(folder: Path, small: FocalSegmenter) -> None:
    with pytest.raises(CheckpointError, match=r"looks like focalclick_b0 \(S1 or S2\)"):
        hrnet18s_s1(weights=folder / "b0s2.pth")
    with pytest.raises(CheckpointError, match="no weights"):
        hrnet18s_s1(weights=None)
    with pytest.raises(UsageError, match="b0s1"):
        build_focalclick("b0s3", weights=None)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_cards(arch: str) -> None:
    card = cards.model_card(f"focalclick_{arch}")
    assert card.gives == "single_mask"
    assert {"lvis_v05", "coco_2017_val"} < set(card.overlaps) <= set(cards.dataset_cards())
    numbers = {(p.dataset, p.threshold): p.value for p in card.published}
    assert len(numbers) == len(card.published) == 16
    if arch == "b3s2":
        assert numbers["davis345", 0.9] == 4.52
        assert numbers["davis585:init", 0.85] == 1.98
        assert {"ade20k", "thinobject5k_test"} < set(card.overlaps)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["hrnet18s_s1", "hrnet32_s2", "b0s1"])
def test_every_variant_runs(folder: Path, arch: str) -> None:
    model = build_focalclick(arch, weights=write(folder / f"run_{arch}.pth", arch))
    *_, last = click_through(model, procedural_image(), CLICKS[:2])
    probs = last.masks.prob(0)
    assert probs.shape == (300, 400)
    assert np.isfinite(probs).all()
    assert 0 <= probs.min() <= probs.max() <= 1
