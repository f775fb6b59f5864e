"""The official files of SAM 2, SAM 2.1, EdgeTAM and SAM 3, and fine-tunes of them, in transformers' models; the cards' factories.

Every name of a file is accounted for: those of the image model are renamed and must all be there, those that only video needs are
known by their beginnings and left out, and any other is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError
from sambench.models.card_factory import needed
from sambench.models.checkpoints import check_signature, load_into, shapes_of, state_dict_in
from sambench.models.hf import names
from sambench.models.hf.folder import FAMILIES
from sambench.models.hf.installed import check_installed
from sambench.models.hf.library import classes, load_state
from sambench.models.hf.segmenter import Sam2Segmenter
from sambench.models.hf.settings import Dynamic, Settings
from sambench.models.sam.build import SIGNATURES
from sambench.models.weight_files import read_content

_VIDEO: Final = re.compile(
    r"(memory_attention|memory_encoder|mask_downsample|obj_ptr_proj|obj_ptr_tpos_proj|spatial_perceiver)\."
    r"|(maskmem_tpos_enc|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial)$"
)
_POINTS: Final = "prompt_encoder.point_embed"  # four embeddings there, one table of four rows here
_POSITIONS: Final = "prompt_encoder.shared_embedding.positional_embedding"
_ALSO: Final = "shared_image_embedding.positional_embedding"  # the same matrix


@dataclass(frozen=True)
class Hiera:
    """What tells the image encoders of SAM 2 apart; the rest is transformers' default, that of the released models."""

    width: int
    heads: int
    stages: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    background: tuple[int, int] = (7, 7)

    def config(self) -> dict[str, Any]:
        """`vision_config`, as the class takes it."""
        widths = [self.width * 2**i for i in range(4)]
        backbone = {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "blocks_per_stage": list(self.stages),
            "embed_dim_per_stage": widths,
            "num_attention_heads_per_stage": [self.heads * 2**i for i in range(4)],
            "window_size_per_stage": list(self.windows),
            "global_attention_blocks": list(self.global_blocks),
            "window_positional_embedding_background_size": list(self.background),
        }
        return {"backbone_config": backbone, "backbone_channel_list": widths[::-1]}


# The configurations of facebookresearch/sam2 (sam2/configs/sam2.1); those of SAM 2 have the same image encoders.
HIERA: Final[Mapping[str, Hiera]] = MappingProxyType(
    {
        "hiera_t": Hiera(96, 1, (1, 2, 7, 2), (5, 7, 9)),
        "hiera_s": Hiera(96, 1, (1, 2, 11, 2), (7, 10, 13)),
        "hiera_b": Hiera(112, 2, (2, 3, 16, 3), (12, 16, 20), background=(14, 14)),
        "hiera_l": Hiera(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
    }
)


def build_sam2(size: str) -> nn.Module:
    """A bare Sam2Model of one of HIERA, with fresh weights; under `torch.device("meta")` it costs no memory."""
    check_installed("Sam2Model")
    config, kind = classes("Sam2Config", "Sam2Model")
    model: nn.Module = kind(config(vision_config=HIERA[size].config()))
    return model.eval()


def build_edgetam() -> nn.Module:
    """A bare EdgeTamModel. Raises ModelError without timm, which has its image encoder."""
    check_installed("EdgeTamModel")
    config, kind, encoder = classes("EdgeTamConfig", "EdgeTamModel", "TimmWrapperConfig")
    taken = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    backbone = encoder(architecture="repvit_m1", model_args=taken)
    model: nn.Module = kind(config(vision_config={"backbone_config": backbone}))
    return model.eval()


def load_official(
    build: Callable[[], nn.Module],
    kind: str,
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str,
    precision: str,
    key: str | None = None,
    strip_prefix: str | None = None,
    dynamic: bool = True,
) -> Sam2Segmenter:
    """A segmenter from an official checkpoint file, or a state dict with its names; with build and kind, the cards' factories.

    build: makes the bare model, of the class `kind`. key, strip_prefix: where in the file the state dict is; the official files and
    those of their training have it under `model`. dynamic: see `settings.Dynamic`. Raises CheckpointError where the weights do not
    fit or are absent, ModelError where a package is missing.
    """
    state, where = _state(weights, key, strip_prefix)
    with torch.device("meta"):
        model = build()
    wanted = shapes_of(model.state_dict())
    theirs = renamed(state)
    check_signature(wanted, shapes_of(theirs), where=where, architectures=SIGNATURES)
    load_into(model, theirs, where=where)
    return _segmenter(model, kind, device, precision, dynamic)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under official names as transformers has them: without what only video needs; names that are not known stay."""
    out = {names.of_sam2(name): t for name, t in state.items() if not _VIDEO.match(name)}
    points = [out.get(f"{_POINTS}.{i}.weight") for i in range(4)]
    if all(t is not None and t.ndim == 2 and t.shape == points[0].shape for t in points):  # type: ignore[union-attr]
        rows = [out.pop(f"{_POINTS}.{i}.weight") for i in range(4)]
        out[f"{_POINTS}.weight"] = torch.cat(rows)
    if _POSITIONS in out:
        out.setdefault(_ALSO, out[_POSITIONS])
    return out


def sam3_tracker(*, weights: Path | None, device: str, precision: str, dynamic: bool = True) -> Sam2Segmenter:
    """The factory of SAM 3's card: the tracker within `model.safetensors` of its folder, whose names transformers converts."""
    check_installed("Sam3TrackerModel")
    [config] = classes("Sam3TrackerConfig")
    path = needed(weights)
    state = state_dict_in(read_content(path), where=path)
    if not any(k.startswith(("tracker_model.", "mask_decoder.")) for k in state):
        raise CheckpointError(
            "this file does not hold SAM 3 as transformers names it",
            where=path,
            expected="model.safetensors of facebook/sam3, with names like 'tracker_model.mask_decoder...'",
            found=", ".join(list(state)[:3]),
            remedy="take that file; sam3.pt, and the files of SAM 3.1, have names that transformers does not convert",
        )
    model = load_state("Sam3TrackerModel", config(), state, path)
    return _segmenter(model, "Sam3TrackerModel", device, precision, dynamic)


hiera_t = partial(load_official, partial(build_sam2, "hiera_t"), "Sam2Model")
hiera_s = partial(load_official, partial(build_sam2, "hiera_s"), "Sam2Model")
hiera_b = partial(load_official, partial(build_sam2, "hiera_b"), "Sam2Model")
hiera_l = partial(load_official, partial(build_sam2, "hiera_l"), "Sam2Model")
edgetam = partial(load_official, build_edgetam, "EdgeTamModel")


def _state(
    weights: Path | Mapping[str, Tensor] | None, key: str | None, strip_prefix: str | None
) -> tuple[Mapping[str, Tensor], object]:
    if weights is None or isinstance(weights, Path):
        path = needed(weights)
        content = read_content(path)
        inner = content.get("model") if isinstance(content, Mapping) else None
        if key is None and isinstance(inner, Mapping):
            key = "model"
        return state_dict_in(content, key=key, strip_prefix=strip_prefix, where=path, architectures=SIGNATURES), path
    return weights, "the given state dict"


def _segmenter(model: nn.Module, kind: str, device: str, precision: str, dynamic: bool) -> Sam2Segmenter:
    family = FAMILIES[kind]
    settings = Settings(family.mean, family.std, Dynamic() if dynamic else None)
    return Sam2Segmenter(model, settings, name=kind, device=device, precision=precision)
