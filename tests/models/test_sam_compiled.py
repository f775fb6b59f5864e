"""`-M compiled=true`: what the option says of itself, what it says where it cannot be had, and that it changes last bits alone."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from sambench.errors import ModelError
from sambench.models.sam.build import sam_around, vit_h
from sambench.models.sam.image_encoder import ImageEncoderViT
from sambench.models.sam.segmenter import SamSegmenter
from sambench.types import Prompt

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
PROMPTS = [Prompt(np.full((1, 2), 20, np.float32), np.ones(1, np.int8))]


def tiny(*, compiled: bool) -> SamSegmenter:
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        embed_dim=16, depth=1, num_heads=2, global_attn_indexes=(0,), window_size=3, image_size=64, out_chans=256
    )
    return SamSegmenter(sam_around(encoder, image_size=64), name="tiny", compiled=compiled)


def test_it_is_off_and_part_of_the_identity_where_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("sambench.models.sam.segmenter.compile_fixed", asked.append)
    assert inspect.signature(vit_h).parameters["compiled"].default is False
    assert "compiled" not in tiny(compiled=False).identity
    model = tiny(compiled=True)
    assert model.identity == {**tiny(compiled=False).identity, "compiled": True}
    assert asked == [model.model.image_encoder]


@pytest.mark.slow  # importing torch's compiler takes seconds
def test_where_nothing_can_be_compiled_an_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo import exc

    model = tiny(compiled=True)

    def refused(pixels: torch.Tensor) -> None:
        raise exc.TorchDynamoException("no C++ compiler was found\nand much more")

    monkeypatch.setattr(model.model.image_encoder, "_compiled_call_impl", refused)
    with pytest.raises(ModelError, match="tiny cannot be compiled on this machine") as caught:
        model.encode(IMAGE)
    assert caught.value.where == "-M compiled=true"
    assert "no C++ compiler was found" in str(caught.value.found)


@pytest.mark.slow
def test_a_compiled_encoder_answers_as_the_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, fast = tiny(compiled=False), tiny(compiled=True)
    assert fast.model.state_dict().keys() == plain.model.state_dict().keys()
    wanted, found = plain.encode(IMAGE), fast.encode(IMAGE)
    assert (found.embedding - wanted.embedding).abs().max() < 1e-5 * wanted.embedding.std()
    assert torch.equal(fast.encode(IMAGE).embedding, found.embedding)
    (a,), (b,) = plain.decode(wanted, PROMPTS), fast.decode(found, PROMPTS)
    assert np.abs(a.masks.low_res - b.masks.low_res).max() < 1e-4  # type: ignore[attr-defined]
