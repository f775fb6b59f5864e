"""Segment Anything by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError, shown, unknown_name
from sambench.models.card_factory import CardFactory
from sambench.models.checkpoints import Signature, load_into, load_state_dict, state_dict_in
from sambench.models.partial import is_part, laid_over
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.mask_decoder import MaskDecoder
from sambench.models.sam.model import Sam
from sambench.models.sam.prompt_encoder import PromptEncoder
from sambench.models.sam.segmenter import SamSegmenter
from sambench.models.weight_files import read_content

M = TypeVar("M", bound=Sam)

PROMPT_DIM: Final = 256  # width of the prompt encoder and the decoder
IMAGE_SIZE: Final = 1024  # pixels, of the released models; a fine-tune's own is told by its position embeddings
PATCH: Final = 16  # pixels of a side of the image that one position of the embedding stands for
MASK_TOKENS = "mask_decoder.mask_tokens.weight"
POSITIONS = "image_encoder.pos_embed"


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
    """At any input size: the position embeddings are left out."""
    return {
        "image_encoder.blocks.0.norm1.weight": (c.embed_dim,),
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
        "only a mask decoder, such as HQ-SAM's training starts from and ends in": {"mask_tokens.weight": (4, PROMPT_DIM)},
    }
)


@dataclass(frozen=True)
class Weights:
    """What a model is filled with. state: None for random weights; where: its files, for errors; notes: what to say of them."""

    state: Mapping[str, Tensor] | None
    where: object
    notes: tuple[str, ...] = ()

    @property
    def image_size(self) -> int:
        """Side in pixels of a ViT's input: its position embeddings are [1, side / 16, side / 16, width], and never interpolated."""
        found = () if self.state is None or POSITIONS not in self.state else tuple(self.state[POSITIONS].shape)
        fits = len(found) == 4 and found[1] == found[2] > 0
        return PATCH * found[1] if fits else IMAGE_SIZE  # of others the strict comparison says what is wrong


def vit_encoder(arch: str, image_size: int = IMAGE_SIZE) -> ImageEncoderViT:
    """The image encoder of one architecture, with fresh weights. Raises UsageError for an unknown one."""
    if arch not in ARCHITECTURES:
        raise unknown_name("SAM architecture", arch, ARCHITECTURES)
    c = ARCHITECTURES[arch]
    return ImageEncoderViT(
        embed_dim=c.embed_dim,
        depth=c.depth,
        num_heads=c.num_heads,
        global_attn_indexes=c.global_attn_indexes,
        image_size=image_size,
        patch_size=PATCH,
        out_chans=PROMPT_DIM,
    )


def sam_around(image_encoder: nn.Module, *, num_masks: int = 4, image_size: int = IMAGE_SIZE) -> Sam:
    """SAM's prompt encoder and mask decoder around an image encoder [B, 3, S, S] -> [B, 256, S / 16, S / 16].

    num_masks: mask tokens. image_size: S, in pixels.
    """
    return Sam(
        image_encoder=image_encoder,
        prompt_encoder=prompt_encoder(image_size),
        mask_decoder=MaskDecoder(transformer_dim=PROMPT_DIM, num_multimask_outputs=num_masks - 1),
    )


def prompt_encoder(image_size: int = IMAGE_SIZE) -> PromptEncoder:
    """With fresh weights, for images of that many pixels."""
    grid = image_size // PATCH
    return PromptEncoder(embed_dim=PROMPT_DIM, embedding_size=(grid, grid), image_size=image_size)


def build_sam_model(arch: str, *, num_masks: int = 4, image_size: int = IMAGE_SIZE) -> Sam:
    """The bare module of one architecture, with fresh (random) weights, in evaluation mode.

    num_masks: mask tokens, 4 in the released models (the first for a single output). image_size: side of the encoder's input in
    pixels, a multiple of 16. Raises UsageError for an unknown architecture. Under `torch.device("meta")` it costs no memory.
    """
    return sam_around(vit_encoder(arch, image_size), num_masks=num_masks, image_size=image_size).eval()


