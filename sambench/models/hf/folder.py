"""A folder as `save_pretrained` writes it: which model it holds, and by which files. Neither torch nor transformers is imported.

What a folder holds is told by the class that its config names. A video model's folder holds the image model too: its class is
loaded, and the parts that only video needs are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sambench import provenance
from sambench.errors import CheckpointError, ModelError, shown
from sambench.files import content
from sambench.files.content import regular
from sambench.types import Gives

CONFIG: Final = "config.json"
PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")
TOKENIZERS: Final = ("tokenizer.json", "vocab.json", "vocab.txt")  # any one of them; vocab.json stands beside merges.txt
TEXT: Final = (*TOKENIZERS, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Family:
    """One class of transformers. own: it runs in sambench's implementation, and needs no transformers. text: it reads phrases, with
    the folder's tokenizer.

    mean, std: of RGB values from 0 to 1, where the folder does not say.
    """

    gives: Gives
    own: bool
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    text: bool = False


_HALF = (0.5, 0.5, 0.5)
_CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "SamModel": Family("masks", own=True),
        "SamHQModel": Family("single_mask", own=True),
        "Sam2Model": Family("masks", own=False),
        "EdgeTamModel": Family("masks", own=False),
        "Sam3TrackerModel": Family("masks", own=False, mean=_HALF, std=_HALF),
        "Sam3Model": Family("concepts", own=False, mean=_HALF, std=_HALF, text=True),
        "Sam3LiteTextModel": Family("concepts", own=False, mean=_HALF, std=_HALF, text=True),
        "Owlv2ForObjectDetection": Family("boxes", own=False, text=True, **_CLIP),
        "GroundingDinoForObjectDetection": Family("boxes", own=False, text=True),
    }
)
_WITH_VIDEO = {"Sam2VideoModel": "Sam2Model", "EdgeTamVideoModel": "EdgeTamModel", "Sam3VideoModel": "Sam3TrackerModel"}
_OF_TEXT = {"Sam3VideoModel": "Sam3Model"}  # the part of the same folder that finds phrases
_BY_TYPE = {  # for configs that name no class, or one of their authors' own
    "sam": "SamModel",
    "sam_hq": "SamHQModel",
    "sam2": "Sam2Model",
    "sam2_video": "Sam2Model",
    "edgetam": "EdgeTamModel",
    "edgetam_video": "EdgeTamModel",
    "sam3_tracker": "Sam3TrackerModel",
    "sam3_video": "Sam3TrackerModel",
    "sam3": "Sam3Model",
    "sam3_lite_text": "Sam3LiteTextModel",
    "owlv2": "Owlv2ForObjectDetection",
    "grounding-dino": "GroundingDinoForObjectDetection",
}
_NO_PART = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "_commit_hash", "_attn_implementation_autoset")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class ModelFolder:
    """A folder that was looked at. kind: the class that is loaded, of FAMILIES. weights: its files, sorted by name.

    processor: what its image processor was told; {} where there is no such file. tokenizer: the files that make tokens of phrases,
    where the class reads any.
    """

    path: Path
    config: Mapping[str, Any]
    kind: str
    weights: tuple[Path, ...]
    processor: Mapping[str, Any]
    tokenizer: tuple[Path, ...] = ()

    @property
    def family(self) -> Family:
        return FAMILIES[self.kind]

    @property
    def n_bytes(self) -> int:
        return sum(f.stat().st_size for f in self.weights)

    def identity(self) -> dict[str, Any]:
        """What of the folder can change a number: class, config, weights, and how pictures are prepared. Raises OSError."""
        text = content.files_sha256({f.name: f for f in self.tokenizer}, self.path.name) if self.tokenizer else {}
        return {
            **({"tokenizer_sha256": text} if text else {}),
            "class": self.kind,
            "config_sha256": provenance.digest(_lasting(self.config)),
            "weights_sha256": sorted(content.files_sha256({f.name: f for f in self.weights}, self.path.name).values()),
        }


def read_folder(path: Path, *, concepts: bool = False) -> ModelFolder:
    """Look at a folder. concepts: as `kind_of`. Raises ModelError: no folder, no config, a class that is not known, no tokenizer
    where one is needed; CheckpointError: weights absent."""
    config = _json(path, CONFIG)
    if config is None:
        raise _no_config(path)
    kind = kind_of(config, path / CONFIG, concepts=concepts)
    if config.get("quantization_config") is not None:
        expected, remedy = "weights in floating point", "save it dequantized: model.dequantize().save_pretrained(FOLDER)"
        message, found = "a folder's model is quantized", "a quantization_config"
        raise ModelError(message, where=path / CONFIG, expected=expected, found=found, remedy=remedy)
    processor = next((p for name in PROCESSORS if (p := _json(path, name)) is not None), {})
    inner = processor.get("image_processor")
    image = inner if isinstance(inner, Mapping) else processor
    return ModelFolder(path, config, kind, weight_files(path), image, _tokenizer(path) if FAMILIES[kind].text else ())


def _tokenizer(path: Path) -> tuple[Path, ...]:
    if not any((path / name).is_file() for name in TOKENIZERS):
        expected, remedy = " or ".join(TOKENIZERS), "save it there too: AutoProcessor or AutoTokenizer, .save_pretrained(FOLDER)"
        raise ModelError("a model that reads phrases has no tokenizer", where=path, expected=expected, found="none", remedy=remedy)
    return tuple(path / name for name in TEXT if (path / name).is_file())


def kind_of(config: Mapping[str, Any], where: object, *, concepts: bool = False) -> str:
    """The class, of FAMILIES, that loads a folder with this config. concepts: of one that holds both, the model that finds phrases
    rather than the one that answers clicks. Raises ModelError where there is none."""
    kind = _kind_of(config, where, concepts)
    if concepts and FAMILIES[kind].gives != "concepts":
        expected = "a Sam3VideoModel, as facebook/sam3 is, a Sam3Model or a Sam3LiteTextModel"
        remedy = "leave out -M concepts"
        raise ModelError("a folder's model finds no concepts", where=where, expected=expected, found=kind, remedy=remedy)
    return kind


def _kind_of(config: Mapping[str, Any], where: object, concepts: bool) -> str:
    named = config.get("architectures")
    names = [str(n) for n in named] if isinstance(named, list) else []
    for name in names:
        name = (_OF_TEXT if concepts else _WITH_VIDEO).get(name, name)
        if name in FAMILIES:
            return name
    found, kind = config.get("model_type"), _BY_TYPE.get(str(config.get("model_type")))
    if kind is not None and "auto_map" not in config:
        return "Sam3Model" if concepts and found == "sam3_video" else kind
    described = ", ".join(names) or f"model_type {shown(repr(found))}"
    remedy = "models of other classes run as python:FILE.py:FACTORY"
    if "auto_map" in config:
        described, remedy = f"{described}, with code of its own", f"code in a folder is not run; {remedy}"
    elif "3.1" in described or "3_1" in described:
        remedy = "SAM 3.1 has no classes in transformers yet (its pull request 45110): its own names cannot be loaded"
    message, expected = "a folder's model is of a class that is not known", ", ".join(FAMILIES)
    raise ModelError(message, where=where, expected=expected, found=described, remedy=remedy)


def holds_both(config: Mapping[str, Any]) -> bool:
    """Whether a folder with this config holds a model that answers clicks and one that finds phrases (`kind_of`)."""
    named = config.get("architectures")
    both = "Sam3VideoModel" in named if isinstance(named, list) else config.get("model_type") == "sam3_video"
    return both and "auto_map" not in config


def weight_files(path: Path) -> tuple[Path, ...]:
    """The files of weights of a folder: safetensors before pickles, one file before several. Raises CheckpointError."""
    for name in WEIGHTS:
        if (path / name).is_file():
            files = _shards(path, name) if name.endswith(".index.json") else (path / name,)
            for file in files:
                _check_there(file)
            return files
    remedy = "save the model there: model.save_pretrained(FOLDER)"
    if (path / "adapter_config.json").is_file():
        remedy = "it holds only an adapter: merge it (model.merge_and_unload()), and save the whole model"
    raise CheckpointError("a folder holds no weights", where=path, expected=" or ".join(WEIGHTS[::2]), remedy=remedy)


def _shards(path: Path, name: str) -> tuple[Path, ...]:
    index = _json(path, name) or {}
    by_key = index.get("weight_map")
    names = sorted({str(n) for n in by_key.values()}) if isinstance(by_key, Mapping) else []
    if not names or any(Path(n).name != n for n in names):
        expected = "weight_map: names of files next to it"
        raise CheckpointError("an index of weights cannot be used", where=path / name, expected=expected, found=shown(names[:3]))
    return tuple(path / n for n in names)


def _check_there(file: Path) -> None:
    try:
        regular(file)
        with file.open("rb") as f:
            head = f.read(len(_LFS))
    except OSError as e:
        found = e.strerror or repr(e)
        raise CheckpointError("a file of weights cannot be read", where=file, found=found, remedy="get the whole folder") from e
    if not head or head == _LFS:
        found, remedy = ("a Git LFS pointer", "git lfs pull") if head else ("an empty file", "get the file again")
        raise CheckpointError("this is not a checkpoint", where=file, expected="weights", found=found, remedy=remedy)


def _json(path: Path, name: str) -> dict[str, Any] | None:
    """The table in a file of the folder; None where there is no such file. Raises ModelError where it holds something else."""
    file = path / name
    if not file.is_file():
        return None
    try:
        found = json.loads(content.regular_bytes(file), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as e:
        raise ModelError("a folder's file cannot be read", where=file, expected="JSON", found=shown(e)) from e
    if not isinstance(found, dict):
        raise ModelError("a folder's file cannot be used", where=file, expected="a table", found=type(found).__name__)
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _no_config(path: Path) -> ModelError:
    expected, found = f"a folder with {CONFIG}, as save_pretrained writes it", f"no {CONFIG} in it"
    if not path.is_dir():
        found = "a file" if path.exists() else "no such folder"
    remedy = "name the folder itself" if path.is_dir() else "check the path; a model on the hub is hf:ORGANISATION/NAME"
    if path.is_file():
        remedy = "a checkpoint file is loaded through a model's card, with -M weights=FILE"
    return ModelError("this is no folder of a Hugging Face model", where=path, expected=expected, found=found, remedy=remedy)


def _lasting(value: Any) -> Any:
    """A config without what says who wrote it, and when."""
    if isinstance(value, Mapping):
        return {k: _lasting(v) for k, v in value.items() if k not in _NO_PART}
    return [_lasting(v) for v in value] if isinstance(value, list) else value
