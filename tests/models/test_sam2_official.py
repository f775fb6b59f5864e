"""The official files of SAM 2 and EdgeTAM: every name is accounted for, and what their cards say of them holds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from sambench import cards
from sambench.errors import CheckpointError, ModelError
from sambench.models.hf.names import of_sam2
from sambench.models.hf.official import HIERA, build_sam2, load_official, renamed, sam3_tracker
from sambench.sources import models
from tests.helpers import hf_folders

PARAMETERS = {"hiera_t": 38.9, "hiera_s": 46.0, "hiera_b": 80.8, "hiera_l": 224.4}  # millions, of the README, with the video parts
VIDEO = {
    "memory_attention.layers.0.linear1.weight": (2048, 256),
    "memory_encoder.fuser.layers.0.gamma": (256,),
    "maskmem_tpos_enc": (7, 1, 1, 64),
    "no_mem_pos_enc": (1, 1, 256),
    "no_obj_ptr": (1, 256),
    "no_obj_embed_spatial": (1, 64),
    "mask_downsample.weight": (1, 1, 4, 4),
    "obj_ptr_proj.layers.0.weight": (256, 256),
    "obj_ptr_tpos_proj.weight": (64, 256),
}


def official_name(name: str) -> str:
    """The authors' name of a weight of a Sam2Model, as their checkpoints have it."""
    for ours, theirs in (
        ("no_memory_embedding", "no_mem_embed"),
        ("vision_encoder.backbone.", "image_encoder.trunk."),
        ("vision_encoder.neck.convs.", "image_encoder.neck.convs."),
        ("patch_embed.projection", "patch_embed.proj"),
        ("prompt_encoder.shared_embedding.positional_embedding", "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
        ("prompt_encoder.mask_embed.conv1", "sam_prompt_encoder.mask_downscaling.0"),
        ("prompt_encoder.mask_embed.layer_norm1", "sam_prompt_encoder.mask_downscaling.1"),
        ("prompt_encoder.mask_embed.conv2", "sam_prompt_encoder.mask_downscaling.3"),
        ("prompt_encoder.mask_embed.layer_norm2", "sam_prompt_encoder.mask_downscaling.4"),
        ("prompt_encoder.mask_embed.conv3", "sam_prompt_encoder.mask_downscaling.6"),
        ("mask_decoder.upscale_conv1", "sam_mask_decoder.output_upscaling.0"),
        ("mask_decoder.upscale_layer_norm", "sam_mask_decoder.output_upscaling.1"),
        ("mask_decoder.upscale_conv2", "sam_mask_decoder.output_upscaling.3"),
        ("layer_norm_final_attn", "norm_final_attn"),
        ("layer_norm", "norm"),
        (".o_proj.", ".out_proj."),
    ):
        name = name.replace(ours, theirs)
    if "mlp.proj" in name:
        name = name.replace("proj_in", "layers.0").replace("proj_out", "layers.1")
    else:
        name = name.replace(".layers.0.", ".layers.1.") if "_mlps." in name or "_head." in name else name
        name = name.replace("proj_in", "layers.0").replace("proj_out", "layers.2")
    if "neck.convs" in name:
        head, _, last = name.rpartition(".")
        name = f"{head}.conv.{last}"
    for part in ("prompt_encoder", "mask_decoder"):
        if name.startswith(part):
            name = f"sam_{name}"
    return name


def official_state(size: str) -> dict[str, torch.Tensor]:
    """A checkpoint as the authors save it, on the meta device."""
    with torch.device("meta"):
        state = build_sam2(size).state_dict()
        out = {official_name(k): t for k, t in state.items() if not k.startswith("shared_image_embedding")}
        points = out.pop("sam_prompt_encoder.point_embed.weight")
        out |= {f"sam_prompt_encoder.point_embeddings.{i}.weight": points[i : i + 1] for i in range(4)}
        return {**out, **{k: torch.zeros(s) for k, s in VIDEO.items()}}


@pytest.mark.parametrize("size", HIERA)
def test_every_name_is_accounted_for(size: str) -> None:
    with torch.device("meta"):
        model = build_sam2(size)
    wanted = {k: tuple(t.shape) for k, t in model.state_dict().items()}
    assert {k: tuple(t.shape) for k, t in renamed(official_state(size)).items()} == wanted
    image = sum(p.numel() for p in model.parameters()) / 1e6
    assert PARAMETERS[size] - 8 < image < PARAMETERS[size]  # without memory attention and encoder
    assert {name for name, _ in model.named_buffers()} <= set(wanted), "all that is not loaded would be undefined"


def test_names_are_those_of_the_released_files() -> None:
    """A few, as they stand in the files, written down by hand."""
    for theirs, ours in {
        "image_encoder.trunk.blocks.0.attn.qkv.weight": "vision_encoder.backbone.blocks.0.attn.qkv.weight",
        "image_encoder.trunk.blocks.3.mlp.layers.1.bias": "vision_encoder.backbone.blocks.3.mlp.proj_out.bias",
        "image_encoder.neck.convs.2.conv.weight": "vision_encoder.neck.convs.2.weight",
        "sam_mask_decoder.transformer.layers.1.mlp.layers.0.weight": "mask_decoder.transformer.layers.1.mlp.proj_in.weight",
        "sam_mask_decoder.transformer.layers.0.norm4.bias": "mask_decoder.transformer.layers.0.layer_norm4.bias",
        "sam_mask_decoder.pred_obj_score_head.layers.1.weight": "mask_decoder.pred_obj_score_head.layers.0.weight",
        "sam_mask_decoder.obj_score_token.weight": "mask_decoder.obj_score_token.weight",
        "sam_mask_decoder.conv_s0.weight": "mask_decoder.conv_s0.weight",
        "image_encoder.trunk.body.stem.conv1.c.weight": "vision_encoder.backbone.timm_model.stem.conv1.c.weight",
    }.items():
        assert of_sam2(theirs) == ours


def refused(state: dict[str, torch.Tensor], *said: str) -> None:
    with pytest.raises(CheckpointError) as error:
        load_official(lambda: build_sam2("hiera_t"), "Sam2Model", weights=state, device="cpu", precision="fp32")
    for text in said:
        assert text in str(error.value), str(error.value)


def test_what_does_not_fit_is_refused_by_name() -> None:
    state = official_state("hiera_t")
    name = "sam_mask_decoder.iou_token.weight"
    refused({k: t for k, t in state.items() if k != name}, "names missing (mask_decoder.iou_token.weight")
    refused({**state, "lora_A.weight": torch.zeros(2)}, "1 unknown names (lora_A.weight")
    refused({**state, name: torch.zeros(3, 256)}, "mask_decoder.iou_token.weight is [3, 256], not [1, 256]")
    refused(official_state("hiera_s"), "unknown names (vision_encoder.backbone.blocks.12.")
    lost = "sam_prompt_encoder.point_embeddings.2.weight"
    refused({k: t for k, t in state.items() if k != lost}, "names missing (prompt_encoder.point_embed.weight")


@pytest.mark.parametrize("name", ["sam2_1_hiera_t", "sam2_hiera_l", "sam3_tracker"])
def test_weights_of_another_family_are_refused(tmp_path: Path, name: str) -> None:
    torch.save({"model": {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 768)}}, tmp_path / "own.pt")
    model = models.resolve(name, {"weights": str(tmp_path / "own.pt")}, device="cpu", precision="fp32")
    with pytest.raises(CheckpointError):
        models.build(model.spec)


