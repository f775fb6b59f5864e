"""SimpleClick: the authors' arrays by module and through the Segmenter, their files, their manifests, other families' files."""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sambench import cards
from sambench.errors import CheckpointError, UsageError
from sambench.models.clicks.coding import Clicks, disk_maps
from sambench.models.clicks.probs import resize
from sambench.models.clicks.segmenter import ClickSegmenter
from sambench.models.clicks.weights import LOSS_OBJECTS, read
from sambench.models.clicks.zoom import ZoomIn
from sambench.models.simpleclick.build import ARCHITECTURES, build_simpleclick
from sambench.models.simpleclick.model import Head, Pyramid, SimpleClick, SimpleClickConfig
from sambench.models.simpleclick.vit import Attention, PlainViT, into_windows, out_of_windows
from sambench.models.weight_files import Inert, read_content
from sambench.types import Prompt
from tests.helpers.click_models import CLICK_ARRAYS, batch_of, click_through, difference, first_clicks
from tests.helpers.golden_clicks import OVERRIDES, manifest_digest, procedural_image, procedural_previous, value

TINY = SimpleClickConfig(embed_dim=32, depth=4, num_heads=2, patch_size=16, pyramid_dims=(8, 16, 24, 32), head_dim=16)


def tiny(seed: int = 0) -> SimpleClick:
    torch.manual_seed(seed)
    network = SimpleClick(TINY).eval()
    for p in network.parameters():
        nn.init.normal_(p, std=0.1)
    return network


def segmenter(network: SimpleClick, side: int = 448) -> ClickSegmenter:
    return ClickSegmenter(network, name="simpleclick", zoom=ZoomIn(target=(side, side), skip_clicks=-1))


def prompts(clicks: list[tuple[int, int, int]], carry: Any = None) -> list[Prompt]:
    a = np.array(clicks)
    return [Prompt(a[:, 1::-1].astype(np.float32), a[:, 2].astype(np.int8), carry=carry)]


def config_of(arch: str = "vit_b", **params: Any) -> dict[str, Any]:
    """What the authors' `serialize` records, with the values of their constructor."""
    c = ARCHITECTURES[arch]
    values = {
        "backbone_params": {"img_size": (448, 448), "patch_size": (c.patch_size,) * 2, "embed_dim": c.embed_dim, "depth": c.depth},
        "neck_params": {"in_dim": c.embed_dim, "out_dims": list(c.pyramid_dims)},
        "head_params": {"in_channels": list(c.pyramid_dims), "align_corners": False, "upsample": "x1", "channels": 256},
        "use_disks": True, "norm_radius": 5, "with_prev_mask": True, "with_aux_output": False, "use_rgb_conv": False, **params,
    }  # fmt: skip
    described = {k: {"type": "builtin", "value": v, "specified": True} for k, v in values.items()}
    return {"class": "isegm.model.is_plainvit_model.PlainVitModel", "params": described}


# --- the authors' arrays, thinned to every eighth row and column


@lru_cache(maxsize=1)
def base() -> SimpleClick:
    return golden("vit_b", "simpleclick_base")


def golden(arch: str, name: str) -> SimpleClick:
    with torch.device("meta"):
        network = SimpleClick(ARCHITECTURES[arch]).eval().requires_grad_(False)
    network.to_empty(device="cpu")
    for key, tensor in network.state_dict().items():  # one by one: the huge one would need 5 GB twice over
        tensor.copy_(torch.from_numpy(value(key, tuple(tensor.shape), OVERRIDES[name])))
    return network


def logits(network: SimpleClick, n_clicks: int, previous: np.ndarray | None, side: int = 448) -> Tensor:
    """The network alone, [1, 1, side, side]: image and previous mask resized together, disks of the clicks there."""
    image = batch_of(procedural_image())
    before = torch.zeros_like(image[:, :1]) if previous is None else torch.from_numpy(previous)[None, None]
    seen = resize(torch.cat([image, before], dim=1), (side, side))
    disks = torch.from_numpy(disk_maps([first_clicks(n_clicks).scaled((300, 400), (side, side))], (side, side), 5))
    with torch.inference_mode():
        return network(seen[:, :3], seen[:, 3:], disks)


def test_logits_of_all_clicks() -> None:
    arrays = np.load(CLICK_ARRAYS / "simpleclick_base.npz")
    assert difference(logits(base(), 5, procedural_previous()), arrays["raw_multi_logits"], 8) < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "name"), [("vit_b", "simpleclick_base"), ("vit_h", "simpleclick_huge")])
