"""Does a model keep the contract of `Segmenter` (`EdgeDetector`, `ConceptSegmenter`)? Looked at from outside, on synthetic shapes.

What only a model that segments can show (the order of coordinates and colours, use of further clicks) is skipped, with what was
found, where it finds not even plain shapes: random weights pass or fail nothing there. Every check is a function of a `Probe` and
yields findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sambench.conformance.concepts import CONCEPT_CHECKS
from sambench.conformance.device import compare_devices
from sambench.conformance.edges import EDGE_CHECKS
from sambench.conformance.findings import Finding, Probe, Status, run_check
from sambench.conformance.masks import MASK_CHECKS
from sambench.device.precision import computing
from sambench.engine.threads import single_threaded
from sambench.errors import ModelError
from sambench.models.contract import check_methods

__all__ = ["Finding", "check_model", "compare_devices", "summary"]


def check_model(model: Any, *, precision: str | None = None) -> list[Finding]:
    """All findings on a model object, in the order of the checks of what it gives. Never raises what the model raises.

    On one thread, as runs are. precision: in which it runs; None: the model's own.
    """
    try:
        gives = check_methods(model, type(model).__name__)
    except ModelError as e:
        return [Finding("methods", "fail", f"{e.message}: {e.found}", str(e.expected), e.advice() or "")]
    checks = {"edges": EDGE_CHECKS, "concepts": CONCEPT_CHECKS}.get(gives, MASK_CHECKS)
    probe, out = Probe(model), []
    with single_threaded(), computing(precision or _word(model, "precision", "fp32"), _word(model, "device_kind", "cpu")):
        for i, (name, check) in enumerate(checks):
            out += run_check(name, check, probe)
            if i == 0 and any(f.status == "fail" for f in out):
                rest = [n for n, _ in checks[1:]]
                return [*out, Finding(", ".join(rest), "skip", f"not looked at: {name} must hold first")]
    return out


def _word(model: Any, name: str, default: str) -> str:
    """An attribute that `attributes` will look at: here only what can be read of it."""
    with suppress(Exception):
        return str(getattr(model, name, default)).partition(":")[0]
    return default


def summary(findings: Sequence[Finding]) -> Mapping[Status, int]:
    """How many findings passed, failed and were skipped."""
    return {s: sum(f.status == s for f in findings) for s in ("pass", "fail", "skip")}
