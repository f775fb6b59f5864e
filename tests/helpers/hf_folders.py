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


_SAM3_TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_DETR = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def sam3(folder: Path, seed: int = 0) -> Any:
    """A Sam3Model of 12 queries with a tokenizer of letters; answers of random weights, some of them above .3."""
    from transformers import Sam3Config, Sam3Model

    vocabulary = clip_tokenizer(folder, 32)
    text = {**_SAM3_TEXT, "model_type": "clip_text_model", "vocab_size": vocabulary, "max_position_embeddings": 32}
    config = Sam3Config(**_sam3_parts({**text, "projection_dim": 24, **_ends(vocabulary)}))
    return _written(Sam3Model(config), folder, seed)


def sam3_lite(folder: Path, seed: int = 0) -> Any:
    """A Sam3LiteTextModel, likewise."""
    from transformers import Sam3LiteTextConfig, Sam3LiteTextModel

    text = {**_SAM3_TEXT, "vocab_size": clip_tokenizer(folder, 32), "max_position_embeddings": 40, "projection_dim": 24}
    return _written(Sam3LiteTextModel(Sam3LiteTextConfig(**_sam3_parts(text))), folder, seed)


def owlv2(folder: Path, seed: int = 0) -> Any:
    """An Owlv2ForObjectDetection of 16 patches with a tokenizer of letters."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    vocabulary = clip_tokenizer(folder, 12)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**size, "vocab_size": vocabulary, "max_position_embeddings": 12, **_ends(vocabulary)}
    config = Owlv2Config(text_config=text, vision_config={**size, "image_size": 64, "patch_size": 16}, projection_dim=32)
    image = {"size": {"height": 64, "width": 64}, "resample": 2, "rescale_factor": 1 / 255, "do_pad": True}
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "Owlv2ImageProcessor", **image}))
    return _written(Owlv2ForObjectDetection(config), folder, seed, calm="box_head")


def grounding_dino(folder: Path, seed: int = 0) -> Any:
    """A GroundingDinoForObjectDetection of 4 queries with a tokenizer of letters."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    vocabulary = bert_tokenizer(folder)
    swin = SwinConfig(image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4])
    text = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = GroundingDinoConfig(
        backbone_config=swin,
        text_config={**text, "vocab_size": vocabulary},
        d_model=32, num_queries=4, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=48, decoder_ffn_dim=48, num_feature_levels=4, max_text_len=32,
    )  # fmt: skip
    image = {"size": {"shortest_edge": 96, "longest_edge": 160}, "resample": 2, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "GroundingDinoImageProcessor", **image}))
    return _written(GroundingDinoForObjectDetection(config), folder, seed, calm="bbox_embed")


def clip_tokenizer(folder: Path, length: int) -> int:
    """Files of a CLIPTokenizer that knows letters alone; gives the size of its vocabulary."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]  # last, as CLIP has them
    tokenizer = CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[], model_max_length=length)
    tokenizer.save_pretrained(folder)
    return len(words)


def _ends(vocabulary: int) -> dict[str, int]:
    return {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}


def bert_tokenizer(folder: Path) -> int:
    """Files of a BertTokenizer that knows letters alone, its special tokens where BERT has them; gives its vocabulary's size."""
    from transformers import BertTokenizer

    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    letters = [c for i in range(26) for c in (chr(97 + i), f"##{chr(97 + i)}")]
    words = [special.get(i, f"[unused{i}]") for i in range(1100)]
    words[200 : 200 + len(letters)] = letters
    BertTokenizer(vocab={w: i for i, w in enumerate(words)}).save_pretrained(folder)
    return len(words)


def _sam3_parts(text: dict[str, Any]) -> dict[str, Any]:
    return {
        "vision_config": _SAM3_VISION,
        "text_config": text,
        "geometry_encoder_config": {**_DETR, "roi_size": 3},
        "detr_encoder_config": _DETR,
        "detr_decoder_config": {**_DETR, "num_queries": 12},
        "mask_decoder_config": {"hidden_size": 32, "num_upsampling_stages": 3, "num_attention_heads": 2},
    }


def _written(model: Any, folder: Path, seed: int, calm: str = "-") -> Any:
    """calm: part of the names of weights that are made small, for boxes would be the whole picture or nothing."""
    from transformers.utils import logging

    with torch.no_grad():
        randomise(model, seed)
        for name, weight in model.named_parameters():
            weight.mul_(0.2 if calm in name else 1)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return model.eval()