def test_logits_and_pipeline(arch: str, name: str) -> None:
    """Five clicks through the Segmenter, windows included. The huge network takes twenty minutes on one core, and 3.2 GB."""
    arrays = np.load(CLICK_ARRAYS / f"{name}.npz")
    network = base() if arch == "vit_b" else golden(arch, name)
    assert difference(logits(network, 1, None), arrays["raw_first_logits"], 8) < 2e-4
    if arch == "vit_h":
        assert difference(logits(network, 5, procedural_previous()), arrays["raw_multi_logits"], 8) < 2e-4
    for k, answer in enumerate(click_through(segmenter(network), procedural_image())):
        assert answer.carry is not None
        window = answer.carry[0].stored
        assert (window.y0, window.y1 - 1, window.x0, window.x1 - 1) == tuple(arrays["pipe_object_roi"][k])
        probs = answer.masks.prob(0)
        assert np.abs(probs[::8, ::8] - arrays["pipe_probs"][k]).max() < 1e-3
        stats = [probs.min(), probs.mean(dtype=np.float64), probs.max(), probs.std(dtype=np.float64)]
        np.testing.assert_allclose(stats, arrays["pipe_prob_stats"][k], atol=1e-5)
        np.testing.assert_array_equal(answer.masks.array(0), probs > 0.49)


@pytest.mark.slow
def test_logits_at_672() -> None:
    """DAVIS's setting: the position embedding is resized, 3 x 3 attention windows. Stored in half precision."""
    found = logits(base(), 1, None, side=672)[0, 0, ::8, ::8]
    np.testing.assert_allclose(found, np.load(CLICK_ARRAYS / "simpleclick_base.npz")["raw672_first_logits"], atol=2e-4, rtol=2**-11)


MANIFESTS = {  # names, elements, digest; ViT-L's from a file that the authors' code wrote
    "vit_b": (214, 98_025_513, "0ffc98ac76a15dac14ec1ba96dee1751f61577e9d0acb4b5c065db63f5d79153"),
    "vit_l": (358, 324_206_377, "4642da1e2798959363d23368a1df68e459aaba8c24b3f1df1c881e748953c87d"),
    "vit_h": (454, 662_184_793, "49f0b28f00a04275c933cd2f5f3aeb4389dd0444a70229b0e01afb29341b3057"),
}


@pytest.mark.parametrize("arch", MANIFESTS)
def test_manifests(arch: str) -> None:
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in SimpleClick(ARCHITECTURES[arch]).state_dict().items()}
    elements = sum(int(np.prod(s)) for s in shapes.values())
    assert (len(shapes), elements, manifest_digest(shapes)) == MANIFESTS[arch]


# --- parts, against plain statements of what they compute


def test_windows_are_undone() -> None:
    x = torch.arange(2 * 4 * 6 * 3).float().view(2, 4, 6, 3)
    windows = into_windows(x, 2)
    assert windows.shape == (12, 2, 2, 3)
    assert torch.equal(windows[1], x[0, :2, 2:4])
    assert torch.equal(out_of_windows(windows, 4, 6), x)


def test_attention_is_softmax_attention() -> None:
    torch.manual_seed(0)
    attention = Attention(dim=12, num_heads=3)
    x = torch.randn(2, 5, 12)
    q, k, v = attention.qkv(x).view(2, 5, 3, 3, 4).unbind(2)
    weights = torch.einsum("nihd,njhd->nhij", q, k).mul(4**-0.5).softmax(-1)
    wanted = attention.proj(torch.einsum("nhij,njhd->nihd", weights, v).reshape(2, 5, 12))
    torch.testing.assert_close(attention(x), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("depth", "whole"), [(12, {6, 12}), (24, {6, 12, 18, 24}), (32, {8, 16, 24, 32})])
