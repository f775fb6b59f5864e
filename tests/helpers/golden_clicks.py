"""Deterministic weights and inputs behind tests/golden/clicks: a value is a function of its key and shape alone."""

import hashlib
import math
import zlib

import numpy as np

# key -> (times the spread, plus the mean): makes the masks of random networks neither empty nor whole.
OVERRIDES = {
    "ritm": {
        "maps_transform.0.weight": (2, 0),
        "maps_transform.2.weight": (4, 0),
        "feature_extractor.cls_head.weight": (-0.4, 0),
        "feature_extractor.cls_head.bias": (1, -4.2),
    },
    "focalclick": {
        "feature_extractor.backbone.patch_embed_side1.norm.weight": (1, -0.45),
        "feature_extractor.decode_head.linear_pred.weight": (28, 0),
        "feature_extractor.decode_head.linear_pred.bias": (1, -6.2),
        "refiner.refine_pred.weight": (3, 0),
        "refiner.refine_pred.bias": (1, 0.6),
        "refiner.refine_trimap.weight": (3, 0),
        "refiner.refine_trimap.bias": (1, -1.0),
    },
    "simpleclick_base": {
        "backbone.pos_embed": (0.2, 0),
        "patch_embed_coords.proj.weight": (3, 0),
        "head.conv_seg.weight": (16, 0),
        "head.conv_seg.bias": (1, -3.2),
    },
    "simpleclick_huge": {
        "backbone.pos_embed": (0.2, 0),
        "patch_embed_coords.proj.weight": (3, 0),
        "head.conv_seg.weight": (16, 0),
        "head.conv_seg.bias": (1, -1.4),
    },
}
# row, column, positive
CLICKS = np.array([(110, 170, 1), (175, 60, 0), (130, 200, 1), (30, 30, 0), (95, 140, 1)])


def value(key, shape, overrides=None):
    """The golden value of one state_dict entry."""
    last = key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    spread, mean = 0.1, 0.0
    if last == "running_var":
        spread, mean = 1.0, 0.5
    elif last == "scale":
        mean = 1.0
    elif last in ("pos_embed", "cls_token"):
        spread = 0.5
    elif last == "weight" and len(shape) == 1:
        mean = 0.8
    elif last == "weight":
        spread = 1.0 / math.sqrt(int(np.prod(shape[1:])))
    times, plus = (overrides or {}).get(key, (1, 0))
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape)).astype(np.float32)
    if last == "running_var":
        z = np.abs(z)
    return (z * np.float32(spread * times) + np.float32(mean + plus)).astype(np.float32)


def golden_state_dict(module, model=None):
    """{key: torch tensor} for every entry of a module (it may be on the meta device); model: whose overrides."""
    import torch

    overrides = OVERRIDES.get(model)
    return {k: torch.from_numpy(np.asarray(value(k, tuple(t.shape), overrides))) for k, t in module.state_dict().items()}


def manifest_digest(shapes):
    """sha256 hex of {key: shape}, in the order of the keys' names."""
    lines = (f"{k} {list(map(int, s))}\n" for k, s in sorted(shapes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def procedural_image(h=300, w=400):
    """uint8 RGB [h, w, 3], integer arithmetic only, so bit-exact everywhere."""
    r, c = np.arange(h, dtype=np.int64)[:, None], np.arange(w, dtype=np.int64)[None, :]
    img = np.empty((h, w, 3), np.int64)
    img[...] = (96, 112, 104)
    disc = (r - 110) ** 2 * 4 + (c - 170) ** 2 * 2 <= 9800
    img[disc] = np.stack([(7 * r + 3 * c) % 256, (r * c // 16) % 256, 255 - (5 * r + 11 * c) % 256], -1)[disc]
    square = (r >= 150) & (r < 200) & (c >= 40) & (c < 80)
    img[square] = np.where((r // 5 + c // 5) % 2 == 0, 220, 30)[square][:, None]
    return img.astype(np.uint8)


def procedural_previous(h=300, w=400):
    """float32 [h, w], a previous mask's probabilities."""
    r, c = np.arange(h, dtype=np.float64)[:, None] / h, np.arange(w, dtype=np.float64)[None] / w
    return (0.5 + 0.5 * np.sin(6 * np.pi * r) * np.cos(4 * np.pi * c)).astype(np.float32)
