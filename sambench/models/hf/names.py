"""The authors' names of weights and those of transformers, for SAM, HQ-SAM and the image part of SAM 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_Rule = tuple[str, str]

_BOTH: Final[Sequence[_Rule]] = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
)
_OF_HQ: Final = {"compress_vit_feat": "compress_vit", "embedding_encoder": "encoder", "embedding_maskfeature": "mask"}
_SAM: Final[Sequence[_Rule]] = (
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "shared_image_embedding.positional_embedding"),
    (r"\.hf_token\.", ".hq_token."),
    (r"\.hf_mlp\.", ".hq_mask_mlp."),
    *(
        (rf"\.{own}\.{i}\.", f".{theirs}_{part}.")
        for own, theirs in _OF_HQ.items()
        for i, part in {0: "conv1", 1: "norm", 3: "conv2"}.items()
    ),
)
_SAM2: Final[Sequence[_Rule]] = (
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"^vision_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^(vision_encoder\.neck\.convs\.\d+)\.conv\.", r"\1."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"^(mask_decoder\.transformer\..*)\.out_proj\.", r"\1.o_proj."),
    (r"^vision_encoder\.backbone\.body\.", "vision_encoder.backbone.timm_model."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "prompt_encoder.shared_embedding.positional_embedding"),
)
_MLP: Final = re.compile(r"(output_hypernetworks_mlps\.\d+|iou_prediction_head|hq_mask_mlp|pred_obj_score_head)\.layers\.(\d+)\.")


def of_sam(name: str, iou_depth: int = 3) -> str:
    """The name in transformers' SamModel or SamHQModel of a weight of SAM's or HQ-SAM's. iou_depth: layers of the IoU head."""
    return _renamed(name, (*_BOTH, *_SAM), iou_depth)


def of_sam2(name: str) -> str:
    """The name in transformers' Sam2Model of a weight of the official SAM 2; of the image model, others stay as they are."""
    return _renamed(name, (*_SAM2[:1], *_BOTH, *_SAM2[1:]), 3)


def _renamed(name: str, rules: Sequence[_Rule], iou_depth: int) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)

    def layer(match: re.Match[str]) -> str:
        head, i = match[1], int(match[2])
        last = (iou_depth if head == "iou_prediction_head" else 3) - 1
        return f"{head}.proj_in." if i == 0 else f"{head}.proj_out." if i == last else f"{head}.layers.{i - 1}."

    return _MLP.sub(layer, name)
