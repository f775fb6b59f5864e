"""Partial checkpoints laid over base weights, and SAM at other input sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sambench.errors import CheckpointError, UsageError
from sambench.models.hq_sam.build import build_hq_sam, build_hq_sam_model
from sambench.models.partial import grouped, laid_over
from sambench.models.sam import nano
from sambench.models.sam.build import build_sam, build_sam_model
from sambench.models.sam.build import vit_b as vit_b_card
from sambench.sources import models
from sambench.types import Prompt
from tests.helpers.golden_weights import value
from tests.helpers.inprocess import Cli

DECODER = "mask_decoder."


@pytest.fixture(scope="module")
def whole() -> dict[str, Tensor]:
    return load_file(nano.WEIGHTS)


def shifted(state: dict[str, Tensor], begins: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, with other values."""
    return {k: v + 0.01 for k, v in state.items() if k.startswith(begins)}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def weights_of(segmenter: Any) -> dict[str, Tensor]:
    return dict(segmenter.model.state_dict())


def test_every_tensor_is_the_parts_or_the_bases(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    part = shifted(whole, DECODER)
    base, over = saved(tmp_path / "base.pth", whole), saved(tmp_path / "decoder.pth", part)
    held = weights_of(nano.sam_nano(weights=over, base=str(base), device="cpu"))
    assert held.keys() == whole.keys()
    for name, tensor in held.items():
        assert torch.equal(tensor, part.get(name, whole[name])), name
    (note,) = nano.sam_nano.notes(weights=over, base=str(base))
    n = len(part)
    assert f"{n} of {len(whole)} tensors from decoder.pth (mask_decoder {n})" in note
    assert f"{len(whole) - n} from base.pth (" in note
    assert "equal" not in note


def test_a_modules_own_names_and_wrappers(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    """A decoder's own state dict, as `model.mask_decoder.state_dict()` gives it; and one that stood in a wrapper."""
    base = saved(tmp_path / "base.pth", {"model": whole})
    inside = {k.removeprefix(DECODER): v for k, v in shifted(whole, DECODER).items()}
    wanted = {**whole, **shifted(whole, DECODER)}
    over = saved(tmp_path / "decoder.pth", {"model": inside, "epoch": 3})
    held = weights_of(nano.sam_nano(weights=over, base=str(base), key="model"))
    assert all(torch.equal(held[k], wanted[k]) for k in wanted)
    wrapped = saved(tmp_path / "wrapped.pth", {"model": {f"module.{k}": v for k, v in inside.items()}})
    with pytest.raises(CheckpointError, match=r"-M strip_prefix=module\."):
        nano.sam_nano(weights=wrapped, base=str(base), key="model")
    held = weights_of(nano.sam_nano(weights=wrapped, base=str(base), key="model", strip_prefix="module."))
    assert all(torch.equal(held[k], wanted[k]) for k in wanted)
    with pytest.raises(CheckpointError, match="holds for both files"):
        nano.sam_nano(weights=saved(tmp_path / "flat.pth", inside), base=str(base))


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    base = str(saved(tmp_path / "base.pth", whole))

    def refused(part: dict[str, Tensor], base: Any = base) -> str:
        with pytest.raises(CheckpointError) as e:
            nano.sam_nano(weights=saved(tmp_path / "part.pth", part), base=base)
        return str(e.value)

    some = shifted(whole, DECODER)
    text = refused({**some, "mask_decoder.new_head.weight": torch.ones(2)})
    assert "1 of" in text
    assert "mask_decoder.new_head.weight" in text
    assert "part.pth" in text
    text = refused({**some, "image_encoder.blocks.0.attn.qkv.linear_a_q.weight": torch.ones(2)})
    assert "merge the adapters" in text
    inside = {k.removeprefix(DECODER): v for k, v in some.items()}
    text = refused({**inside, "lora_A.weight": torch.ones(2)})
    assert f"1 of {len(inside) + 1} names that it has not in mask_decoder: lora_A.weight" in text
    assert "merge the adapters" in text
    first = next(iter(some))
    text = refused({**some, first: torch.ones(3, 1)})
    assert f"{first} is [3, 1]" in text
    assert "laid over" in text
    text = refused(whole)
    assert "the base adds nothing" in text
    assert "leave the base" in text
    text = refused(some, base=str(saved(tmp_path / "cut.pth", {k: v for k, v in whole.items() if "prompt" not in k})))
    assert "names missing (prompt_encoder" in text
    assert "none.pth" in refused(some, base=str(tmp_path / "none.pth"))
    for wrong in ("", 3, True):
        assert "base is not a file" in refused(some, base=wrong)
    names = ["a.x.weight", "b.x.weight", "c.y"]
    with pytest.raises(CheckpointError, match="names that fit in a and in b"):
        laid_over({}, {"x.weight": torch.ones(1)}, names=names, where="part", base_where="base")


def test_a_part_alone_is_told_from_another_model(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    inside = {k.removeprefix(DECODER): v for k, v in whole.items() if k.startswith(DECODER)}
    for part in (inside, shifted(whole, DECODER)):
        with pytest.raises(CheckpointError, match="-M base=card"):
            nano.sam_nano(weights=saved(tmp_path / "decoder.pth", part))
    with pytest.raises(CheckpointError) as e:
        nano.sam_nano(weights=saved(tmp_path / "other.pth", {**whole, "head.weight": torch.ones(2)}))
    assert "base=card" not in str(e.value)


def test_a_part_that_changes_nothing_is_said(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    base = saved(tmp_path / "base.pth", whole)
    over = saved(tmp_path / "decoder.pth", {k: v for k, v in whole.items() if k.startswith(DECODER)})
    (note,) = nano.sam_nano.notes(weights=over, base=str(base))
    assert "it is the base model itself" in note


def test_an_account_is_short_and_adds_up() -> None:
    names = [f"enc.blocks.{i}.{part}" for i in range(12) for part in ("qkv.weight", "qkv.bias", "norm")] + ["dec.a", "dec.b"]
    merged = [f"enc.blocks.{i}.qkv.weight" for i in range(12)]
    assert grouped(merged, names) == "enc.blocks.*.qkv.weight 12"
    assert grouped([n for n in names if n not in merged], names) == "enc.blocks.*.qkv.bias 12, enc.blocks.*.norm 12, dec 2"
    assert grouped(names, names) == "enc 36, dec 2"


def test_both_files_are_in_the_identity(tmp_path: Path, whole: dict[str, Tensor], cli: Cli) -> None:
    """By content: another base or another part is another model, a copy elsewhere the same."""
    base = saved(tmp_path / "base.pth", whole)
    other = saved(tmp_path / "other.pth", {k: v + 0.001 for k, v in whole.items()})
    over = saved(tmp_path / "decoder.pth", shifted(whole, DECODER))
    (tmp_path / "moved").mkdir()
    copy = tmp_path / "moved" / "copy.pth"
    copy.write_bytes(base.read_bytes())

    def identity(**options: Any) -> dict[str, Any]:
        return models.resolve("sam_nano", options, device="cpu", precision="fp32").identity

    one = identity(weights=str(over), base=str(base))
    assert one == identity(weights=str(over), base=str(copy))
    assert one != identity(weights=str(over), base=str(other))
    assert one != identity(weights=str(over), base="card")  # the packaged file: the same tensors in another file
    assert one["options"]["base"].keys() == {"file_sha256"}
    assert "base" not in identity()["options"]
    ended = cli("run", "point", "--dry-run", "-M", f"weights={over}", "-M", "base=card", "--out", tmp_path / "runs")
    assert ended.code == 0, ended.err
    assert "tensors from decoder.pth (mask_decoder" in " ".join((ended.out + ended.err).split())
    ended = cli("run", "point", "--dry-run", "-M", "base=card", "--out", tmp_path / "runs")
    assert ended.code == 2
    assert "the base adds nothing" in ended.err


def golden(size: int, build: Any = build_sam_model) -> dict[str, Tensor]:
    """ViT-B's weights by the golden rule, with position embeddings of another input size."""
    with torch.device("meta"):
        shapes = {k: tuple(t.shape) for k, t in build("vit_b", image_size=size).state_dict().items()}
    return {k: torch.from_numpy(value(k, s)) if "blocks" not in k else torch.zeros(()).expand(s) for k, s in shapes.items()}


def test_sam_takes_the_input_size_of_its_position_embeddings(tmp_path: Path) -> None:
    """256 pixels, as SAM-Med2D has it. That the encoder is right at other sizes than 1024 is compared in test_sam_parity (224)."""
    state = golden(256)
    assert tuple(state["image_encoder.pos_embed"].shape) == (1, 16, 16, 768)
    segmenter = build_sam("vit_b", weights=state)
    assert segmenter.identity["image_size"] == 256
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    known = segmenter.encode(image)
    assert tuple(known.embedding.shape) == (1, 256, 16, 16)
    assert known.scale_xy == (256 / 120, 192 / 90)
    (answer,) = segmenter.decode(known, [Prompt(np.array([[40, 30]], np.float32), np.ones(1, np.int8))])
    assert answer.carry is not None
    assert tuple(answer.carry[0].shape) == (64, 64)
    assert answer.masks.region(0).height == 90
    with pytest.raises(CheckpointError, match="rel_pos_h is"):  # 512 pixels by its positions, 256 by the rest
        build_sam("vit_b", weights={**state, "image_encoder.pos_embed": torch.zeros(1, 32, 32, 768)})
    with pytest.raises(CheckpointError, match=r"pos_embed is \[1, 16, 17, 768\]"):
        build_sam("vit_b", weights={**state, "image_encoder.pos_embed": torch.zeros(1, 16, 17, 768)})
    file = saved(tmp_path / "med.pth", {k: v for k, v in state.items() if "blocks" not in k} | {"x": torch.ones(1)})
    assert vit_b_card.notes(weights=file) == ("for images of 256 pixels: position embeddings of 16 x 16, not 64",)


def test_a_part_may_bring_another_input_size(tmp_path: Path) -> None:
    """Position embeddings and the global blocks' relative positions of 512 pixels, over base weights of 1024."""
    base, fine = golden(1024), golden(512)
    part = {k: v for k, v in fine.items() if tuple(v.shape) != tuple(base[k].shape)}
    assert {k.rsplit(".", 1)[-1] for k in part} == {"pos_embed", "rel_pos_h", "rel_pos_w"}
    both = laid_over(base, part, names=list(base), where="part", base_where="base").state
    assert build_sam("vit_b", weights=both).identity["image_size"] == 512


def test_hq_sams_decoder_over_sams_weights(tmp_path: Path) -> None:
    """HQ-SAM's training ends in the decoder alone; the rest is SAM's, whose file has fewer names than the model."""
    with torch.device("meta"):
        shapes = {k: tuple(t.shape) for k, t in build_hq_sam_model("vit_b").state_dict().items()}
    names = list(shapes)
    sam = golden(1024)
    decoder = {k.removeprefix(DECODER): torch.zeros(()).expand(s) for k, s in shapes.items() if k.startswith(DECODER)}
    both = laid_over(sam, decoder, names=names, where="epoch_11.pth", base_where="sam.pth")
    assert both.state.keys() == set(names)
    assert len(both.replaced) == len(decoder)
    build_hq_sam("vit_b", weights=both.state)


def test_options_are_known_by_name() -> None:
    with pytest.raises(UsageError, match="bas"):
        models.resolve("sam_nano", {"bas": "x.pth"}, device="cpu", precision="fp32")
