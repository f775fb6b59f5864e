"""Deterministic weights and inputs behind the golden arrays of tests/golden: a value is a function of its key and shape alone."""

import json
import re
import zlib

import numpy as np

from tests.helpers import GOLDEN

# (regex on the full state_dict key, kind). First match wins. Order matters.
RULES = [
    (r"\.num_batches_tracked$",                    "zero_int64"),
    (r"\.running_var$",                            "var"),            # |z| + 0.5
    (r"\.running_mean$",                           ("n", 0.1, 0.0)),
    (r"positional_encoding_gaussian_matrix$",      ("n", 1.0, 0.0)),
    (r"image_encoder\.pos_embed$",                 ("n", 0.1, 0.0)),
    (r"\.rel_pos_[hw]$",                           ("n", 0.1, 0.0)),
    (r"\.(c|fc2)\.weight$",                          ("fan_in_c", 1.7)),  # TinyViT: centred over input channels
    (r"\.attention_biases$",                       ("n", 1.0, 0.0)),
    (r"(point_embeddings\.\d|not_a_point_embed|no_mask_embed|iou_token|mask_tokens|hf_token)\.weight$", ("n", 1.0, 0.0)),
    (r"iou_prediction_head\.layers\.2\.weight$",   ("fan_in", 0.5)),
    (r"iou_prediction_head\.layers\.2\.bias$",     ("n", 0.05, 0.85)),
    (r"output_hypernetworks_mlps\.\d\.layers\.2\.weight$", ("fan_in_c", 240.0)),
    (r"output_hypernetworks_mlps\.\d\.layers\.2\.bias$",   ("n", 18.0, -36.0)),
    (r"hf_mlp\.layers\.2\.weight$",                ("fan_in_c", 120.0)),
    (r"hf_mlp\.layers\.2\.bias$",                  ("n", 9.0, 40.0)),
    (r"embedding_maskfeature\.3\.weight$",         ("fan_in_c", 1.0)),
    (r"(compress_vit_feat|embedding_encoder)\.3\.weight$", ("fan_in_Tc", 1.0)),
    (r"output_upscaling\.3\.bias$",                 ("n", 0.1, -0.7)),
    (r"mask_decoder\.transformer\..*\.[qk]_proj\.weight$",          ("fan_in", 2.0)),
    (r"(output_upscaling|compress_vit_feat|embedding_encoder)\.[03]\.weight$", ("fan_in_T", 1.0)),  # ConvTranspose2d only (ndim 4)
]


def value(key, shape):
    """The golden value of one state_dict entry."""
    kind = None
    for pat, k in RULES:
        if re.search(pat, key):
            kind = k
            break
    if kind == "zero_int64":
        return np.zeros(shape, np.int64)
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape)).astype(np.float32)
    if kind == "var":
        return np.abs(z) + np.float32(0.5)
    if kind is None:
        last = key.rsplit(".", 1)[-1]
        if last == "bias":
            kind = ("n", 0.1, 0.0)
        elif last == "weight" and len(shape) == 1:
            kind = ("n", 0.1, 1.0)            # every normalisation weight
        elif last == "weight" and len(shape) in (2, 4):
            kind = ("fan_in", 1.0)
        else:
            raise KeyError(f"no rule for {key} {shape}")
    if kind[0] == "n":
        return z * np.float32(kind[1]) + np.float32(kind[2])
    if kind[0] in ("fan_in_T", "fan_in_Tc"):  # taps correlated, so that masks are blobs and not speckle
        if kind[0] == "fan_in_Tc":
            z = z - z.mean(0, keepdims=True)
        t = z[:, :, :1, :1] + np.float32(0.1) * z
        return t * np.float32(kind[1] / shape[0] ** 0.5)
    if kind[0] == "fan_in_c" and shape[1] > 1:
        z = z - z.mean(1, keepdims=True)
    return z * np.float32(kind[1] / int(np.prod(shape[1:])) ** 0.5)


def golden_state_dict(arch):
    """{key: torch tensor} of a whole SAM, arch 'vit_b', 'vit_l' or 'vit_h', with the official names."""
    import torch

    return {k: torch.from_numpy(value(k, shape)) for k, shape in manifest(arch).items()}


def manifest(arch):
    """{key: shape} of the released checkpoint of 'vit_b', 'vit_l' or 'vit_h'."""
    path = GOLDEN / "sam" / f"manifest_sam_{arch}.json"
    return {k: tuple(v) for k, v in json.loads(path.read_text()).items()}


def procedural_image(h=600, w=800):
    """uint8 RGB, integer arithmetic only, so bit-exact everywhere."""
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    r = (x * 255) // (w - 1)
    g = (y * 255) // (h - 1)
    b = ((x + 2 * y) // 5) % 256
    img = np.stack([r, g, b], -1)
    disc = (x - 250) ** 2 + (y - 200) ** 2 < 120 ** 2
    img[disc] = (220, 40, 60)
    rect = (x >= 450) & (x < 700) & (y >= 300) & (y < 520)
    img[rect] = (30, 160, 90)
    ring = ((x - 575) ** 2 + (y - 410) ** 2 < 80 ** 2) & ((x - 575) ** 2 + (y - 410) ** 2 >= 45 ** 2)
    img[ring] = (250, 240, 20)
    stripes = (x >= 60) & (x < 340) & (y >= 400) & (y < 560) & (((x // 12) % 2) == 0)
    img[stripes] = (10, 10, 200)
    tri = (y >= 40) & (y < 220) & (abs(x - 620) * 2 < (y - 40))
    img[tri] = (240, 240, 240)
    return img.astype(np.uint8)


def synthetic_mask_input():
    """1x256x256 float32 logits: an ellipse, clipped to [-10, 10]."""
    y, x = np.mgrid[0:256, 0:256].astype(np.float32)
    q = ((x - 128) / 90) ** 2 + ((y - 90) / 60) ** 2
    return np.clip(10 - 10 * q, -10, 10).astype(np.float32)[None]


def synthetic_features(name, channels):
    """(1, channels, 64, 64) float32: 16x16 normal noise in 4x4 blocks; stands in for encoder output in decoder-only tests."""
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal((1, channels, 16, 16)).astype(np.float32)
    return np.ascontiguousarray(z.repeat(4, axis=2).repeat(4, axis=3))