def test_sam_3_of_other_names_is_told(tmp_path: Path) -> None:
    torch.save({"tracker.maskmem_tpos_enc": torch.zeros(2), "detector.backbone.x": torch.zeros(2)}, tmp_path / "sam3.pt")
    with pytest.raises(CheckpointError, match=r"SAM 3\.1"):
        sam3_tracker(weights=tmp_path / "sam3.pt", device="cpu", precision="fp32")


def test_sam_3_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file alone, with the config of the released model; here that of a tiny one."""
    tracker = hf_folders.sam3_tracker(tmp_path)
    monkeypatch.setattr("transformers.Sam3TrackerConfig", lambda: tracker.config)
    segmenter = sam3_tracker(weights=tmp_path / "model.safetensors", device="cpu", precision="fp32")
    assert segmenter.identity["mean"] == [0.5, 0.5, 0.5]
    assert torch.equal(segmenter.model.mask_decoder.iou_token.weight, tracker.mask_decoder.iou_token.weight)


def test_cards_say_what_is_needed_before_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    absent = ("transformers", "timm")
    monkeypatch.setattr("sambench.sources.card.importlib.util.find_spec", lambda n: None if n in absent else found(n))
    for name, said in (("sam2_1_hiera_l", r"pip install .* '.\[hf\]'"), ("edgetam", "needs the package")):
        with pytest.raises(ModelError, match=said):
            models.resolve(name, {}, device="cpu", precision="fp32")


def test_cards_have_no_invented_checksum() -> None:
    """Of files whose authors publish none, and of which no independent places agree, the card has none."""
    family = {k: c for k, c in cards.model_cards().items() if k.startswith(("sam2", "sam3_tracker", "edgetam"))}
    assert len(family) == 10
    unknown = {k for k, c in family.items() if c.weights is None or c.weights.sha256 is None}
    assert unknown == {"edgetam", "sam3_tracker"}
    assert len({c.weights.sha256 for c in family.values() if c.weights and c.weights.sha256}) == 8
    assert all("overlap" in c.notes for c in family.values())
