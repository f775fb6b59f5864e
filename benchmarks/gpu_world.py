"""What `benchmarks.gpu` runs on: drawn pictures, a model with a big SAM's cost and sam_nano's answers, and PyPI's SAM beside it.

Random weights give masks that no scorer ever sees: everywhere or nowhere. So the big model's encoder and decoder run on every image
and prompt, and what is scored and clicked is what `sam_nano` answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.bench_clicks import HEIGHT, WIDTH, blob
from sambench.models.sam.build import ARCHITECTURES, SamConfig, build_sam_model, sam_around
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.nano import sam_nano
from sambench.models.sam.segmenter import SamSegmenter
from sambench.pixels.region import Region
from sambench.prompts import point_grid
from sambench.types import ImageRecord, Instance, Prediction, Prompt, Sample, UInt8Array

TINY = SamConfig(embed_dim=32, depth=1, num_heads=1, global_attn_indexes=())  # for trying the script out


class Pictures:
    """A dataset of pictures of `objects` coloured blobs of 24 to 220 pixels, the later ones before the earlier; by number."""

    name, variant = "drawn", "default"

    def __init__(self, n: int, objects: int) -> None:
        self.n, self.objects = n, objects
        self.held = [(image, [Region.from_array(m) for m in masks]) for image, masks in (drawn(k, objects) for k in range(n))]

    def index(self) -> list[ImageRecord]:
        return [ImageRecord(str(k), self.objects) for k in range(self.n)]

    def annotation_digest(self) -> str:
        return ""

    def load(self, image_id: str) -> Sample:
        image, regions = self.held[int(image_id)]
        instances = tuple(Instance(str(i), replace(r)) for i, r in enumerate(regions))  # anew: nothing is remembered of them
        return Sample(self.name, image_id, HEIGHT, WIDTH, instances, lambda: image)


def drawn(seed: int, objects: int) -> tuple[UInt8Array, list[np.ndarray[Any, np.dtype[np.bool_]]]]:
    """uint8 [H, W, 3], and a bool mask for each object: what is seen of it, and a pixel at least."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), (90, 100, 95), np.int16)
    owner = np.full((HEIGHT, WIDTH), -1)
    for i in range(objects):
        mask = blob(rng, int(np.exp(rng.uniform(np.log(24), np.log(220)))))
        image[mask] = rng.integers(30, 230, 3)
        owner[mask] = i
    for i in set(range(objects)) - set(np.unique(owner).tolist()):
        owner[rng.integers(HEIGHT), rng.integers(WIDTH)] = i
    image += rng.integers(-8, 9, image.shape, np.int16)
    return image.clip(0, 255).astype(np.uint8), [owner == i for i in range(objects)]


def big_sam(arch: str, device: str, precision: str) -> SamSegmenter:
    """SAM of that size with random weights, made on the device."""
    torch.manual_seed(0)
    with torch.device(device):
        if arch == "tiny":
            sizes = {k: getattr(TINY, k) for k in ("embed_dim", "depth", "num_heads", "global_attn_indexes")}
            model = sam_around(ImageEncoderViT(**sizes, image_size=1024, patch_size=16, out_chans=256)).eval()
        else:
            model = build_sam_model(arch)
        for p in model.parameters():  # those that torch leaves as zeros or ones make a network of no depth
            if p.ndim > 1:
                torch.nn.init.trunc_normal_(p, std=0.02)
    return SamSegmenter(model, name=f"sam_{arch}", device=device, precision=precision)


@dataclass
class Costly:
    """A segmenter: `big`'s work, and `answering`'s answers."""

    big: Any
    answering: Any
    max_batch: int = 64

    def prepare(self, image: UInt8Array) -> Any:
        return self.big.prepare(image), self.answering.prepare(image)

    def encode(self, image: Any) -> Any:
        of_big, own = image if isinstance(image, tuple) else (image, image)
        return self.big.encode(of_big), self.answering.encode(own)

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        low = state[0].geometry.low
        blank = torch.zeros(low, device=self.big.device)
        self.big.decode(state[0], [p if p.carry is None else replace(p, carry=blank) for p in prompts])
        answers: list[Prediction] = self.answering.decode(state[1], prompts)
        return answers


