"""From a name on the command line to a model: cards, user factories, options, weights, and what of them is identity."""

from __future__ import annotations

import inspect
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from pathlib import Path
from typing import Any

from sambench import cards
from sambench.errors import ModelError, UsageError, said, unknown_name
from sambench.files import content
from sambench.getting import weights as fetch
from sambench.models.contract import construct, examine
from sambench.sources.inputs import by_content, check_contents, contents_of, place_of, weights_file
from sambench.types import Dataset
from sambench.values import FITTING, misfit, short

PYTHON = "python:"
EDGES = "edges:"
PROPOSALS = "proposals:"
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ModelSpec:
    """What a worker needs to build a model; plain values, so that it travels as JSON.

    name: card id, path of a card, `python:path.py:factory`, `edges:folder`, or `proposals:file`.
    weights: the checkpoint file, already on this machine. contents: what its files held when the command began, by what names them
    (`build` compares). probe: when it is described, look whether its masks have logits.
    """

    name: str
    options: dict[str, Any]
    device: str
    precision: str
    weights: str | None = None
    contents: dict[str, Any] = field(default_factory=dict)
    probe: bool = False


@dataclass(frozen=True)
class ResolvedModel:
    """A model before it is built. id: short name for directories and tables; identity: all of it that can change a number.

    gives: `masks` or `edges`, as in its card, or `proposals`; known of a `python:` model once it is described. logits: whether its
    masks have logits, where that is known. notes: what must be said of it.
    """

    spec: ModelSpec
    id: str
    title: str
    identity: dict[str, Any]
    uses_torch: bool = True
    weights_bytes: int = 0
    card: cards.ModelCard | None = field(default=None, compare=False)
    gives: str = "masks"
    logits: bool | None = None
    notes: tuple[str, ...] = ()


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs; values are read as TOML (numbers, true, "text", [lists]) and otherwise taken as text, dates too.

    Raises UsageError where a pair has no key, or a value is a number that no computer's number holds.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("a model option is not key=value", where="-M", expected="key=value", found=pair)
        out[key] = _value(pair, value)
    return out


def _value(pair: str, text: str) -> Any:
    try:
        found = tomllib.loads(f"v = {text}")
        value = found["v"]
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as e:
        raise UsageError("a model option cannot be read", where="-M", expected=FITTING, found=f"{short(pair)}: {e}") from e
    # To TOML the rest of `3#4` is a comment, and a second line a second value; to whoever wrote it they are a part of this one.
    cut = len(found) > 1 or ("#" in text and "#" not in repr(value))
    return text if cut or isinstance(value, date | time) else value


def pick_device(requested: str, uses_torch: bool) -> str:
    """'auto' is the first CUDA device if the model uses torch and there is one, else the CPU."""
    if requested != "auto":
        kind = requested.partition(":")[0]
        if kind not in ("cpu", "cuda"):
            raise UsageError("an unknown device", where="--devices", expected="auto, cpu, cuda or cuda:N", found=repr(requested))
        if kind == "cuda" and uses_torch:
            _check_cuda(requested)
        return requested if uses_torch else "cpu"
    if not uses_torch or not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def _check_cuda(device: str) -> None:
    import torch

    n = torch.cuda.device_count()
    index = device.partition(":")[2] or "0"
    if not index.isdigit() or int(index) >= n:
        raise UsageError(
            f"there is no device {device!r}",
            where="--devices",
            expected="cpu" if n == 0 else f"cpu or cuda:0 to cuda:{n - 1}",
            found=f"{n} CUDA devices that torch {torch.__version__} can use",
        )


