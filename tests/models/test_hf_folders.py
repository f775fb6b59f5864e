"""Folders of Hugging Face's models: what they hold, what of them is refused and how it is named, and what makes their identity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sambench.errors import CheckpointError, ModelError, SambenchError, UsageError
from sambench.models.hf import installed
from sambench.models.hf.folder import read_folder
from sambench.sources import models
from sambench.types import Prompt
from tests.helpers import hf_folders

CLICK = Prompt(np.array([[30, 20]], np.float32), np.ones(1, np.int8))
PICTURE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)


def resolved(folder: Path, **options: Any) -> models.ResolvedModel:
    return models.resolve(f"hf:{folder}", options, device="cpu", precision="fp32")


def built(folder: Path, **options: Any) -> Any:
    return models.build(resolved(folder, **options).spec)


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf") / "tiny-sam2"
    hf_folders.sam2(folder)
    return folder


@pytest.fixture
def copy(sam2: Path, tmp_path: Path) -> Path:
    """The folder, for changes."""
    return Path(shutil.copytree(sam2, tmp_path / "copy"))


def refused(folder: Path, *said: str) -> SambenchError:
    with pytest.raises(SambenchError) as error:
        built(folder)
    for text in said:
        assert text in str(error.value), str(error.value)
    return error.value


def test_missing_weights_are_refused_by_name(copy: Path) -> None:
    """transformers fills them with random numbers, and says so on the log alone."""
    name = "mask_decoder.iou_token.weight"
    hf_folders.rename(copy, lambda s: {k: t for k, t in s.items() if k != name})
    error = refused(copy, f"1 names missing ({name})", "random numbers")
    assert isinstance(error, CheckpointError)


def test_unknown_weights_are_refused_by_name(copy: Path) -> None:
    hf_folders.rename(copy, lambda s: {**s, "mask_decoder.extra.weight": torch.zeros(3)})
    refused(copy, "1 unknown names (mask_decoder.extra.weight)")


def test_weights_of_another_shape_are_refused_by_name(copy: Path) -> None:
    name = "mask_decoder.iou_token.weight"
    hf_folders.rename(copy, lambda s: {**s, name: torch.zeros(2, 32)})
    refused(copy, f"1 other shapes ({name} is [2, 32], not [1, 32])")


def test_what_only_video_needs_is_left_out(sam2: Path, copy: Path) -> None:
    """As in the released folders of SAM 2, whose class is that of the video model."""
    extra = {"memory_attention.layers.0.linear1.weight": torch.zeros(3, 3), "no_object_pointer": torch.zeros(1, 32)}
    hf_folders.rename(copy, lambda s: {**s, **extra})
    hf_folders.reconfigure(copy, architectures=["Sam2VideoModel"], model_type="sam2_video")
    assert read_folder(copy).kind == "Sam2Model"
    same = built(copy)
    assert type(same.model).__name__ == "Sam2Model"
    [got], [expected] = (m.decode(m.encode(PICTURE), [CLICK]) for m in (same, built(sam2)))
    assert np.array_equal(got.masks.low_res, expected.masks.low_res)


def sam3_video(folder: Path) -> Any:
    """A folder as facebook/sam3 is: of the video model, whose tracker shares the detector's encoder. Gives the tracker."""
    from transformers import Sam3VideoConfig

    tracker = hf_folders.sam3_tracker(folder)
    own = json.loads((folder / "config.json").read_text())
    parts = {k: own[k] for k in ("vision_config", "prompt_encoder_config", "mask_decoder_config")}
    config = Sam3VideoConfig(tracker_config={**parts, "image_size": hf_folders.SAM3_SIDE})
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["Sam3VideoModel"]}))

    def as_released(name: str) -> str:
        if name.startswith("vision_encoder.backbone."):
            return f"detector_model.{name}"
        return name.replace("vision_encoder.neck.", "tracker_neck.") if "neck" in name else f"tracker_model.{name}"

    extra = {"detector_model.detr_decoder.weight": torch.zeros(2), "tracker_model.memory_attention.weight": torch.zeros(2)}
    hf_folders.rename(folder, lambda _: {**{as_released(k): t for k, t in tracker.state_dict().items()}, **extra})
    return tracker


