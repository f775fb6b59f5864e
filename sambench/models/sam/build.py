"""Segment Anything by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from sambench.errors import CheckpointError, unknown_name
from sambench.models.checkpoints import Signature, load_into, load_state_dict
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.mask_decoder import MaskDecoder
from sambench.models.sam.model import Sam
from sambench.models.sam.prompt_encoder import PromptEncoder
from sambench.models.sam.segmenter import SamSegmenter


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """Sizes of one architecture. image_size and patch_size in pixels; prompt_dim: width of the prompt encoder and the decoder."""

    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]
    image_size: int = 1024
    patch_size: int = 16
    window_size: int = 14
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048


ARCHITECTURES: Mapping[str, SamConfig] = MappingProxyType(
    {
        "vit_b": SamConfig(embed_dim=768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11)),
        "vit_l": SamConfig(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)),
        "vit_h": SamConfig(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)),
    }
)

# What tells one family's checkpoint from another's: a few keys with their shapes, looked up when a file does not fit.
SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        **{
            f"sam_{arch}": {
                "image_encoder.pos_embed": (1, 64, 64, c.embed_dim),
                f"image_encoder.blocks.{c.depth - 1}.attn.qkv.bias": (3 * c.embed_dim,),
                "mask_decoder.mask_tokens.weight": (4, c.prompt_dim),
            }
            for arch, c in ARCHITECTURES.items()
        },
        **{
            f"sam_hq_{arch}": {
                "image_encoder.pos_embed": (1, 64, 64, c.embed_dim),
                f"image_encoder.blocks.{c.depth - 1}.attn.qkv.bias": (3 * c.embed_dim,),
                "mask_decoder.mask_tokens.weight": (4, c.prompt_dim),
                "mask_decoder.hf_token.weight": (1, c.prompt_dim),
            }
            for arch, c in ARCHITECTURES.items()
        },
        "mobile_sam": {
            "image_encoder.patch_embed.seq.0.c.weight": (32, 3, 3, 3),
            "mask_decoder.mask_tokens.weight": (4, 256),
        },
        "sam_hq_vit_tiny": {
            "image_encoder.patch_embed.seq.0.c.weight": (32, 3, 3, 3),
            "mask_decoder.mask_tokens.weight": (4, 256),
            "mask_decoder.hf_token.weight": (1, 256),
        },
        "a transformers SamModel": {
            "mask_decoder.mask_tokens.weight": (4, 256),
            "shared_image_embedding.positional_embedding": (2, 128),
        },
        "SAM 2": {"sam_mask_decoder.mask_tokens.weight": (4, 256), "sam_mask_decoder.iou_token.weight": (1, 256)},
    }
)


def build_sam_model(arch: str) -> Sam:
    """The bare module of one architecture, with fresh (random) weights, in evaluation mode.

    Raises UsageError for an unknown architecture. Under `torch.device("meta")` it costs no memory.
    """
    if arch not in ARCHITECTURES:
        raise unknown_name("SAM architecture", arch, ARCHITECTURES)
    c = ARCHITECTURES[arch]
    grid = c.image_size // c.patch_size
    return Sam(
        image_encoder=ImageEncoderViT(
            embed_dim=c.embed_dim,
            depth=c.depth,
            num_heads=c.num_heads,
            global_attn_indexes=c.global_attn_indexes,
            image_size=c.image_size,
            patch_size=c.patch_size,
            window_size=c.window_size,
            out_chans=c.prompt_dim,
        ),
        prompt_encoder=PromptEncoder(embed_dim=c.prompt_dim, embedding_size=(grid, grid), image_size=c.image_size),
        mask_decoder=MaskDecoder(transformer_dim=c.prompt_dim, mlp_dim=c.decoder_mlp_dim),
    ).eval()


def build_sam(
    arch: str,
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
) -> SamSegmenter:
    """A segmenter from a checkpoint file, from a state dict with official key names, or (weights None) with random weights.

    key, strip_prefix: where in the file the state dict is (`checkpoints.load_state_dict`). precision: 'fp32', or 'bf16' for the
    image encoder. Raises CheckpointError where the weights do not fit, UsageError for an unknown architecture or precision.
    """
    where: object = "the given state dict"
    if isinstance(weights, Path):
        where = weights
        weights = load_state_dict(weights, key=key, strip_prefix=strip_prefix)
    if weights is None:
        model = build_sam_model(arch)
    else:
        with torch.device("meta"):
            model = build_sam_model(arch)
        load_into(model, weights, where=where, architectures=SIGNATURES)
    return SamSegmenter(model, name=f"sam_{arch}", device=device, precision=precision)


def vit_b(
    *, weights: Path | None, device: str, precision: str, key: str | None = None, strip_prefix: str | None = None
) -> SamSegmenter:
    """Factory of the card `sam_vit_b`; see build_sam. Raises CheckpointError without weights."""
    return build_sam("vit_b", weights=_needed(weights), device=device, precision=precision, key=key, strip_prefix=strip_prefix)


def vit_l(
    *, weights: Path | None, device: str, precision: str, key: str | None = None, strip_prefix: str | None = None
) -> SamSegmenter:
    """Factory of the card `sam_vit_l`; see build_sam. Raises CheckpointError without weights."""
    return build_sam("vit_l", weights=_needed(weights), device=device, precision=precision, key=key, strip_prefix=strip_prefix)


def vit_h(
    *, weights: Path | None, device: str, precision: str, key: str | None = None, strip_prefix: str | None = None
) -> SamSegmenter:
    """Factory of the card `sam_vit_h`; see build_sam. Raises CheckpointError without weights."""
    return build_sam("vit_h", weights=_needed(weights), device=device, precision=precision, key=key, strip_prefix=strip_prefix)


def _needed(weights: Path | None) -> Path:
    if weights is None:
        raise CheckpointError(
            "this model has no weights",
            expected="a checkpoint file",
            found="none",
            remedy="let the model's card download it, or give a file of your own: -M weights=FILE",
        )
    return Path(weights)
