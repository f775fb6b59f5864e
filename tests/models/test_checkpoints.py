"""Checkpoints as they are met: nested, prefixed, of another model, damaged, dangerous, or no checkpoint at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sambench import cards
from sambench.errors import CheckpointError, UsageError
from sambench.models.checkpoints import load_into, load_state_dict, looks_like
from sambench.models.sam.build import ARCHITECTURES, SIGNATURES, build_sam, build_sam_model, vit_b
from tests.helpers.golden_weights import manifest

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def training_state(**extra: Any) -> dict[str, Any]:
    """What a training loop saves: the model inside a wrapper, an optimizer's state, counters."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"epoch": 7, "optimizer": optimizer.state_dict(), "best": 0.5, **extra}


@pytest.mark.parametrize("legacy", [False, True])
def test_a_plain_file(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path / "plain.pth", STATE, _use_new_zipfile_serialization=not legacy)
    assert same(load_state_dict(path), STATE)


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert same(load_state_dict(tmp_path / "w.safetensors"), STATE)
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:40])
    with pytest.raises(CheckpointError, match="truncated"):
        load_state_dict(tmp_path / "w.safetensors")


def test_nested_with_an_optimizer_beside_it(tmp_path: Path) -> None:
    wrapped = {f"module.{k}": v for k, v in STATE.items()}
    path = saved(tmp_path / "run.pth", training_state(model=wrapped, ema={"shadow": STATE}))
    with pytest.raises(CheckpointError) as e:
        load_state_dict(path)
    text = str(e.value)
    assert "-M key=model -M strip_prefix=module. (2 tensors)" in text
    assert "-M key=ema.shadow (2 tensors)" in text
    assert "key=optimizer" not in text
    assert same(load_state_dict(path, key="model", strip_prefix="module."), STATE)
    assert same(load_state_dict(path, key="ema.shadow"), STATE)
    with pytest.raises(CheckpointError, match="no state dict under 'mdoel'") as e:
        load_state_dict(path, key="mdoel")
    assert "model, ema.shadow" in str(e.value)
    with pytest.raises(CheckpointError, match=r"begins with 'net\.'"):
        load_state_dict(path, key="model", strip_prefix="net.")


def test_prefix_takes_a_part_of_a_larger_model(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {**{f"sam.{k}": v for k, v in STATE.items()}, "head.weight": torch.ones(1)})
    assert same(load_state_dict(path, strip_prefix="sam."), STATE)


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
def test_code_in_the_pickle_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "made"
    if form == "bare pickle":
        path.write_bytes(pickle.dumps({"weight": Evil(target)}))
    else:
        torch.save({**STATE, "x": Evil(target)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match="refused") as e:
        load_state_dict(path)
    assert "posix.mkdir" in str(e.value) or "nt.mkdir" in str(e.value)
    assert not target.exists()


def test_a_whole_module_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="refused") as e:
        load_state_dict(saved(tmp_path / "m.pth", nn.Linear(2, 2)))
    assert "torch.nn.modules.linear.Linear" in str(e.value)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n", "begins with"),
        (b"hello, this is text", "begins with"),
        (b"\x80\x02garbage", "damaged"),
        (b"PK\x03\x04 and nothing else", "damaged"),
    ],
)
def test_not_a_checkpoint(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as e:
        load_state_dict(path)
    assert word in str(e.value)
    assert str(path) in str(e.value)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_truncated(tmp_path: Path, share: float, legacy: bool) -> None:
    path = saved(tmp_path / "w.pth", {"weight": torch.rand(300, 300)}, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_state_dict(path)


def test_absent_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match="can't be read"):
            load_state_dict(path)


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), {}, {"epoch": 3}, {0: torch.ones(2)}], ids=repr)
def test_no_state_dict_inside(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_state_dict(saved(tmp_path / "x.pth", content))


def test_load_into_names_what_differs() -> None:
    module = nn.Linear(3, 2)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(CheckpointError) as e:
        load_into(module, {"weight": torch.ones(2, 4), "extra": torch.ones(1)}, where="somewhere")
    for part in ("1 of 2 names missing (bias [2])", "1 unknown names (extra [1])", "weight is [2, 4], not [2, 3]", "somewhere"):
        assert part in str(e.value)
    assert same(dict(module.state_dict()), before)
    load_into(module, STATE, where="somewhere")
    assert same(dict(module.state_dict()), STATE)


def test_load_into_fills_a_module_on_the_meta_device() -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 2)
    load_into(module, {k: v.half() for k, v in STATE.items()}, where="half precision")
    assert same(dict(module.state_dict()), STATE)
    assert module.weight.dtype == torch.float32


def zeros(arch: str) -> dict[str, Tensor]:
    return {k: torch.zeros(()).expand(shape) for k, shape in manifest(arch).items()}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_signatures_tell_the_released_checkpoints_apart(arch: str) -> None:
    shapes = manifest(arch)
    assert looks_like(shapes, SIGNATURES) == f"sam_{arch}"
    assert looks_like({**shapes, "mask_decoder.hf_token.weight": (1, 256)}, SIGNATURES) == f"sam_hq_{arch}"
    assert looks_like({"weight": (2, 3)}, SIGNATURES) is None


def test_the_wrong_architecture_is_named() -> None:
    with pytest.raises(CheckpointError, match="another architecture") as e:
        build_sam("vit_b", weights=zeros("vit_l"))
    text = str(e.value)
    assert "it looks like sam_vit_l" in text
    assert "image_encoder.blocks.12.norm1.weight [1024]" in text
    assert "image_encoder.pos_embed is [1, 64, 64, 1024], not [1, 64, 64, 768]" in text


def test_a_forgotten_prefix_is_named() -> None:
    with pytest.raises(CheckpointError, match="another architecture") as e:
        build_sam("vit_b", weights={f"module.{k}": v for k, v in zeros("vit_b").items()})
    assert "-M strip_prefix=module." in str(e.value)
    assert "it looks like sam_vit_b" in str(e.value)


def test_a_real_size_checkpoint_through_the_factory(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = build_sam_model("vit_b")
    state = {k: torch.full((), float(i)).expand(t.shape).clone() for i, (k, t) in enumerate(model.state_dict().items())}
    path = saved(tmp_path / "own.pth", training_state(model={f"module.{k}": v for k, v in state.items()}))
    segmenter = vit_b(weights=path, device="cpu", precision="fp32", key="model", strip_prefix="module.")
    assert same(dict(segmenter.model.state_dict()), state)
    assert segmenter.identity["model"] == "sam_vit_b"
    assert (segmenter.device_kind, segmenter.precision, segmenter.max_batch) == ("cpu", "fp32", 64)


def test_factories_need_weights_and_known_words() -> None:
    with pytest.raises(CheckpointError, match="no weights"):
        vit_b(weights=None, device="cpu", precision="fp32")
    with pytest.raises(UsageError, match="vit_x"):
        build_sam("vit_x", weights=None)
    with torch.device("meta"), pytest.raises(UsageError, match="fp16"):
        build_sam("vit_b", weights=None, precision="fp16")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_cards_name_the_released_files(arch: str) -> None:
    card = cards.model_card(f"sam_{arch}")
    assert card.weights is not None
    assert card.weights.sha256 is not None
    tensors = sum(torch.Size(shape).numel() for shape in manifest(arch).values())
    # A torch file is its tensors (float32) and some hundreds of bytes of names and padding for each.
    overhead = (card.weights.bytes or 0) - 4 * tensors
    assert 0 < overhead < 1000 * len(manifest(arch))
    assert callable(cards.load_entry(card.factory, where=card.id))
