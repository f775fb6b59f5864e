"""From a name on the command line to a model: cards, user factories, options, weights, and what of them is identity."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sambench import cards, content, fetch
from sambench.errors import ModelError, UsageError, unknown_name
from sambench.types import Dataset

PYTHON = "python:"
EDGES = "edges:"
PROPOSALS = "proposals:"
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ModelSpec:
    """What a worker needs to build a model; plain values, so that it travels as JSON.

    name: card id, path of a card, `python:path.py:factory`, `edges:folder`, or `proposals:file`.
    weights: the checkpoint file, already on this machine.
    """

    name: str
    options: dict[str, Any]
    device: str
    precision: str
    weights: str | None = None


@dataclass(frozen=True)
class ResolvedModel:
    """A model before it is built. id: short name for directories and tables; identity: all of it that can change a number.

    gives: `masks` or `edges`, as in its card, or `proposals`; known of a `python:` model once it is described.
    """

    spec: ModelSpec
    id: str
    title: str
    identity: dict[str, Any]
    uses_torch: bool = True
    weights_bytes: int = 0
    card: cards.ModelCard | None = field(default=None, compare=False)
    gives: str = "masks"


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs; values are read as TOML (numbers, true, "text", [lists]) and otherwise taken as text."""
    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError("a model option is not key=value", where="-M", expected="key=value", found=pair)
        try:
            out[key] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            out[key] = value
    return out


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
    _check_options(card.id, factory, given)
    path = fetch.weights_path(card, explicit=Path(explicit).expanduser() if explicit else None, download_ok=True, progress=progress)
    sha = content.file_sha256(path) if path else None
    device = pick_device(device, card.uses_torch)
    identity = {
        "id": card.id,
        "factory": card.factory,
        "revision": card.revision,
        "max_batch": card.max_batch,
        "options": given,
        "weights_sha256": sha,
        "precision": precision,
        "device_kind": device.partition(":")[0],
    }
    own = path is not None and card.weights is not None and sha != card.weights.sha256
    slug = f"{card.id}-{_slug(path.stem)}" if own and path is not None else card.id
    spec = ModelSpec(name if name.endswith(".toml") else card.id, given, device, precision, str(path) if path else None)
    return ResolvedModel(spec, slug, card.name, identity, card.uses_torch, path.stat().st_size if path else 0, card, card.gives)


def _resolve_python(name: str, options: Mapping[str, Any], *, device: str, precision: str) -> ResolvedModel:
    from sambench.models.external import check_spec

    label = check_spec(name)
    spec = ModelSpec(name, dict(options), pick_device(device, True) if device != "auto" else "auto", precision)
    # Only the built object knows its weights; the engine asks a worker to describe it (see local.describe).
    return ResolvedModel(spec, _slug(label), label, {}, True)


def _resolve_edges(name: str, options: Mapping[str, Any], *, precision: str) -> ResolvedModel:
    from sambench.models.edges.folder import EdgeFolder

    for key in options:
        if key not in ("key", "scale"):
            raise unknown_name("option of a folder of edge maps", key, ["key", "scale"], where="-M")
    folder = Path(name.removeprefix(EDGES)).expanduser().resolve()
    label = f"edges_{_slug(folder.name)}"
    maps = dict(EdgeFolder(folder, **options).identity)
    identity = {"id": label, "edges": maps, "precision": "fp32", "device_kind": "cpu"}
    if precision != "fp32":
        raise UsageError("edge maps from a folder have no precision", where="--precision", found=precision, remedy="leave it out")
    spec = ModelSpec(f"{EDGES}{folder}", dict(options), "cpu", "fp32")
    return ResolvedModel(spec, label, folder.name, identity, False, gives="edges")


def _resolve_proposals(name: str, options: Mapping[str, Any], *, precision: str) -> ResolvedModel:
    from sambench.proposal_file import ProposalFile

    for key in options:
        raise UsageError("a file of proposals has no options", where="-M", found=key, remedy="leave it out")
    if precision != "fp32":
        raise UsageError("proposals from a file have no precision", where="--precision", found=precision, remedy="leave it out")
    path = Path(name.removeprefix(PROPOSALS)).expanduser().resolve()
    label = f"proposals_{_slug(path.stem)}"
    identity = {"id": label, "proposals": dict(ProposalFile(path).identity), "precision": "fp32", "device_kind": "cpu"}
    spec = ModelSpec(f"{PROPOSALS}{path}", {}, "cpu", "fp32")
    return ResolvedModel(spec, label, path.stem, identity, False, gives="proposals")


def notes_on(model: ResolvedModel, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
    """What must be said of a model that is a file, beside a dataset of which these images run. Raises DataError."""
    if not model.spec.name.startswith(PROPOSALS):
        return []
    from sambench.proposal_file import ProposalFile

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
    spec = ModelSpec(**{**asdict(model.spec), "device": str(found["device"])})
    identity = {"id": model.id, "python": dict(found["identity"]), "options": model.spec.options, "max_batch": found["max_batch"]}
    identity |= {"precision": found["precision"], "device_kind": found["device_kind"]}
    return ResolvedModel(spec, model.id, model.title, identity, True, gives=str(found["gives"]))


def build(spec: ModelSpec) -> Any:
    """The model itself. Raises ModelError, CheckpointError."""
    if spec.name.startswith(PYTHON):
        from sambench.models.external import load_python_model

        return load_python_model(spec.name, options=spec.options, device=spec.device, precision=spec.precision)
    if spec.name.startswith(EDGES):
        from sambench.models.edges.folder import EdgeFolder

        return EdgeFolder(Path(spec.name.removeprefix(EDGES)), **spec.options)
    if spec.name.startswith(PROPOSALS):
        from sambench.proposal_file import ProposalFile

        return ProposalFile(Path(spec.name.removeprefix(PROPOSALS)))
    card = cards.model_card(spec.name)
    factory = cards.load_entry(card.factory, where=f"card {card.id}")
    weights = Path(spec.weights) if spec.weights else None
    segmenter = factory(weights=weights, device=spec.device, precision=spec.precision, **spec.options)
    segmenter.max_batch = card.max_batch
    return segmenter


def _check_options(model: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [n for n in parameters if n not in ("weights", "device", "precision")]
    for key in options:
        if key not in known:
            raise unknown_name(f"option of model {model}", key, ["weights", *known], where="-M")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_").lower() or "model"
