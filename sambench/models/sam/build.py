"""Segment Anything by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError, unknown_name
from sambench.models.checkpoints import Signature, load_into, load_state_dict
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.mask_decoder import MaskDecoder
from sambench.models.sam.model import Sam
from sambench.models.sam.prompt_encoder import PromptEncoder
from sambench.models.sam.segmenter import SamSegmenter

M = TypeVar("M", bound=Sam)

PROMPT_DIM: Final = 256  # width of the prompt encoder and the decoder
IMAGE_SIZE: Final = 1024  # pixels
PATCH: Final = 16  # pixels of a side of the image that one position of the embedding stands for
MASK_TOKENS = "mask_decoder.mask_tokens.weight"


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """Sizes of one image encoder."""

    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]


ARCHITECTURES: Mapping[str, SamConfig] = MappingProxyType(
    {
        "vit_b": SamConfig(embed_dim=768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11)),
        "vit_l": SamConfig(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)),
        "vit_h": SamConfig(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)),
    }
)

_TINY_VIT: Signature = {"image_encoder.patch_embed.seq.0.c.weight": (32, 3, 3, 3)}
_FOUR_MASKS: Signature = {MASK_TOKENS: (4, PROMPT_DIM)}
_HQ: Signature = {"mask_decoder.hf_token.weight": (1, PROMPT_DIM)}


def _vit(c: SamConfig) -> Signature:
    return {
        "image_encoder.pos_embed": (1, 64, 64, c.embed_dim),
        f"image_encoder.blocks.{c.depth - 1}.attn.qkv.bias": (3 * c.embed_dim,),
    }


# What tells one family's checkpoint from another's: a few keys with their shapes, looked up when a file does not fit.
SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        **{f"sam_{arch}": {**_vit(c), **_FOUR_MASKS} for arch, c in ARCHITECTURES.items()},
        **{
            f"sam_{arch} with one mask a prompt (-M single_output=true)": {**_vit(c), MASK_TOKENS: (1, PROMPT_DIM)}
            for arch, c in ARCHITECTURES.items()
        },
        **{f"sam_hq_{arch}": {**_vit(c), **_FOUR_MASKS, **_HQ} for arch, c in ARCHITECTURES.items()},
        "mobile_sam": {**_TINY_VIT, **_FOUR_MASKS},
        "sam_hq_vit_tiny": {**_TINY_VIT, **_FOUR_MASKS, **_HQ},
        "a SamModel of transformers (--model hf:FOLDER)": {**_FOUR_MASKS, "shared_image_embedding.positional_embedding": (2, 128)},
        "SAM 2 (sam2_1_hiera_t, _s, _b, _l or sam2_hiera_...)": {
            "sam_mask_decoder.mask_tokens.weight": (4, 256),
            "sam_mask_decoder.iou_token.weight": (1, 256),
        },
        "sam_nano": {
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (2, 64),
            "image_encoder.attention.0.norm1.bias": (192,),
        },
        "a mask decoder alone, such as HQ-SAM's training starts from and ends in": {"mask_tokens.weight": (4, PROMPT_DIM)},
    }
)


def vit_encoder(arch: str) -> ImageEncoderViT:
    """The image encoder of one architecture, with fresh weights. Raises UsageError for an unknown one."""
    if arch not in ARCHITECTURES:
        raise unknown_name("SAM architecture", arch, ARCHITECTURES)
    c = ARCHITECTURES[arch]
    return ImageEncoderViT(
        embed_dim=c.embed_dim,
        depth=c.depth,
        num_heads=c.num_heads,
        global_attn_indexes=c.global_attn_indexes,
        image_size=IMAGE_SIZE,
        patch_size=PATCH,
        out_chans=PROMPT_DIM,
    )


def sam_around(image_encoder: nn.Module, *, num_masks: int = 4) -> Sam:
    """SAM's prompt encoder and mask decoder around an image encoder [B, 3, 1024, 1024] -> [B, 256, 64, 64]. num_masks: tokens."""
    return Sam(
        image_encoder=image_encoder,
        prompt_encoder=prompt_encoder(),
        mask_decoder=MaskDecoder(transformer_dim=PROMPT_DIM, num_multimask_outputs=num_masks - 1),
    )


