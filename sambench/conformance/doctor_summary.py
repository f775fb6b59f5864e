"""The doctor's findings in ten lines: one for each part of the machine, and every failure in full."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.conformance.doctor import Check

_MOST_NAMED = 6
FOLDERS = ("SAMBENCH_HOME", "SAMBENCH_CACHE", "SAMBENCH_DATA")


def summary(checks: Sequence[Check]) -> list[Check]:
    """The lines to be shown where not all of them are asked for: what failed as it is, and of the rest a line a part.

    checks: of `examine`, with their parts.
    """
    of = {part: [c for c in checks if c.part == part] for part in dict.fromkeys(c.part for c in checks)}
    lines = [*_alike(of, "python"), *_counted(of, "libraries", ("libraries", "opencv"), "fit")]
    lines += [*_joined(of, "devices"), *_folders(of.get("folders", [])), *_alike(of, "cards")]
    lines += [*_here(of.get("data", []), "data"), *_here(of.get("weights", []), "weights")]
    return lines + [c for c in of.get("terminal", []) if c.ok is not True]


def _failed(checks: Sequence[Check]) -> list[Check]:
    return [c for c in checks if c.ok is False]


def _alike(of: dict[str, list[Check]], part: str) -> list[Check]:
    """The line of the part's own name, and its failures."""
    found = of.get(part, [])
    return [c for c in found if c.ok is False or c.name == part]


def _counted(of: dict[str, list[Check]], name: str, parts: tuple[str, ...], what: str) -> list[Check]:
    found = [c for part in parts for c in of.get(part, [])]
    wrong = _failed(found)
    notes = [c for c in found if c.ok is None and c.remedy]
    n = f"{len(found) - len(wrong)} of {len(found)} {what}" if wrong else f"all {len(found)} {what}"
    return [*wrong, *notes, *([Check(name, not wrong, n)] if found else [])]


def _joined(of: dict[str, list[Check]], part: str) -> list[Check]:
    found = of.get(part, [])
    wrong = _failed(found)
    rest = [c for c in found if c.ok is not False]
    return [*wrong, *([Check(part, True, "; ".join(f"{c.name}: {c.found}" for c in rest))] if rest else [])]


def _folders(found: Sequence[Check]) -> list[Check]:
    return [c for c in found if c.ok is False or c.name in FOLDERS]


def _here(found: Sequence[Check], part: str) -> list[Check]:
    wrong = _failed(found)
    here = [c.name.removeprefix(f"{part} ") for c in found if c.ok]
    named = ", ".join(here[:_MOST_NAMED]) + (", ..." if len(here) > _MOST_NAMED else "")
    line = f"{len(here)} of {len(found)} here" + (f": {named}" if here else "") + f" (sambench list {_LISTS[part]})"
    return [*wrong, *([Check(part, None if not here else True, line)] if found else [])]


_LISTS = {"data": "datasets", "weights": "models"}
