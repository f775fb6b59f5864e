"""What a cell's identity is made of, in words and values: all that can change a number, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sambench.errors import UsageError
from sambench.results.pairing import by_dataset
from sambench.store.views import CellView

NOT_IN_IT = (
    "workers, devices of one kind, host, order of work and interruptions; folders and names of files; --name, --limit and "
    "--save-masks; a card's prose; library versions (see `environment` in cell.json)"
)


def identity_of(cell: CellView) -> dict[str, Any]:
    """`task`, `model` and `dataset`, as they were hashed; records of an earlier version give the same of what they hold."""
    found = cell.record.identity
    if found is not None:
        return dict(found)
    record = cell.record
    return {
        "task": cell.task.identity(),
        "model": {k: v for k, v in record.model.given().items() if k != "name"},
        "dataset": {k: v for k, v in record.dataset.given().items() if k not in ("name", "source", "root")}
        | {"subset_digest": record.subset.digest},
    }


def described(cell: CellView) -> dict[str, Any]:
    """As JSON has it: where the cell lies, its id, its identity, and what is known beside it."""
    record = cell.record
    beside = {
        "limit": record.limit,
        **({"name": cell.label} if cell.label != cell.model else {}),
        "subset": record.subset.given().get("name"),
        "source": record.dataset.source,
        "root": record.dataset.root,
        "environment": record.environment.given() if record.environment else None,
    }
    return {"path": str(cell.path), "cell_id": record.cell_id, "identity": identity_of(cell), "not_in_it": beside}


def lines(cell: CellView) -> Iterator[str]:
    """The same to be read: a line a value."""
    yield f"{cell.run_name}/{cell.path.resolve().name}: cell {cell.record.cell_id}"
    for part, values in identity_of(cell).items():
        flat = dict(_flat(values))
        width = max((len(k) for k in flat), default=0)
        yield f"  {part}"
        for key, value in flat.items():
            yield f"    {key:<{width}}  {_text(value)}"
    subset, limit = cell.record.subset.given().get("name"), cell.record.limit
    part = f"the first {limit} of its images" if limit else "all of its images"
    called = f", called {cell.label!r}" if cell.label != cell.model else ""
    yield f"  beside it: subset {subset}, {part}{called}"


def differences(a: Sequence[CellView], b: Sequence[CellView]) -> list[dict[str, Any]]:
    """For each dataset of both: the names of what differs with both values. Raises UsageError where they have none in common, or
    one of them several results on one."""
    by_a, by_b = by_dataset(a, "A"), by_dataset(b, "B")
    pairs = [(by_a[d], by_b[d]) for d in by_a if d in by_b] or ([(a[0], b[0])] if len(a) == len(b) == 1 else [])
    if not pairs:
        found = f"{', '.join(by_a)}; and {', '.join(by_b)}"
        raise UsageError("the two runs have no dataset in common", expected="the same dataset in both", found=found)
    out = []
    for ours, theirs in pairs:
        left, right = (dict(_flat(identity_of(c))) for c in (ours, theirs))
        both = {k: (left.get(k), right.get(k)) for k in [*left, *right]}
        unlike = {k: values for k, values in both.items() if values[0] != values[1]}
        out.append({"paths": [str(ours.path), str(theirs.path)], "differ": unlike})
    return out


def difference_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """One element of `differences`, to be read."""
    first, second = found["paths"]
    yield f"{first} and {second}: {'they differ in' if found['differ'] else 'of one identity'}"
    for key, (ours, theirs) in found["differ"].items():
        yield f"    {key}: {_text(ours)} and {_text(theirs)}"


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "(none)"
    return "(none)" if value in (None, "", {}) else str(value)