def prompt_encoder() -> PromptEncoder:
    """With fresh weights, for images of 1024 pixels."""
    grid = IMAGE_SIZE // PATCH
    return PromptEncoder(embed_dim=PROMPT_DIM, embedding_size=(grid, grid), image_size=IMAGE_SIZE)


def build_sam_model(arch: str, *, num_masks: int = 4) -> Sam:
    """The bare module of one architecture, with fresh (random) weights, in evaluation mode.

    num_masks: mask tokens, 4 in the released models (the first for a single output). Raises UsageError for an unknown
    architecture. Under `torch.device("meta")` it costs no memory.
    """
    return sam_around(vit_encoder(arch), num_masks=num_masks).eval()


def state_of(
    weights: Path | Mapping[str, Tensor] | None, *, key: str | None, strip_prefix: str | None
) -> tuple[Mapping[str, Tensor] | None, object]:
    """A checkpoint file's state dict, or the given one, or None; and what to call it in an error. Raises CheckpointError."""
    if isinstance(weights, Path):
        return load_state_dict(weights, key=key, strip_prefix=strip_prefix, architectures=SIGNATURES), weights
    return weights, "the given state dict"


def filled(build: Callable[[], M], state: Mapping[str, Tensor] | None, where: object) -> M:
    """The module that `build` makes with the weights of `state`, every name and shape of them; with random ones without.

    Raises CheckpointError where they do not fit, with the family that they look like.
    """
    if state is None:
        return build()
    with torch.device("meta"):
        model = build()
    load_into(model, state, where=where, architectures=SIGNATURES)
    return model


def build_sam(
    arch: str,
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
    squash: bool = False,
    single_output: bool = False,
) -> SamSegmenter:
    """A segmenter from a checkpoint file, from a state dict with official key names, or (weights None) with random weights.

    key, strip_prefix: where in the file the state dict is (`checkpoints.load_state_dict`). precision: 'fp32', or 'bf16' for the
    image encoder. squash, single_output: see SamSegmenter; with single_output the checkpoint may have one mask token instead of
    four. Raises CheckpointError where the weights do not fit, UsageError for an unknown architecture or precision.
    """
    state, where = state_of(weights, key=key, strip_prefix=strip_prefix)
    one = single_output and state is not None and MASK_TOKENS in state and len(state[MASK_TOKENS]) == 1
    model = filled(partial(build_sam_model, arch, num_masks=1 if one else 4), state, where)
    return SamSegmenter(
        model, name=f"sam_{arch}", device=device, precision=precision, squash=squash, single_output=single_output
    )


def card_sam(
    arch: str,
    *,
    weights: Path | None,
    device: str,
    precision: str,
    key: str | None = None,
    strip_prefix: str | None = None,
    squash: bool = False,
    single_output: bool = False,
) -> SamSegmenter:
    """The factory of SAM's cards; see build_sam. Raises CheckpointError without weights."""
    return build_sam(
        arch,
        weights=needed(weights),
        device=device,
        precision=precision,
        key=key,
        strip_prefix=strip_prefix,
        squash=squash,
        single_output=single_output,
    )


vit_b = partial(card_sam, "vit_b")
vit_l = partial(card_sam, "vit_l")
vit_h = partial(card_sam, "vit_h")


def needed(weights: Path | None) -> Path:
    """The checkpoint file that a card's factory must be given. Raises CheckpointError without one."""
    if weights is None:
        raise CheckpointError(
            "this model has no weights",
            expected="a checkpoint file",
            found="none",
            remedy="let the model's card download it, or give a file of your own: -M weights=FILE",
        )
    return Path(weights)
