"""`hf:./FOLDER` and `hf:ORGANISATION/NAME[@REVISION]`: models that transformers wrote, from a folder or from the hub.

A folder is known by what it holds: class, config and weights, wherever it lies. A name on the hub is pinned to the commit that it
stands for when the command begins. A folder that exists goes before a name on the hub, as for transformers itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sambench import provenance
from sambench.errors import ModelError, UsageError, shown
from sambench.models.hf.folder import ModelFolder, holds_both, read_folder
from sambench.models.hf.installed import check_installed
from sambench.models.hf.settings import Settings, check_options, settings_of
from sambench.models.hf.text_settings import ConceptSettings, DetectorSettings, concept_settings, dino_settings, owl_settings
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, label_of, pick_device
from sambench.sources.inputs import check_contents, contents_of, place_of
from sambench.types import Dataset, Gives

PREFIX: Final = "hf:"
REVISION: Final = 1  # of what is done with a folder; raised when a change can change a number
MAX_BATCH: Final = 64
PHRASES: Final = 16  # a call, of models that read them
_AMONG_SETTINGS: Final = ("dynamic", "threshold", "resize", "template", "concepts")  # which the identity has by themselves
_OF_SAM3: Final[Mapping[str, type]] = {"threshold": float, "resize": str, "concepts": bool}
_OPTIONS: Final[Mapping[str, Mapping[str, type]]] = {
    "SamModel": {"squash": bool, "single_output": bool, "strip_prefix": str},
    "SamHQModel": {"squash": bool, "hq_token_only": bool, "strip_prefix": str},
    "Sam3Model": _OF_SAM3,
    "Sam3LiteTextModel": _OF_SAM3,
    "Owlv2ForObjectDetection": {"threshold": float, "template": str},
    "GroundingDinoForObjectDetection": {"threshold": float},
}
_OF_SAM2: Final[Mapping[str, type]] = {"dynamic": bool}


class HuggingFace:
    """A `ModelSource`."""

    form = "hf:ORGANISATION/NAME or hf:./FOLDER"
    stored = False

    def gives(self, name: str) -> Gives | None:
        """Of a folder that holds a model of clicks and one of phrases the options tell which is meant."""
        folder = read_folder(place_of(name, PREFIX)) if is_folder(name) else None
        return folder.family.gives if folder is not None and not holds_both(folder.config) else None

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        """Read the folder, which is fetched from the hub where it is not here; see `sambench.getting.hub`."""
        pinned, title, label, notes = {}, "", "", []
        if is_folder(name):
            path = place_of(name, PREFIX)
            title = label = path.name
            if not name.removeprefix(PREFIX).startswith((".", "/", "~")):
                notes.append(f"{name}: the folder {path}, not a model on the hub")
        else:
            from sambench.getting import hub

            repo, revision = parse(name)
            found = hub.get(repo, revision, concepts=_wants_concepts(options), progress=progress)
            path, title, label = found.folder, repo, repo.rpartition("/")[2]
            pinned = {"repo": repo, "commit": found.commit}
            notes += found.notes
        folder = read_folder(path, concepts=_wants_concepts(options))
        if not folder.family.own:
            check_installed(folder.kind)
        options = dict(options)
        made_of = folder_identity(folder, options)
        device = pick_device(device, True)
        identity = {
            "hf": {"revision": REVISION, **pinned, **made_of},
            # What is off is as good as not given.
            "options": {k: v for k, v in options.items() if v is not False and k not in _AMONG_SETTINGS},
            "max_batch": _max_batch(folder),
            "precision": precision,
            "device_kind": device.partition(":")[0],
        }
        commit = f"{pinned['repo']}@{pinned['commit']}" if pinned else ""
        spec = ModelSpec(f"{PREFIX}{folder.path}", options, device, precision, pinned=commit)
        spec = replace(spec, contents=contents_of({}, code=lambda: provenance.digest(made_of)))
        gives = "single_mask" if options.get("single_output") else folder.family.gives
        return ResolvedModel(spec, label_of(label), title, identity, True, folder.n_bytes, gives=gives, notes=tuple(notes))

    def build(self, spec: ModelSpec) -> Any:
        """The segmenter. Raises ModelError, CheckpointError; also where the folder changed since it was resolved."""
        folder = read_folder(_folder_here(spec), concepts=_wants_concepts(spec.options))
        segmenter = build_folder(folder, spec.options, device=spec.device, precision=spec.precision)
        segmenter.max_batch = _max_batch(folder)
        concepts = _wants_concepts(spec.options)
        check_contents(spec, lambda: provenance.digest(folder_identity(read_folder(folder.path, concepts=concepts), spec.options)))
        return segmenter

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return []


SOURCE = HuggingFace()


def _folder_here(spec: ModelSpec) -> Path:
    """The model's folder; one of the hub is fetched where this machine, a node of a cluster, has none. Of several processes one
    fetches: the library sees to that."""
    path = place_of(spec.name, PREFIX)
    if path.exists() or not spec.pinned:
        return path
    from sambench.getting import hub

    return hub.get(*parse(spec.pinned)).folder


def is_folder(name: str) -> bool:
    """Whether a name means a folder: it looks like a path, or is one here (of a file, which is told then)."""
    text = name.removeprefix(PREFIX)
    return text.startswith((".", "/", "~")) or _exists(text)


def parse(name: str) -> tuple[str, str | None]:
    """Repository and revision of a name on the hub. Raises UsageError where it has another form."""
    repo, at, revision = name.removeprefix(PREFIX).partition("@")
    if not repo or (at and not revision):
        expected = "hf:ORGANISATION/NAME, hf:ORGANISATION/NAME@REVISION, or hf:./FOLDER"
        raise UsageError("a model's name on the hub does not fit", where="--model", expected=expected, found=shown(repr(name)))
    return repo, revision or None


def folder_identity(folder: ModelFolder, options: Mapping[str, Any]) -> dict[str, Any]:
    """What of a folder and its options can change a number. Raises ModelError where a file cannot be read, UsageError."""
    check_options(folder.kind, options, _OPTIONS.get(folder.kind, _OF_SAM2))
    try:
        out = folder.identity()
    except (OSError, ValueError) as e:
        found = (e.strerror if isinstance(e, OSError) else None) or shown(e)
        raise ModelError("a folder's files cannot be read", where=folder.path, found=found) from e
    if folder.family.own:
        return {**out, "runs_in": "sambench"}
    return {**out, "runs_in": "transformers", **_settings(folder, options).identity()}


def build_folder(folder: ModelFolder, options: Mapping[str, Any], *, device: str, precision: str) -> Any:
    """The segmenter of a folder, or the detector."""
    given: dict[str, Any] = {"name": folder.kind, "device": device, "precision": precision}
    if folder.family.own:
        from sambench.models.hf.sam import load_sam

        return load_sam(folder, **given, **options)
    from sambench.models.hf.library import load_folder

    settings: Any = _settings(folder, options)
    if not folder.family.text:
        from sambench.models.hf.segmenter import Sam2Segmenter

        return Sam2Segmenter(load_folder(folder), settings, **given)
    from sambench.models.hf.phrases import load_tokenizer

    tokenizer = load_tokenizer(folder)
    if folder.family.gives == "concepts":
        from sambench.models.hf.concepts import Sam3Concepts

        return Sam3Concepts(load_folder(folder), tokenizer, settings, **given)
    from sambench.models.hf import detectors

    kind = detectors.OwlDetector if folder.kind.startswith("Owl") else detectors.DinoDetector
    return kind(load_folder(folder), tokenizer, settings, **given)


def _settings(folder: ModelFolder, options: Mapping[str, Any]) -> Settings | ConceptSettings | DetectorSettings:
    """What of options and folder can change a number; of a class that transformers runs."""
    given = {key: value for key, value in options.items() if key != "concepts"}
    if not folder.family.text:
        return settings_of(folder, **given)
    if folder.family.gives == "concepts":
        return concept_settings(folder, **given)
    return owl_settings(folder, **given) if folder.kind.startswith("Owl") else dino_settings(folder, **given)


def _wants_concepts(options: Mapping[str, Any]) -> bool:
    return options.get("concepts") is True


def _max_batch(folder: ModelFolder) -> int:
    return PHRASES if folder.family.text else MAX_BATCH


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        return False