def test_sam_3_is_its_tracker_whatever_the_config_says(tmp_path: Path) -> None:
    """The config of a loaded one says `sam3_tracker_video`: the family is that of the class."""
    video, alone = tmp_path / "video", tmp_path / "alone"
    sam3_video(video)
    hf_folders.sam3_tracker(alone)
    segmenter, tracker = built(video), built(alone)
    assert type(segmenter.model).__name__ == "Sam3TrackerModel"
    assert segmenter.model.config.model_type == "sam3_tracker_video"
    assert segmenter.identity["mean"] == [0.5, 0.5, 0.5]
    [got], [expected] = (m.decode(m.encode(PICTURE), [CLICK]) for m in (segmenter, tracker))
    assert np.array_equal(got.masks.low_res, expected.masks.low_res)


def test_sam_3_saved_again_by_its_video_model_is_refused(tmp_path: Path) -> None:
    """transformers 5.24 saves it under names of which its tracker finds none: it would run with random weights."""
    sam3_video(tmp_path / "again")
    wrong = "tracker_model.tracker_model."
    hf_folders.rename(tmp_path / "again", lambda s: {k.replace("tracker_model.", wrong): t for k, t in s.items()})
    refused(tmp_path / "again", "names missing (mask_decoder.", "saved from a Sam3VideoModel")


@pytest.mark.parametrize("name", ["Sam3Model", "Sam3LiteTextModel", "GroundingDinoForObjectDetection"])
def test_models_of_phrases_need_a_tokenizer(copy: Path, name: str) -> None:
    hf_folders.reconfigure(copy, architectures=[name], model_type="sam3")
    error = refused(copy, "has no tokenizer", "tokenizer.json")
    assert isinstance(error, ModelError)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["BertModel"], "model_type": "bert"}, ("BertModel", "python:FILE.py:FACTORY")),
        ({"architectures": ["Sam3p1Model"], "model_type": "sam3_1"}, ("Sam3p1Model",)),
        ({"architectures": ["Sam3_1VideoModel"], "model_type": "sam3_1_video"}, ("pull request 45110",)),
        ({"architectures": ["MySam2"], "auto_map": {"AutoModel": "code.MySam2"}}, ("code of its own", "is not run")),
        ({"architectures": None, "model_type": None}, ("model_type None",)),
    ],
)
def test_unknown_classes_are_refused(copy: Path, config: dict[str, Any], said: tuple[str, ...]) -> None:
    hf_folders.reconfigure(copy, **config)
    refused(copy, "a class that is not known", "Sam2Model", *said)


