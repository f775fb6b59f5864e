"""`edges:FOLDER`: edge maps of any method from a folder, as the edge task takes them (`sambench.models.edges.folder`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sambench.errors import UsageError, unknown_name
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, slug
from sambench.sources.inputs import place_of, results_contents, same_contents
from sambench.types import Dataset, Gives

if TYPE_CHECKING:
    from sambench.models.edges.folder import EdgeFolder

PREFIX = "edges:"


class EdgeFolders:
    """A `ModelSource`: each model is one folder, known by its maps."""

    form = f"{PREFIX}FOLDER"
    stored = True

    def gives(self, name: str) -> Gives | None:
        return "edges"

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        from sambench.models.edges.folder import EdgeFolder

        for key in options:
            if key not in ("key", "scale"):
                raise unknown_name("option of a folder of edge maps", key, ["key", "scale"], where="-M")
        folder = place_of(name, PREFIX)
        label = f"edges_{slug(folder.name)}"
        maps = dict(EdgeFolder(folder, **options).identity)
        identity = {"edges": maps, "precision": "fp32", "device_kind": "cpu"}
        if precision != "fp32":
            raise UsageError(
                "edge maps from a folder have no precision", where="--precision", found=precision, remedy="leave it out"
            )
        spec = ModelSpec(f"{PREFIX}{folder}", dict(options), "cpu", "fp32", contents=results_contents(maps))
        return ResolvedModel(spec, label, folder.name, identity, False, gives="edges")

    def build(self, spec: ModelSpec) -> EdgeFolder:
        from sambench.models.edges.folder import EdgeFolder

        found = EdgeFolder(place_of(spec.name, PREFIX), **spec.options)
        same_contents(spec, results_contents(found.identity))
        return found

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return []


SOURCE = EdgeFolders()