def test_which_blocks_see_everything(depth: int, whole: set[int]) -> None:
    vit = PlainViT(image_size=448, patch_size=224 // 2, embed_dim=8, depth=depth, num_heads=1).eval()
    seen: list[int] = []
    for block in vit.blocks:
        block.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    with torch.inference_mode():
        vit(torch.zeros(1, 4, 4, 8))
    assert {i for i, n in enumerate(seen, 1) if n == 16} == whole
    assert set(seen) == {4, 16}


def test_the_unused_parts_change_nothing() -> None:
    network, x = tiny(), torch.rand(1, 3, 224, 224)
    coords = torch.zeros(1, 1, 224, 224), torch.zeros(1, 2, 224, 224)
    with torch.inference_mode():
        before = network(x, *coords)
        for name, p in network.named_parameters():
            if name.startswith(("backbone.cls_token", "backbone.fc_norm", "backbone.head", "head.up_conv")):
                p.add_(1.0)
        network.backbone.pos_embed[:, :1] += 1
        assert torch.equal(network(x, *coords), before)


def test_the_head_is_resize_concatenate_fuse() -> None:
    """The order that the authors compute in; ours runs the fusion on the small maps."""
    torch.manual_seed(0)
    head = Head(in_dims=(4, 5, 6, 7), dim=8).eval()
    levels = [torch.randn(2, c, s, s) for c, s in zip((4, 5, 6, 7), (16, 8, 4, 2), strict=True)]
    with torch.inference_mode():
        up = [
            nn.functional.interpolate(conv(x), size=(16, 16), mode="bilinear", align_corners=False)
            for conv, x in zip(head.convs, levels, strict=True)
        ]
        wanted = head.conv_seg(head.fusion_conv(torch.cat(up, dim=1)))
        torch.testing.assert_close(head(levels), wanted, atol=1e-5, rtol=0)


def test_strides_of_the_pyramid() -> None:
    levels = Pyramid(dim=32, out_dims=(8, 16, 24, 32))(torch.randn(2, 32, 6, 6))
    assert [tuple(x.shape) for x in levels] == [(2, 8, 24, 24), (2, 16, 12, 12), (2, 24, 6, 6), (2, 32, 3, 3)]


def test_positions_are_those_stored_at_the_own_grid_and_smooth_elsewhere() -> None:
    vit = tiny().backbone
    assert torch.equal(vit.positions(28, 28).flatten(1, 2), vit.pos_embed[:, 1:])
    assert vit.positions(42, 42).shape == (1, 42, 42, 32)
    with torch.no_grad():
        vit.pos_embed.fill_(0.25)
    torch.testing.assert_close(vit.positions(42, 42), torch.full((1, 42, 42, 32), 0.25))


# --- the pipeline


def test_the_first_click_sees_the_squashed_image_and_objects_do_not_mix() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)
    model = segmenter(tiny(), 224)
    state = model.encode(image)
    a, b = prompts([(30, 40, 1)])[0], prompts([(60, 100, 1), (10, 10, 0)])[0]
    together, alone = model.decode(state, [a, b, a]), [model.decode(state, [p])[0] for p in (a, b, a)]
    for x, y in zip(together, alone, strict=True):
        assert x.carry is not None
        assert x.carry[0].stored == (0, 0, 90, 140)
        assert np.array_equal(x.masks.prob(0), y.masks.prob(0))
    assert not np.array_equal(together[0].masks.prob(0), together[1].masks.prob(0))


def test_on_a_gpu_several_objects_go_together_with_the_same_answers() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)
    model = segmenter(tiny(), 224)
    state = model.encode(image)
    asked = [prompts([(10 * i + 5, 20 * i + 5, 1)])[0] for i in range(5)]
    seen = model.decode(state, asked)
    seen_once = torch.cat([resize(state.rgb[None], (224, 224)), torch.zeros(1, 1, 224, 224)], dim=1)
    clicks = [Clicks.of(p, model="x").scaled((90, 140), (224, 224)) for p in asked]
    with torch.inference_mode():
        probs = model._probs(seen_once.expand(5, -1, -1, -1), clicks)
    for p, answer in zip(probs, seen, strict=True):
        np.testing.assert_allclose(resize(p[None, None], (90, 140))[0, 0], answer.masks.prob(0), atol=1e-5)


# --- checkpoints


class LiveObject(nn.Module):
    """Stands in for the authors' loss, under their module's name."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_criterion = function_in_the_authors_module
        self.loss_weight = 1.0


def function_in_the_authors_module() -> None:
    raise AssertionError("code of a checkpoint was run")


@pytest.fixture
def authors_module() -> Iterator[types.ModuleType]:
    """The module that the authors' checkpoints refer to, here while a file is written and gone while it is read."""
    name = LOSS_OBJECTS[0].rpartition(".")[0]
    before = dict(sys.modules)
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules[".".join(parts[:i])] = types.ModuleType(".".join(parts[:i]))
    module = sys.modules[name]
    LiveObject.__module__, LiveObject.__qualname__, LiveObject.__name__ = name, "CrossEntropyLoss", "CrossEntropyLoss"
    function_in_the_authors_module.__module__ = name
    function_in_the_authors_module.__qualname__ = function_in_the_authors_module.__name__ = "cross_entropy"
    module.CrossEntropyLoss, module.cross_entropy = LiveObject, function_in_the_authors_module  # type: ignore[attr-defined]
    yield module
    for key in set(sys.modules) - set(before):
        del sys.modules[key]


def written(path: Path, state: Mapping[str, Tensor], config: Any, module: types.ModuleType | None = None) -> Path:
    torch.save({"state_dict": OrderedDict(state), "config": config}, path)
    if module is not None:
        for key in [k for k in sys.modules if k == "isegm" or k.startswith("isegm.")]:
            del sys.modules[key]
    return path


