"""What a conformance check yields, what it works on, and how it is run."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sambench.errors import SambenchError, message_of
from sambench.tasks.prompted import Encoded, encode
from sambench.types import Prediction, Prompt, Sample

Status = Literal["pass", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. found and expected: what was seen, and what should have been. remedy: what to do."""

    name: str
    status: Status
    found: str
    expected: str = ""
    remedy: str = ""

    def text(self) -> str:
        """Lines for reading: mark, name and what was found; of a failure also what was expected and what to do."""
        mark = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}[self.status]
        lines = [f"{mark}  {self.name}: {self.found}"]
        lines += [f"        expected: {self.expected}"] if self.expected and self.status == "fail" else []
        lines += [f"        what to do: {self.remedy}"] if self.remedy and self.status != "pass" else []
        return "\n".join(lines)


@dataclass
class Probe:
    """A model under test. Scenes are encoded once, unless a check asks for it anew."""

    model: Any
    encoded: dict[str, Encoded] = field(default_factory=dict)

    def on(self, sample: Sample) -> Encoded:
        if sample.image_id not in self.encoded:
            self.encoded[sample.image_id] = encode(self.model, sample)
        return self.encoded[sample.image_id]

    def ask(self, sample: Sample, prompts: list[Prompt]) -> list[Prediction]:
        return self.on(sample).decode(prompts)[0]


Check = Callable[[Probe], Iterator[Finding]]


def run_check(name: str, check: Check, probe: Probe) -> list[Finding]:
    """The findings of one check. What a model raises is a finding too, with the place where it was raised."""
    found: list[Finding] = []
    try:
        found.extend(check(probe))
    except SambenchError as e:
        text = "; ".join(str(part) for part in (e.message, e.found) if part is not None)
        found.append(Finding(name, "fail", text, str(e.expected or ""), e.advice() or ""))
    except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever a model raises is what was found
        place = traceback.extract_tb(e.__traceback__)[-1]
        raised = f"{message_of(e)} ({Path(place.filename).name}:{place.lineno})"
        found.append(Finding(name, "fail", raised, "no exception"))
    return found