def costly(arch: str, device: str, precision: str) -> Costly:
    """With a big SAM of that size, on the device."""
    return Costly(big_sam(arch, device, precision), sam_nano(device=device))


def official(arch: str, device: str, weights: Any) -> Any | None:
    """PyPI's `segment-anything` with these weights; None where it is not installed."""
    try:
        from tests.helpers.stubs import official_sam

        package = official_sam()
        from segment_anything.build_sam import _build_sam
    except ImportError:
        return None
    if arch == "tiny":
        model = _build_sam(TINY.embed_dim, TINY.depth, TINY.num_heads, list(TINY.global_attn_indexes))
    else:
        assert arch in ARCHITECTURES
        with torch.device(device):  # made there: on the CPU ViT-H takes half a minute
            model = package.sam_model_registry[arch]()
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=True)
    return model.to(device).eval().requires_grad_(False)


class Replaying:
    """A segmenter: `big`'s work on every crop and prompt, and answers that were given before, in order."""

    max_batch = 64

    def __init__(self, big: Any, answers: Sequence[list[Prediction]]) -> None:
        self.big, self.answers = big, answers

    def encode(self, image: UInt8Array) -> Any:
        return self.big.encode(image), iter(self.answers)

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        self.big.decode(state[0], prompts)
        answers: list[Prediction] = next(state[1])
        return answers

    def for_peer(self, model: Any) -> Callable[..., Any]:
        """In place of its predictor's `predict_torch`: the decoder's work, and the same answers brought to the picture."""
        answers = iter(self.answers)

        def predict_torch(points: Any, labels: Any, **_: Any) -> Any:
            predictor = model.predictor
            sparse, dense = predictor.model.prompt_encoder((points, labels), None, None)
            predictor.model.mask_decoder(
                image_embeddings=predictor.features,
                image_pe=predictor.model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
            batch = next(answers)
            low = torch.stack([p.masks.batch.logits[p.masks.index] for p in batch])  # type: ignore[attr-defined]
            scores = torch.from_numpy(np.stack([p.scores for p in batch])).to(low.device)
            return predictor.model.postprocess_masks(low, predictor.input_size, predictor.original_size), scores, low

        return predict_torch


def recorded(model: Any, image: UInt8Array, grid: int) -> list[list[Prediction]]:
    """What a model answers to a grid of points, by batch."""
    state, points = model.encode(image), point_grid(grid, *image.shape[:2])
    prompts = [Prompt(p[None], np.ones(1, np.int8)) for p in points]
    return [model.decode(state, prompts[k : k + Replaying.max_batch]) for k in range(0, len(prompts), Replaying.max_batch)]


def clicks_of_plain_loop(
    predictor: Any,
    sample: Sample,
    objects: Sequence[int],
    answers: Callable[[list[Any]], Prediction],
    n_clicks: int,
    peer_click: Any,
) -> None:
    """The usual loop around the predictor: an object after the other, full frames, one prompt a call."""
    predictor.set_image(sample.image)
    for i in objects:
        truth = sample.instances[i].region.full()
        not_clicked = np.ones(truth.shape, np.bool_)
        mask, fed = np.zeros_like(truth), None
        clicks: list[Any] = []
        for k in range(1, n_clicks + 1):
            click = peer_click(truth, mask, not_clicked)
            if click is None:
                break
            clicks.append(click)
            not_clicked[click.y, click.x] = False
            points, labels = np.array([(c.x, c.y) for c in clicks]), np.array([int(c.positive) for c in clicks])
            found, scores, low = predictor.predict(points, labels, mask_input=fed, multimask_output=k == 1)
            fed = low[int(np.argmax(scores))][None]
            given = answers(clicks)
            mask = given.masks.array(given.top_index)
            for candidate in found:
                _ = np.count_nonzero(candidate & truth) / max(np.count_nonzero(candidate | truth), 1)