def test_quantized_models_are_refused(copy: Path) -> None:
    hf_folders.reconfigure(copy, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    refused(copy, "quantized", "dequantize")


def test_half_precision_is_loaded_as_the_run_asks(copy: Path) -> None:
    """fp32 and bf16 are what the run says, whatever the file holds."""
    hf_folders.rename(copy, lambda s: {k: t.half() for k, t in s.items()})
    hf_folders.reconfigure(copy, dtype="float16")
    assert {p.dtype for p in built(copy).model.parameters()} == {torch.float32}


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")


def _lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _led_away(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (_empty, "an empty file"),
    (_pointer, "git lfs pull"),
    (_truncated, "cannot load a model"),
    (_adapter, "merge_and_unload"),
    (_lost_shard, "model-00001-of-00002.safetensors"),
    (_led_away, "an index of weights cannot be used"),
    (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
    (lambda f: (f / "config.json").unlink(), "no config.json in it"),
    (lambda f: (f / "config.json").write_text("{"), "expected: JSON"),
    (lambda f: (f / "config.json").write_text("[1]"), "expected: a table"),
    (lambda f: (f / "config.json").write_text('{"a": NaN}'), "NaN is no number"),
    (lambda f: (f / "preprocessor_config.json").write_text('{"image_mean": [1, 2]}'), "image_mean"),
    (lambda f: (f / "preprocessor_config.json").write_text('{"do_normalize": false}'), "do_normalize"),
    (lambda f: (f / "preprocessor_config.json").write_text('{"rescale_factor": 1}'), "rescale_factor"),
]


@pytest.mark.parametrize(("damage", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_broken_folders_are_refused(copy: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(copy)
    refused(copy, said)


def test_what_is_no_folder(tmp_path: Path, sam2: Path) -> None:
    for name, said in (("none", "no such folder"), ("a.pt", "-M weights=FILE")):
        (tmp_path / "a.pt").write_bytes(b"x")
        with pytest.raises(ModelError, match=said):
            resolved(tmp_path / name)
    with pytest.raises(ModelError, match=r"no config\.json in it"):
        resolved(sam2.parent)


def test_options_are_those_of_the_class(sam2: Path) -> None:
    with pytest.raises(UsageError, match="unknown option of a Sam2Model 'squash'"):
        resolved(sam2, squash=True)
    with pytest.raises(UsageError, match="does not fit"):
        resolved(sam2, dynamic="no")


def test_a_folder_is_known_by_what_it_holds(sam2: Path, copy: Path) -> None:
    first = resolved(sam2).identity
    assert resolved(copy).identity == first
    hf_folders.reconfigure(copy, transformers_version="9.9", _name_or_path="elsewhere")
    assert resolved(copy).identity == first
    hf_folders.reconfigure(copy, initializer_range=0.5)
    assert resolved(copy).identity != first
    hf_folders.rename(copy, lambda s: {k: t + 1 for k, t in s.items()})
    assert resolved(copy).identity["hf"]["weights_sha256"] != first["hf"]["weights_sha256"]


def test_the_image_processor_is_part_of_the_identity(sam2: Path, copy: Path) -> None:
    (copy / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}))
    assert resolved(copy).identity["hf"]["mean"] == [0.1, 0.2, 0.3]
    assert resolved(copy).identity != resolved(sam2).identity
    (copy / "processor_config.json").write_text((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").unlink()
    assert resolved(copy).identity["hf"]["std"] == [1, 1, 1]


def test_options_that_change_nothing_are_no_other_model(sam2: Path, tmp_path: Path) -> None:
    assert resolved(sam2, dynamic=True).identity == resolved(sam2).identity != resolved(sam2, dynamic=False).identity
    hf_folders.sam(tmp_path / "sam")
    plain = resolved(tmp_path / "sam").identity
    assert resolved(tmp_path / "sam", squash=False).identity == plain != resolved(tmp_path / "sam", squash=True).identity


def test_a_folder_that_changes_is_no_longer_the_model(copy: Path) -> None:
    model = resolved(copy)
    models.build(model.spec)
    hf_folders.rename(copy, lambda s: {k: t + 1 for k, t in s.items()})
    with pytest.raises(ModelError, match="changed while the command ran"):
        models.build(model.spec)


def test_weights_in_shards(sam2: Path, tmp_path: Path) -> None:
    """In two files with an index, as the large models come."""
    from safetensors.torch import load_file
    from transformers import Sam2Model

    model = Sam2Model.from_pretrained(sam2)
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(read_folder(tmp_path / "shards").weights) > 1
    [got], [expected] = (m.decode(m.encode(PICTURE), [CLICK]) for m in (built(tmp_path / "shards"), built(sam2)))
    assert np.array_equal(got.masks.low_res, expected.masks.low_res)
    torch.save(load_file(sam2 / "model.safetensors"), tmp_path / "pytorch_model.bin")
    shutil.copy(sam2 / "config.json", tmp_path)
    [old] = (lambda m: m.decode(m.encode(PICTURE), [CLICK]))(built(tmp_path))
    assert np.array_equal(old.masks.low_res, expected.masks.low_res)


def test_what_must_be_installed_is_said(sam2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed.importlib.util.find_spec
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: None if name == "transformers" else found(name))
    with pytest.raises(ModelError, match=r"pip install .* '.\[hf\]'"):
        resolved(sam2)
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: None if name == "timm" else found(name))
    with pytest.raises(ModelError, match=r"needs the package (timm|torchvision)[\s\S]*pip install timm"):
        installed.check_installed("EdgeTamModel")
    monkeypatch.setattr(installed.metadata, "version", lambda name: "5.22.1")
    with pytest.raises(ModelError, match=r"expected: transformers 5\.23 or newer\n  found: 5\.22\.1"):
        resolved(sam2)
