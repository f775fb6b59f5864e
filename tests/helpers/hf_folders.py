"""Tiny models of transformers with random weights, as folders that `save_pretrained` writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SIDE = 128  # of SAM's and SAM 2's square
_VISION = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 16,
    "window_size": 3,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
    "mlp_dim": 49,  # no multiple of the width, as SlimSAM's
}
_PROMPT = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16}
_DECODER = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 24}
_HIERA = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 16,
    "num_attention_heads": 1,
    "image_size": [SIDE, SIDE],
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [16, 32, 64, 128],
    "num_attention_heads_per_stage": [1, 1, 2, 4],
    "window_size_per_stage": [8, 4, 4, 4],
    "global_attention_blocks": [3],
}
_SAM2_VISION = {
    "backbone_config": _HIERA,
    "backbone_channel_list": [128, 64, 32, 16],
    "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    "fpn_hidden_size": 32,
}
SAM3_SIDE = 112
_SAM3_VISION = {
    "model_type": "sam3_vision_model",
    "backbone_config": {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SAM3_SIDE,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
    },
    "fpn_hidden_size": 32,
    "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
}
_SAM3_PROMPT = {"hidden_size": 32, "image_size": SAM3_SIDE, "patch_size": 14}


def sam(folder: Path, seed: int = 0) -> Any:
    """A SamModel in `folder`; gives it, in evaluation mode."""
    from transformers import SamConfig, SamModel

    config = SamConfig(vision_config=_VISION, prompt_encoder_config=_PROMPT, mask_decoder_config=_DECODER)
    return _saved(SamModel(config), folder, seed)


def sam_hq(folder: Path, seed: int = 0) -> Any:
    """A SamHQModel."""
    from transformers import SamHQConfig, SamHQModel

    decoder = {**_DECODER, "vit_dim": 32}
    config = SamHQConfig(vision_config=_VISION, prompt_encoder_config=_PROMPT, mask_decoder_config=decoder)
    return _saved(SamHQModel(config), folder, seed)


def sam2(folder: Path, seed: int = 0, **decoder: Any) -> Any:
    """A Sam2Model. decoder: what its mask decoder's config has otherwise."""
    from transformers import Sam2Config, Sam2Model

    config = Sam2Config(
        vision_config=_SAM2_VISION, prompt_encoder_config=_PROMPT, mask_decoder_config={**_DECODER, **decoder}
    )
    return _saved(Sam2Model(config), folder, seed)


def sam3_tracker(folder: Path, seed: int = 0) -> Any:
    """A Sam3TrackerModel."""
    from transformers import Sam3TrackerConfig, Sam3TrackerModel

    config = Sam3TrackerConfig(vision_config=_SAM3_VISION, prompt_encoder_config=_SAM3_PROMPT, mask_decoder_config=_DECODER)
    return _saved(Sam3TrackerModel(config), folder, seed)


def edgetam(folder: Path, seed: int = 0) -> Any:
    """An EdgeTamModel around timm's smallest RepViT: only the decoder's width is tiny."""
    from transformers import EdgeTamConfig, EdgeTamModel, TimmWrapperConfig

    taken = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    vision = {
        "backbone_config": TimmWrapperConfig(architecture="repvit_m0_9", model_args=taken),
        "backbone_channel_list": [384, 192, 96, 48],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    }
    config = EdgeTamConfig(vision_config=vision, prompt_encoder_config=_PROMPT, mask_decoder_config=_DECODER)
    return _saved(EdgeTamModel(config), folder, seed, but="backbone")  # of 60 norms, which would drive it out of all bounds


def randomise(module: torch.nn.Module, seed: int, but: str | None = None) -> None:
    """Normal weights of fan-in scale everywhere: fresh models have zeros and ones, which hide mistakes. but: part of names."""
    generator = torch.Generator().manual_seed(seed)
    for name, t in module.state_dict().items():
        if not t.is_floating_point() or (but is not None and but in name):
            continue
        noise = torch.randn(t.shape, generator=generator)
        if name.endswith("running_var"):
            t.copy_(noise.abs() + 0.5)
            continue
        plain = t.ndim < 2 or any(part in name for part in ("embed", "rel_pos", "token"))
        fan_in = 1 if plain else t[0].numel()
        t.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else noise / fan_in**0.5)


def _saved(model: Any, folder: Path, seed: int, but: str | None = None) -> Any:
    from transformers.utils import logging

    with torch.no_grad():
        randomise(model, seed, but)
        # One matrix under two names, tied for SAM alone.
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(model.shared_image_embedding.positional_embedding)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return model.eval()


def rename(folder: Path, change: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]]) -> None:
    """Write a folder's weights again as `change` makes them."""
    file = folder / "model.safetensors"
    save_file({k: t.contiguous() for k, t in change(load_file(file)).items()}, file, metadata={"format": "pt"})


def reconfigure(folder: Path, **changes: Any) -> None:
    """Change keys of a folder's config.json; None removes one."""
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
