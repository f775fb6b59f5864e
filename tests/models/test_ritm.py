"""RITM: the authors' outputs with deterministic weights, their file format, and files that are of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sambench import cards
from sambench.errors import CheckpointError, UsageError
from sambench.models.clicks.coding import disk_maps
from sambench.models.clicks.segmenter import ClickSegmenter
from sambench.models.clicks.session import Memory
from sambench.models.clicks.zoom import ZoomIn
from sambench.models.families import SIGNATURES
from sambench.models.focalclick.build import ARCHITECTURES as FOCAL
from sambench.models.focalclick.network import FocalNetwork
from sambench.models.ritm.build import ARCHITECTURES, build_ritm, hrnet18s, hrnet32
from sambench.models.ritm.network import RitmNetwork
from tests.helpers.click_models import CLICK_ARRAYS, batch_of, click_through, difference, first_clicks, prompt_of
from tests.helpers.golden_clicks import CLICKS, golden_state_dict, manifest_digest, procedural_image, procedural_previous

SIZE = (300, 400)
# Names and shapes of the state dict that the authors' code writes: number of tensors, of elements, and a digest of all of them.
MANIFESTS = {
    "hrnet18": (1895, 10_068_217, "1ec83ec6f0"),
    "hrnet18s": (929, 4_237_744, "dbd0147e06"),
    "hrnet32": (1895, 31_012_797, "9559f585b6"),
}
PARAMS = {
    "with_aux_output": True, "use_leaky_relu": True, "use_rgb_conv": False, "use_disks": True, "norm_radius": 5,
    "with_prev_mask": True, "binary_prev_mask": False, "clicks_groups": None, "conv_extend": False, "cpu_dist_maps": False,
    "norm_mean_std": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), "backbone_lr_mult": 0.1,
    "norm_layer": "torch.nn.modules.batchnorm.BatchNorm2d",
}  # fmt: skip


def on_meta(arch: str) -> RitmNetwork:
    with torch.device("meta"):
        return RitmNetwork(ARCHITECTURES[arch])


def write(path: Path, arch: str, **changed: Any) -> Path:
    """A checkpoint as the authors write it, with golden weights."""
    c = ARCHITECTURES[arch]
    values = {**PARAMS, "width": c.width, "ocr_width": c.ocr_width, "small": c.small, **changed}
    params = {k: {"type": "class" if k == "norm_layer" else "builtin", "value": v, "specified": True} for k, v in values.items()}
    config = {"class": "isegm.model.is_hrnet_model.HRNetModel", "params": params}
    torch.save({"state_dict": golden_state_dict(on_meta(arch), "ritm"), "config": config}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ritm")


@pytest.fixture(scope="module")
def model(folder: Path) -> ClickSegmenter:
    return build_ritm("hrnet32", weights=write(folder / "coco_lvis_h32_itermask.pth", "hrnet32"))


@pytest.fixture(scope="module")
def small(folder: Path) -> ClickSegmenter:
    return hrnet18s(weights=write(folder / "h18s.pth", "hrnet18s"))


@pytest.fixture(scope="module")
def raw(model: ClickSegmenter) -> dict[str, torch.Tensor]:
    """The network alone: first click, and five clicks with the procedural previous mask."""
    rgb, network = batch_of(procedural_image()), model.network
    assert isinstance(network, RitmNetwork)
    out = {}
    with torch.inference_mode():
        disks = torch.from_numpy(disk_maps([first_clicks(1)], SIZE, 5))
        out["raw_first_logits"], out["raw_first_aux_logits"] = network.both(rgb, torch.zeros(1, 1, *SIZE), disks)
        disks = torch.from_numpy(disk_maps([first_clicks(5)], SIZE, 5))
        out["raw_multi_logits"] = network(rgb, torch.from_numpy(procedural_previous())[None, None], disks)
    return out


@pytest.fixture(scope="module")
def pipeline(model: ClickSegmenter) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    """The whole predictor: probabilities and zoom-in window (rmin, rmax, cmin, cmax) after each click."""
    out = []
    for prediction in click_through(model, procedural_image()):
        assert prediction.carry is not None
        w = prediction.carry[0].stored
        out.append((prediction.masks.prob(0), (-1,) * 4 if w is None else (w.y0, w.y1 - 1, w.x0, w.x1 - 1)))
    return out


@pytest.mark.parametrize("arch", MANIFESTS)
def test_names_and_shapes_are_the_authors(arch: str) -> None:
    shapes = {k: tuple(t.shape) for k, t in on_meta(arch).state_dict().items()}
    count, elements, digest = MANIFESTS[arch]
    assert len(shapes) == count
    assert sum(int(np.prod(s)) for s in shapes.values()) == elements
    assert manifest_digest(shapes).startswith(digest)


def test_network_gives_the_golden_logits(raw: dict[str, torch.Tensor]) -> None:
    golden = np.load(CLICK_ARRAYS / "ritm.npz")
    assert {k: difference(v, golden[k], 9) for k, v in raw.items()} == pytest.approx(dict.fromkeys(raw, 0), abs=2e-4)


def test_segmenter_gives_the_golden_probabilities(pipeline: list[tuple[np.ndarray, tuple[int, ...]]]) -> None:
    golden = np.load(CLICK_ARRAYS / "ritm.npz")
    for k, (probs, window) in enumerate(pipeline):
        assert window == tuple(golden["pipe_object_roi"][k]), k
        assert np.abs(probs[::8, ::8] - golden["pipe_probs"][k].astype(np.float32)).max() < 1e-3, k
        stats = (probs.min(), probs.mean(), probs.max(), probs.std())
        np.testing.assert_allclose(stats, golden["pipe_prob_stats"][k], atol=2e-5)


@pytest.mark.shared
def test_every_pixel_of_the_golden_arrays(
    shared: Path, raw: dict[str, torch.Tensor], pipeline: list[tuple[np.ndarray, tuple[int, ...]]]
) -> None:
    golden = np.load(shared / "golden" / "clicks" / "ritm.npz")
    for name, values in raw.items():
        assert difference(values, golden[f"proc_{name}"]) < 2e-4, name
    np.testing.assert_array_equal(disk_maps([first_clicks(5)], SIZE, 5)[0], golden["proc_raw_multi_disks"])
    for k, (probs, _) in enumerate(pipeline):
        assert np.abs(probs - golden["proc_pipe_probs"][k].astype(np.float32)).max() < 1e-3, k


def test_objects_of_one_image_go_through_together(small: ClickSegmenter) -> None:
    """One stack of two objects gives what each gives alone, at the first click and after it."""
    image = procedural_image(96, 128)
    rows = (CLICKS * (0.32, 0.32, 1)).astype(np.int64)
    others = rows[[2, 1, 0]]
    small.batched = True
    try:
        state = small.encode(image)
        first = small.decode(state, [prompt_of(rows[:1]), prompt_of(others[:1])])
        carries = [p.carry[0] for p in first if p.carry is not None]
        second = small.decode(state, [prompt_of(rows[:2], carries[0]), prompt_of(others[:2], carries[1])])
    finally:
        small.batched = False
    for clicks, a, b in ((rows, first[0], second[0]), (others, first[1], second[1])):
        alone = list(click_through(small, image, clicks[:2]))
        np.testing.assert_allclose(a.masks.prob(0), alone[0].masks.prob(0), atol=1e-5)
        np.testing.assert_allclose(b.masks.prob(0), alone[1].masks.prob(0), atol=1e-5)


def test_bf16_is_near_fp32(folder: Path, small: ClickSegmenter) -> None:
    half = hrnet18s(weights=folder / "h18s.pth", precision="bf16")
    image = procedural_image(60, 80)
    for a, b in zip(click_through(small, image, CLICKS[3:4]), click_through(half, image, CLICKS[3:4]), strict=True):
        gap = np.abs(a.masks.prob(0) - b.masks.prob(0)).max()
        assert 0 < gap < 0.05
        assert b.masks.prob(0).dtype == np.float32


def test_the_stored_configuration_is_followed(folder: Path) -> None:
    leaky = build_ritm("hrnet18s", weights=write(folder / "plain.pth", "hrnet18s", norm_radius=3, use_leaky_relu=False))
    network = leaky.network
    assert isinstance(network, RitmNetwork)
    assert network.disk_radius == 3
    assert isinstance(network.maps_transform[1], torch.nn.ReLU)
    assert leaky.zoom == ZoomIn(target=400)
    assert leaky.identity["cut"] == 0.49


@pytest.mark.parametrize(("name", "value"), [("use_rgb_conv", True), ("use_disks", False), ("ocr_width", 64)])
def test_a_configuration_of_another_model_is_refused(folder: Path, name: str, value: Any) -> None:
    path = write(folder / f"{name}.pth", "hrnet18s", **{name: value})
    with pytest.raises(CheckpointError, match="configuration differs") as caught:
        hrnet18s(weights=path)
    assert f"{name} = {value!r}" in str(caught.value)


def test_a_checkpoint_of_another_family_is_named(folder: Path, small: ClickSegmenter) -> None:
    with pytest.raises(CheckpointError, match="looks like ritm_hrnet18s"):
        hrnet32(weights=folder / "h18s.pth")
    with torch.device("meta"):
        focal = FocalNetwork(FOCAL["b0s2"])
    torch.save(golden_state_dict(focal), folder / "focal.pth")
    with pytest.raises(CheckpointError, match=r"looks like focalclick_b0 \(S1 or S2\)"):
        hrnet18s(weights=folder / "focal.pth")
    sam = {k: torch.zeros(s) for k, s in SIGNATURES["mobile_sam"].items()}
    torch.save(sam, folder / "sam.pth")
    with pytest.raises(CheckpointError, match="looks like mobile_sam"):
        hrnet18s(weights=folder / "sam.pth")
    with pytest.raises(CheckpointError, match="no weights"):
        hrnet18s(weights=None)
    with pytest.raises(UsageError, match="hrnet18"):
        build_ritm("hrnet19", weights=None)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_cards(arch: str) -> None:
    card = cards.model_card(f"ritm_{arch}")
    assert card.gives == "single_mask"
    assert {"lvis_v05", "lvis_v1_val", "coco_2017_val"} == set(card.overlaps) <= set(cards.dataset_cards())
    numbers = {(p.dataset, p.threshold): p.value for p in card.published}
    assert len(numbers) == len(card.published) == 9
    if arch == "hrnet32":
        assert numbers["grabcut", 0.9] == 1.56
        assert numbers["davis345", 0.85] == 4.11
    assert set(cards.load_entry(card.factory, where=card.id).keywords) == set()


def test_memory_keeps_what_the_next_click_needs(small: ClickSegmenter) -> None:
    (first, second) = click_through(small, procedural_image(60, 80), np.array([(20, 30, 1), (50, 60, 0)]))
    assert first.carry is not None
    assert isinstance(first.carry[0], Memory)
    assert first.carry[0].stored is None
    assert second.masks.array(0).shape == (60, 80)