def state_of(
    weights: Path | Mapping[str, Tensor] | None,
    build: Callable[[], nn.Module],
    *,
    key: str | None,
    strip_prefix: str | None,
    base: str | Path | None = None,
    mapped: bool = False,
) -> Weights:
    """A checkpoint file's state dict, or the given one, or None; laid over that of `base` where one is given.

    build: makes the module, for the names of its tensors. key, strip_prefix: see `load_state_dict`; key also holds for a base whose
    top level is no state dict. mapped: see `read_content`. Raises CheckpointError.
    """
    state, where = weights, "the given state dict"
    if isinstance(weights, Path):
        where = str(weights)
        state = load_state_dict(weights, key=key, strip_prefix=strip_prefix, architectures=SIGNATURES, mapped=mapped)
    assert not isinstance(state, Path)
    notes: list[str] = []
    if base is not None and state is not None:
        under = _base_state(base, key, mapped)
        with torch.device("meta"):
            names = list(build().state_dict())
        both = laid_over(under, state, names=names, where=where, base_where=base)
        notes = [both.account(Path(where).name, Path(base).name)]
        state, where = both.state, f"{where} laid over {base}"
    found = Weights(state, where)
    if found.image_size != IMAGE_SIZE:
        side = found.image_size // PATCH
        notes.append(f"for images of {PATCH * side} pixels: position embeddings of {side} x {side}, not {IMAGE_SIZE // PATCH}")
    return Weights(state, where, tuple(notes))


def _base_state(base: Any, key: str | None, mapped: bool) -> dict[str, Tensor]:
    """The state dict of a base file. Raises CheckpointError."""
    if not isinstance(base, str | Path) or not str(base):  # an option of the command line, which may be anything
        raise CheckpointError("base is not a file", where="-M base", expected="the path of a checkpoint", found=shown(repr(base)))
    path = Path(base).expanduser()
    content = read_content(path, mapped=mapped)
    try:
        return state_dict_in(content, where=path, architectures=SIGNATURES)
    except CheckpointError as e:
        if key is not None:
            return state_dict_in(content, key=key, where=path, architectures=SIGNATURES)
        e.remedy = "save only the base's state dict, as the released file is; or give its place: -M key=... holds for both files"
        raise


def filled(build: Callable[[], M], weights: Weights) -> M:
    """The module that `build` makes with those weights, every name and shape of them; with random ones where there are none.

    Raises CheckpointError where they do not fit, with the family that they look like.
    """
    if weights.state is None:
        return build()
    with torch.device("meta"):
        model = build()
    load_whole(model, weights)
    return model


def load_whole(model: nn.Module, weights: Weights) -> None:
    """As `load_into`, of a SAM; of a part of its tensors the error says over what to lay it."""
    state = weights.state or {}
    try:
        load_into(model, state, where=weights.where, architectures=SIGNATURES)
    except CheckpointError as e:
        if is_part(model.state_dict(), state):
            e.remedy = "it is a part of the model: lay it over whole weights, -M base=FILE (-M base=card: the published ones)"
        raise


def build_sam(
    arch: str,
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
    base: str | Path | None = None,
    squash: bool = False,
    single_output: bool = False,
    compiled: bool = False,
) -> SamSegmenter:
    """A segmenter from a checkpoint file, from a state dict with official key names, or (weights None) with random weights.

    key, strip_prefix: where in the file the state dict is (`checkpoints.load_state_dict`). base: a whole checkpoint, over which
    `weights`, a part, is laid (`sambench.models.partial`). The input size is that of the position embeddings. precision: 'fp32', or
    'bf16' for the image encoder. squash, single_output, compiled: see SamSegmenter; with single_output the checkpoint may have one
    mask token instead of four. Raises CheckpointError where the weights do not fit, UsageError for an unknown architecture or
    precision.
    """
    held = state_of(weights, partial(build_sam_model, arch), key=key, strip_prefix=strip_prefix, base=base)
    one = single_output and held.state is not None and MASK_TOKENS in held.state and len(held.state[MASK_TOKENS]) == 1
    model = filled(partial(build_sam_model, arch, num_masks=1 if one else 4, image_size=held.image_size), held)
    flags = {"squash": squash, "single_output": single_output, "compiled": compiled}
    return SamSegmenter(model, name=f"sam_{arch}", device=device, precision=precision, **flags)


def notes_of(
    build: Callable[[], nn.Module],
    *,
    weights: Path | None,
    key: str | None = None,
    strip_prefix: str | None = None,
    base: str | None = None,
) -> tuple[str, ...]:
    """What must be said of a checkpoint file of the user's own; the `read` of a `CardFactory`. Raises CheckpointError."""
    return state_of(weights, build, key=key, strip_prefix=strip_prefix, base=base, mapped=True).notes


def _card(arch: str) -> CardFactory:
    return CardFactory(partial(build_sam, arch), partial(notes_of, partial(build_sam_model, arch)))


vit_b, vit_l, vit_h = map(_card, ("vit_b", "vit_l", "vit_h"))