def test_a_file_as_the_authors_write_it(tmp_path: Path, authors_module: types.ModuleType) -> None:
    config = config_of(head_params={"upsample": "x1", "loss_decode": LiveObject()})
    path = written(tmp_path / "cocolvis_vit_base.pth", {"a": torch.ones(2)}, config, authors_module)
    stored = read(path)
    assert torch.equal(stored.state["a"], torch.ones(2))
    assert stored.config_class.endswith("PlainVitModel")
    assert isinstance(stored.params["head_params"]["loss_decode"], Inert)
    assert vars(stored.params["head_params"]["loss_decode"]) == {}
    assert not any(name.startswith("isegm") for name in sys.modules)


def test_a_file_that_asks_for_more_is_refused_by_name(tmp_path: Path, authors_module: types.ModuleType) -> None:
    class Other:
        def __reduce__(self) -> Any:
            return (print, ("code was run",))

    config = config_of(head_params={"loss_decode": LiveObject(), "more": Other()})
    path = written(tmp_path / "evil.pth", {"a": torch.ones(2)}, config, authors_module)
    with pytest.raises(CheckpointError, match="refused") as e:
        read(path)
    assert "print" in str(e.value.found)
    with pytest.raises(CheckpointError, match=r"refused.*(.|\n)*CrossEntropyLoss"):
        read_content(path)  # nobody listed the loss here


def test_strict_and_of_the_right_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.models.simpleclick.build.ARCHITECTURES", {"vit_b": TINY})
    network = tiny()
    path = written(tmp_path / "tiny.pth", network.state_dict(), config_of(norm_radius=7))
    model = build_simpleclick("vit_b", weights=path, target_size=224)
    assert model.network.disk_radius == 7
    assert all(torch.equal(v, model.network.state_dict()[k]) for k, v in network.state_dict().items())
    assert model.zoom == ZoomIn(target=(224, 224), skip_clicks=-1)
    bare = tmp_path / "bare.pth"
    torch.save(network.state_dict(), bare)
    assert build_simpleclick("vit_b", weights=bare).network.disk_radius == 5
    lacking = {k: v for k, v in network.state_dict().items() if k != "backbone.cls_token"}
    with pytest.raises(CheckpointError, match="missing") as e:
        build_simpleclick("vit_b", weights=written(tmp_path / "lacking.pth", lacking, config_of()))
    assert "backbone.cls_token" in str(e.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"use_disks": False}, "use_disks"),
        ({"with_aux_output": True}, "with_aux_output"),
        ({"head_params": {"upsample": "x2"}}, "x2"),
    ],
)
def test_a_variant_that_we_do_not_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("sambench.models.simpleclick.build.ARCHITECTURES", {"vit_b": TINY})
    with pytest.raises(CheckpointError) as e:
        build_simpleclick("vit_b", weights=written(tmp_path / "x.pth", tiny().state_dict(), config_of(**params)))
    assert said in str(e.value)


@pytest.mark.parametrize("asked", ["vit_b", "vit_l", "vit_h"])
def test_a_file_of_another_family_is_named(tmp_path: Path, asked: str) -> None:
    """Signatures alone, in small files: what they hold stands for the family."""
    from sambench.models.families import SIGNATURES

    for family in ("simpleclick_vit_b", "simpleclick_vit_l", "ritm_hrnet32", "focalclick_b3s2", "sam_vit_b", "mobile_sam"):
        if family == f"simpleclick_{asked}":
            continue
        state = {k: torch.zeros(s, dtype=torch.int8) for k, s in SIGNATURES[family].items()}
        path = tmp_path / f"{family}.pth"
        torch.save(state, path)
        with pytest.raises(CheckpointError) as e:
            build_simpleclick(asked, weights=path)
        assert f"looks like {family}" in str(e.value)


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="architecture"):
        build_simpleclick("vit_g", weights=None)
    for size in (0, 400, -224):
        with pytest.raises(UsageError, match="size"):
            build_simpleclick("vit_b", weights=None, target_size=size)
    with pytest.raises(CheckpointError, match="no weights"):
        build_simpleclick("vit_b", weights=None)


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_cards(size: str) -> None:
    card = cards.model_card(f"simpleclick_vit_{size}")
    factory = cards.load_entry(card.factory, where="")
    assert factory.args == (f"vit_{size}",)
    assert card.gives == "single_mask"
    assert {(p.metric, p.dataset) for p in card.published} >= {("noc", d) for d in ("grabcut", "berkeley", "sbd", "davis345")}
    c = ARCHITECTURES[f"vit_{size}"]
    assert f"patch {c.patch_size}" in card.description
