"""Folders of a SamModel or a SamHQModel, loaded into sambench's own SAM and HQ-SAM.

Why not run by transformers: its SamHQModel computes wrong masks (seen in 5.23 and 5.24: the decoder upscales the image's embedding
instead of what its transformer made of it), and its SamModel has another epsilon in the decoder's norms than the authors' code.
Ours are checked against the authors' outputs, and a folder of the released weights gives the numbers of the card of the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sambench.errors import CheckpointError, ModelError, shown
from sambench.models.checkpoints import check_signature, load_into, load_state_dict, shapes_of, state_dict_in
from sambench.models.hf import names
from sambench.models.hf.folder import ModelFolder
from sambench.models.hq_sam.build import HqSegmenter
from sambench.models.hq_sam.mask_decoder import MaskDecoderHQ
from sambench.models.hq_sam.model import HqSam
from sambench.models.sam.build import SIGNATURES
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.mask_decoder import MaskDecoder
from sambench.models.sam.model import Sam
from sambench.models.sam.prompt_encoder import PromptEncoder
from sambench.models.sam.segmenter import PIXEL_MEAN, PIXEL_STD, SamSegmenter

_TIED = "prompt_encoder.shared_embedding.positional_embedding"  # the same matrix, which some folders hold twice
_SHARED = "shared_image_embedding.positional_embedding"
# What our implementation has no other form of, with transformers' defaults: they are those of every released model.
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "vision_config": {
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "num_channels": 3,
        "qkv_bias": True,
        "use_abs_pos": True,
        "use_rel_pos": True,
    },
    "prompt_encoder_config": {"hidden_act": "gelu", "num_point_embeddings": 4},
    "mask_decoder_config": {"hidden_act": "relu", "attention_downsample_rate": 2},
}


def load_sam(
    folder: ModelFolder,
    *,
    name: str,
    device: str,
    precision: str,
    strip_prefix: str | None = None,
    squash: bool = False,
    single_output: bool = False,
    hq_token_only: bool = False,
) -> SamSegmenter:
    """The segmenter of a folder.

    strip_prefix: of the names of weights, before transformers' own. squash, single_output, hq_token_only: as the cards of SAM and
    HQ-SAM have them.

    Raises ModelError for a config that our implementation has no form of, CheckpointError where the weights do not fit it.
    """
    _check_pixels(folder)
    config = _Config(folder)
    with torch.device("meta"):
        model = _hq(config, hq_token_only) if folder.kind == "SamHQModel" else _sam(config)
    load_into_named(model, read_state(folder, strip_prefix), folder.path, config.iou_depth)
    if isinstance(model, HqSam):
        return HqSegmenter(model.eval(), name=name, device=device, precision=precision, squash=squash)
    return SamSegmenter(
        model.eval(), name=name, device=device, precision=precision, squash=squash, single_output=single_output
    )


class _Config:
    """The sizes that a folder's config gives, with transformers' defaults. Raises ModelError for those that we have no form of."""

    def __init__(self, folder: ModelFolder) -> None:
        self.folder = folder
        for part, fixed in _FIXED.items():
            for key, value in fixed.items():
                told = self.get(part, key, value)
                if told != value:
                    raise self.unfit(part, key, value, told)
        self.width = self.size("prompt_encoder_config", "hidden_size", 256)
        self.image_size = self.size("vision_config", "image_size", 1024)
        self.patch = self.size("vision_config", "patch_size", 16)
        self.iou_depth = self.size("mask_decoder_config", "iou_head_depth", 3)
        agreeing = {
            ("vision_config", "output_channels", 256): self.width,
            ("mask_decoder_config", "hidden_size", 256): self.width,
            ("prompt_encoder_config", "image_size", 1024): self.image_size,
            ("prompt_encoder_config", "patch_size", 16): self.patch,
        }
        for (part, key, default), value in agreeing.items():
            told = self.size(part, key, default)
            if told != value:
                raise self.unfit(part, key, value, told)

    def get(self, part: str, key: str, default: Any) -> Any:
        inner = self.folder.config.get(part)
        told = inner.get(key) if isinstance(inner, Mapping) else None
        return default if told is None else told

    def size(self, part: str, key: str, default: int) -> int:
        told = self.get(part, key, default)
        if isinstance(told, list) and len(set(map(str, told))) == 1:  # a square's two sides
            told = told[0]
        if isinstance(told, bool) or not isinstance(told, int) or not 0 < told < 1 << 20:
            raise self.unfit(part, key, "a size", told)
        return told

    def unfit(self, part: str, key: str, expected: object, found: object) -> ModelError:
        where = f"{self.folder.path}/config.json, {part}.{key}"
        remedy = "run such a model as python:FILE.py:FACTORY"
        message = f"a {self.folder.kind} of a form that is not known"
        return ModelError(message, where=where, expected=expected, found=shown(repr(found)), remedy=remedy)

    def encoder(self) -> ImageEncoderViT:
        """The image encoder, with fresh weights."""
        dim = self.size("vision_config", "hidden_size", 768)
        ratio = self.get("vision_config", "mlp_ratio", 4.0)
        hidden = self.size("vision_config", "mlp_dim", int(dim * ratio) if isinstance(ratio, int | float) else 4 * dim)
        return ImageEncoderViT(
            embed_dim=dim,
            depth=self.size("vision_config", "num_hidden_layers", 12),
            num_heads=self.size("vision_config", "num_attention_heads", 12),
            global_attn_indexes=self.global_blocks(),
            image_size=self.image_size,
            patch_size=self.patch,
            window_size=self.size("vision_config", "window_size", 14),
            mlp_dim=hidden,
            out_chans=self.width,
        )

    def global_blocks(self) -> tuple[int, ...]:
        """Layers of the image encoder that attend to the whole image."""
        blocks = self.get("vision_config", "global_attn_indexes", (2, 5, 8, 11))
        if not isinstance(blocks, list | tuple) or not all(isinstance(b, int) for b in blocks):
            raise self.unfit("vision_config", "global_attn_indexes", "numbers of layers", blocks)
        return tuple(blocks)

    def prompts(self) -> PromptEncoder:
        """The prompt encoder, with fresh weights."""
        grid = self.image_size // self.patch
        chans = self.size("prompt_encoder_config", "mask_input_channels", 16)
        return PromptEncoder(embed_dim=self.width, embedding_size=(grid, grid), image_size=self.image_size, mask_in_chans=chans)

    def decoder(self) -> dict[str, int]:
        """The sizes of the mask decoder."""
        part = "mask_decoder_config"
        return {
            "transformer_dim": self.width,
            "num_multimask_outputs": self.size(part, "num_multimask_outputs", 3),
            "depth": self.size(part, "num_hidden_layers", 2),
            "num_heads": self.size(part, "num_attention_heads", 8),
            "mlp_dim": self.size(part, "mlp_dim", 2048),
            "iou_head_depth": self.iou_depth,
            "iou_head_hidden_dim": self.size(part, "iou_head_hidden_dim", 256),
        }


def _sam(config: _Config) -> Sam:
    return Sam(image_encoder=config.encoder(), prompt_encoder=config.prompts(), mask_decoder=MaskDecoder(**config.decoder()))


def _hq(config: _Config, hq_token_only: bool) -> HqSam:
    early = min(config.global_blocks(), default=None)
    if early is None:
        raise config.unfit("vision_config", "global_attn_indexes", "a layer of global attention, whose output is used", [])
    width = config.size("vision_config", "hidden_size", 768)
    if config.size("mask_decoder_config", "vit_dim", 768) != width:
        raise config.unfit("mask_decoder_config", "vit_dim", width, config.get("mask_decoder_config", "vit_dim", 768))
    decoder = MaskDecoderHQ(early_dim=width, hq_token_only=hq_token_only, **config.decoder())
    return HqSam(image_encoder=config.encoder(), early_layer=early, prompt_encoder=config.prompts(), mask_decoder=decoder)


def read_state(folder: ModelFolder, strip_prefix: str | None = None) -> dict[str, Tensor]:
    """All weights of a folder under its own names, without their prefix if one is given. Raises CheckpointError."""
    state: dict[str, Tensor] = {}
    for file in folder.weights:
        state |= load_state_dict(file)
    return state_dict_in(state, strip_prefix=strip_prefix, where=folder.path)


def load_into_named(model: Sam, state: dict[str, Tensor], where: object, iou_depth: int) -> None:
    """Put weights under transformers' names into our module. Raises CheckpointError, in transformers' names."""
    tied, shared = state.pop(_TIED, None), state.get(_SHARED)
    if tied is not None and shared is not None and not torch.equal(tied, shared):
        raise CheckpointError("two matrices differ that are one in the model", where=where, found=f"{_TIED} is not {_SHARED}")
    if tied is not None:
        state[_SHARED] = tied
    theirs = {own: names.of_sam(own, iou_depth) for own in model.state_dict()}
    wanted = {theirs[own]: shape for own, shape in shapes_of(model.state_dict()).items()}
    check_signature(wanted, shapes_of(state), where=where, architectures=SIGNATURES)
    load_into(model, {own: state[name] for own, name in theirs.items()}, where=where)


def _check_pixels(folder: ModelFolder) -> None:
    """Our SAM prepares pictures as the authors' does. Raises ModelError where the folder says otherwise."""
    for key, own in (("image_mean", PIXEL_MEAN), ("image_std", PIXEL_STD)):
        told = folder.processor.get(key)
        if told is not None and (not isinstance(told, list) or [round(255 * v, 2) for v in told] != [round(v, 2) for v in own]):
            expected = [round(v / 255, 3) for v in own]
            remedy = "change the file, if the model was not trained so; else run the model as python:FILE.py:FACTORY"
            message = f"a folder's {key} asks for what is not done here"
            where = f"{folder.path}, its image processor"
            raise ModelError(message, where=where, expected=expected, found=shown(repr(told)), remedy=remedy)
