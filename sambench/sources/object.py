"""Models that are objects of this process (`sambench.evaluate`): a source that no name on the command line leads to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sambench.errors import UsageError
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, label_of
from sambench.sources.describe import Described
from sambench.types import Dataset

PREFIX = "object:"


class ObjectSource:
    """A `ModelSource` that explains itself to who writes such a name."""

    form = ""
    stored = False

    def gives(self, name: str) -> NoReturn:
        raise UsageError(
            "a model object has no name",
            where=name,
            expected="the name of a model",
            remedy="sambench.evaluate(model, ...) runs an object",
        )

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> NoReturn:
        self.gives(name)

    def build(self, spec: ModelSpec) -> NoReturn:
        self.gives(spec.name)

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return []


SOURCE = ObjectSource()


def resolved_object(name: str, found: Described) -> ResolvedModel:
    """A model object, for a run. name: its label; what it is made of, and nothing else, identifies it."""
    spec = ModelSpec(f"{PREFIX}{name}", {}, found.device_kind, found.attributes.precision)
    identity = {"object": found.identity, "max_batch": found.attributes.max_batch, "precision": found.attributes.precision}
    identity["device_kind"] = found.device_kind
    if not found.reusable:
        identity["once"] = uuid.uuid4().hex
    gives, notes = found.attributes.gives, tuple(f"{name}: {n}" for n in found.notes)
    return ResolvedModel(spec, label_of(name), name, identity, True, gives=gives, logits=found.logits, notes=notes)
