"""transformers, imported when a model needs it, and its models loaded so that nothing is missing in silence."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError, ModelError, message_of, shown
from sambench.models.hf.folder import ModelFolder
from sambench.models.hf.installed import INSTALL, OLDEST, check_installed


def classes(*names: str) -> list[Any]:
    """Classes of transformers. Raises ModelError where one cannot be imported: for torchvision's sake, say."""
    try:
        module = importlib.import_module("transformers")
        return [getattr(module, name) for name in names]
    except Exception as e:
        cause: BaseException = e
        while cause.__cause__ is not None:
            cause = cause.__cause__
        remedy = INSTALL
        if "torchvision" in f"{e} {cause}":
            remedy = "uninstall torchvision, which is not needed here, or install the build of it that fits your torch"
        raise ModelError(
            f"transformers cannot give {' and '.join(names)}",
            expected=f"transformers {OLDEST} or newer, which can be imported",
            found=message_of(cause),
            remedy=remedy,
        ) from e


def load_folder(folder: ModelFolder) -> nn.Module:
    """The model of a folder, in fp32 on the CPU. Raises CheckpointError where a name is missing, unknown or of another shape."""
    check_installed(folder.kind)
    kind, auto = classes(folder.kind, "AutoConfig")
    with _quiet():
        config = reading(folder.path, lambda: auto.from_pretrained(str(folder.path), local_files_only=True))
        # The config goes in as it is: that of a video model holds the image model's within it, and its class knows where.
        model = _loaded(kind, str(folder.path), config, folder.path)
    if type(model).__name__ != folder.kind:
        raise ModelError("a folder holds another model than its config says", where=folder.path, found=type(model).__name__)
    return model


def load_state(kind: str, config: Any, state: Mapping[str, Tensor], where: object) -> nn.Module:
    """The model of a config with these weights, under the class's own names or those that it converts; as `load_folder`."""
    [cls] = classes(kind)
    with _quiet():
        return _loaded(cls, None, config, where, state_dict=dict(state))


def _loaded(kind: Any, source: str | None, config: Any, where: object, **given: Any) -> nn.Module:
    def load() -> Any:
        return kind.from_pretrained(
            source,
            config=config,
            output_loading_info=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # else transformers raises at the first: all are named below
            local_files_only=True,
            **given,
        )

    model, info = reading(where, load)
    check_names(kind.__name__, info, where)
    loaded: nn.Module = model
    for tensor in (*loaded.parameters(), *loaded.buffers()):
        # Copied out of the mapped file: kernels compute other last bits where memory is aligned otherwise, and a file may change.
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return loaded


def check_names(kind: str, info: Mapping[str, Any], where: object) -> None:
    """Raises CheckpointError unless every weight of the model came from the file, and every name of the file is known.

    info: as transformers gives it. What only a video model has is known to the class, and no part of `unexpected_keys`.
    """
    mismatched = {str(entry[0]) if isinstance(entry, tuple) else str(entry): entry for entry in info.get("mismatched_keys", ())}
    missing = [k for k in info.get("missing_keys", ()) if k not in mismatched]
    unknown = info.get("unexpected_keys", ())
    errors = list(info.get("error_msgs") or ())
    facts = [
        *_fact("names missing", missing),
        *_fact("unknown names", unknown),
        *_fact("other shapes", [_shapes(k, e) for k, e in mismatched.items()]),
        *(f"transformers says: {shown(e)}" for e in errors[:1]),
    ]
    if facts:
        remedy = f"save the whole model again from its own class: {kind}.save_pretrained(FOLDER)"
        if any(str(k).startswith("tracker_model.") for k in unknown):
            remedy = "it was saved from a Sam3VideoModel: name the folder that this was loaded from, or save a Sam3TrackerModel"
        raise CheckpointError(
            f"the weights do not fit a {kind}: the rest would be random numbers",
            where=where,
            expected="every weight of the model, and nothing else",
            found="; ".join(facts),
            remedy=remedy,
        )


def _fact(what: str, names: Collection[Any]) -> list[str]:
    listed = sorted(map(str, names))
    return [f"{len(listed)} {what} ({', '.join(listed[:3])}{', ...' if len(listed) > 3 else ''})"] if listed else []


def _shapes(name: str, entry: Any) -> str:
    if not isinstance(entry, tuple) or len(entry) < 3:
        return name
    return f"{name} is {list(entry[1])}, not {list(entry[2])}"


def reading(where: object, read: Callable[[], Any]) -> Any:
    """What transformers reads of a folder. Raises CheckpointError with what it stumbled over."""
    try:
        return read()
    except (MemoryError, ModelError):
        raise
    except Exception as e:  # whatever a folder of anyone's makes transformers stumble over
        remedy = "get the folder again, or look at what it holds; SAMBENCH_DEBUG=1 shows where it failed"
        raise CheckpointError("transformers cannot load a model", where=where, found=message_of(e), remedy=remedy) from e


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and its report of names, which is an error here."""
    logging = importlib.import_module("transformers.utils.logging")
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