def resolve(
    name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
) -> ResolvedModel:
    """Find the model, check its options, and get its weights (downloading them if the card says where from)."""
    options = {key: str(value) if isinstance(value, os.PathLike) else value for key, value in options.items()}
    wrong = misfit(options)
    if wrong:
        raise UsageError(f"an option of model {name!r} does not fit", where="-M", expected=FITTING, found=wrong)
    if not isinstance(options.get("weights", ""), str):
        found = short(options["weights"])
        raise UsageError("weights are named by their file", where="-M weights", expected="the path of a checkpoint", found=found)
    if name.startswith(PYTHON):
        return _resolve_python(name, options, device=device, precision=precision)
    if name.startswith(EDGES):
        return _resolve_edges(name, options, precision=precision)
    if name.startswith(PROPOSALS):
        return _resolve_proposals(name, options, precision=precision)
    card = cards.model_card(name)
    if card.state == "unavailable":
        raise ModelError(f"model {card.id!r} was never released", where=f"card {card.id}", remedy=card.notes or None)
    factory = cards.load_entry(card.factory, where=f"card {card.id}")
    given = {**card.options, **options}
    explicit = given.pop("weights", None)
    _check_options(card, factory, given)
    path = fetch.weights_path(card, explicit=weights_file(explicit), download_ok=True, progress=progress)
    sha = content.file_sha256(path) if path else None
    wanted, device = device, pick_device(device, card.uses_torch)
    identity = {
        "id": card.id,
        "revision": card.revision,
        "factory": cards.entry_identity(card.factory, where=f"card {card.id}"),
        "max_batch": card.max_batch,
        "options": by_content(given),
        "weights_sha256": sha,
        "precision": precision,
        "device_kind": device.partition(":")[0],
    }
    own = path is not None and card.weights is not None and sha != card.weights.sha256
    slug = f"{card.id}-{_slug(path.stem)}" if own and path is not None else card.id
    spec = ModelSpec(cards.absolute(name), given, device, precision, str(path) if path else None)
    spec = replace(spec, contents=contents_of(spec.name, spec.options, spec.weights))
    size, notes = path.stat().st_size if path else 0, _notes_on_device(card.id, wanted, device)
    return ResolvedModel(spec, slug, card.name, identity, card.uses_torch, size, card, card.gives, notes=notes)


def _resolve_python(name: str, options: Mapping[str, Any], *, device: str, precision: str) -> ResolvedModel:
    from sambench.sources.python import check_spec

    label = check_spec(name)
    spec = ModelSpec(name, dict(options), pick_device(device, True) if device != "auto" else "auto", precision)
    spec = replace(spec, contents=contents_of(spec.name, spec.options, spec.weights))
    # Only the built object knows its weights; the engine asks a worker to describe it (see local.describe).
    return ResolvedModel(spec, _slug(label), label, {}, True)


def _notes_on_device(model: str, wanted: str, device: str) -> tuple[str, ...]:
    if wanted.partition(":")[0] == "cuda" and device.partition(":")[0] != "cuda":
        return (f"{model} does not use torch: it runs on the CPU, not on {wanted}",)
    return ()


def _resolve_edges(name: str, options: Mapping[str, Any], *, precision: str) -> ResolvedModel:
    from sambench.models.edges.folder import EdgeFolder

    for key in options:
        if key not in ("key", "scale"):
            raise unknown_name("option of a folder of edge maps", key, ["key", "scale"], where="-M")
    folder = place_of(name, EDGES)
    label = f"edges_{_slug(folder.name)}"
    maps = dict(EdgeFolder(folder, **options).identity)
    identity = {"edges": maps, "precision": "fp32", "device_kind": "cpu"}
    if precision != "fp32":
        raise UsageError("edge maps from a folder have no precision", where="--precision", found=precision, remedy="leave it out")
    spec = ModelSpec(f"{EDGES}{folder}", dict(options), "cpu", "fp32")
    return ResolvedModel(spec, label, folder.name, identity, False, gives="edges")


def _resolve_proposals(name: str, options: Mapping[str, Any], *, precision: str) -> ResolvedModel:
    from sambench.sources.proposals import ProposalFile

    for key in options:
        raise UsageError("a file of proposals has no options", where="-M", found=key, remedy="leave it out")
    if precision != "fp32":
        raise UsageError("proposals from a file have no precision", where="--precision", found=precision, remedy="leave it out")
    path = place_of(name, PROPOSALS)
    label = f"proposals_{_slug(path.stem)}"
    identity = {"proposals": dict(ProposalFile(path).identity), "precision": "fp32", "device_kind": "cpu"}
    spec = ModelSpec(f"{PROPOSALS}{path}", {}, "cpu", "fp32")
    return ResolvedModel(spec, label, path.stem, identity, False, gives="proposals")


def notes_on(model: ResolvedModel, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
    """What must be said of a model that is a file, beside a dataset of which these images run. Raises DataError."""
    if not model.spec.name.startswith(PROPOSALS):
        return []
    from sambench.sources.proposals import ProposalFile

    return ProposalFile(Path(model.spec.name.removeprefix(PROPOSALS))).check(dataset, image_ids)


def gives_of(name: str) -> str | None:
    """What the model of that name gives, as far as is known before it is built."""
    if name.startswith(PYTHON):
        return None
    if name.startswith(PROPOSALS):
        return "proposals"
    return "edges" if name.startswith(EDGES) else cards.model_card(name).gives


def described(model: ResolvedModel, found: Mapping[str, Any]) -> ResolvedModel:
    """A `python:` model with the identity that a worker found, and the device that it chose."""
    kind = str(found["device_kind"])
    spec = replace(model.spec, device=str(found["device"]), probe=False)
    factory = model.spec.name.rpartition(":")[2]
    identity = {"factory": factory, "python": dict(found["identity"]), "options": by_content(model.spec.options)}
    identity |= {"max_batch": found["max_batch"], "precision": found["precision"], "device_kind": kind}
    notes = tuple(f"{model.id}: {note}" for note in found.get("notes", ()))
    if model.spec.device.startswith("cuda") and kind == "cpu":
        notes += (f"{model.id} runs on the CPU, not on {model.spec.device}: it says device_kind = 'cpu'",)
    return replace(model, spec=spec, identity=identity, gives=str(found["gives"]), logits=found.get("logits"), notes=notes)


def build(spec: ModelSpec) -> Any:
    """The model itself. Raises ModelError, CheckpointError; also where one of its files changed since it was resolved."""
    if spec.name.startswith(EDGES):
        from sambench.models.edges.folder import EdgeFolder

        return EdgeFolder(Path(spec.name.removeprefix(EDGES)), **spec.options)
    if spec.name.startswith(PROPOSALS):
        from sambench.sources.proposals import ProposalFile

        return ProposalFile(Path(spec.name.removeprefix(PROPOSALS)))
    if spec.name.startswith(PYTHON):
        from sambench.sources.python import load_python_model

        segmenter: Any = load_python_model(spec.name, options=spec.options, device=spec.device, precision=spec.precision)
        examine(segmenter, spec.name)
    else:
        segmenter = _build_card(cards.model_card(spec.name), spec)
    check_contents(spec.contents, spec.name, spec.options, spec.weights)
    return segmenter


def _build_card(card: cards.ModelCard, spec: ModelSpec) -> Any:
    where = f"card {card.id}, factory {card.factory}"
    factory = cards.load_entry(card.factory, where=where)
    arguments = {"weights": Path(spec.weights) if spec.weights else None, "device": spec.device, "precision": spec.precision}
    if card.gives == "detections":  # no model: the instance task reads a file
        return factory(**arguments, **spec.options)
    segmenter = construct(factory, {**arguments, **spec.options}, where=where)
    try:
        segmenter.max_batch = card.max_batch
    except Exception as e:  # it may have slots, or be frozen
        if getattr(segmenter, "max_batch", None) != card.max_batch:
            expected = f"an object that can be told max_batch = {card.max_batch}"
            raise ModelError("a card's model has no place for its batch size", where=where, expected=expected, found=said(e)) from e
    gives = examine(segmenter, where).gives
    if (gives == "edges") != (card.gives == "edges"):
        raise ModelError("a card's model gives something else than the card says", where=where, expected=card.gives, found=gives)
    return segmenter


def _check_options(card: cards.ModelCard, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some builtins have none: the call itself will tell
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [n for n in parameters if n not in ("weights", "device", "precision")]
    for key in options:
        if key not in known:
            raise unknown_name(f"option of model {card.id}", key, ["weights", *known], where="-M")


def label_of(name: str) -> str:
    """A model's name as it can stand in the name of a folder."""
    fits = re.fullmatch(r"[\w][\w .+=-]{0,79}", name) is not None and name == name.strip(" .")
    return name if fits else _slug(name)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_").lower()[:80] or "model"  # part of a folder's name
