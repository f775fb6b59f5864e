"""Does a model keep the contract of `Segmenter` (or `EdgeDetector`)? Looked at from outside, on synthetic shapes.

What only a model that segments can show (the order of coordinates and colours, use of further clicks) is skipped, with what was
found, where it finds not even plain shapes: random weights pass or fail nothing there. Every check is a function of a `Probe` and
yields findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sambench.conformance.edges import EDGE_CHECKS
from sambench.conformance.findings import Finding, Probe, Status, run_check
from sambench.conformance.masks import MASK_CHECKS
from sambench.engine.threads import single_threaded
from sambench.errors import ModelError
from sambench.models.contract import check_methods

__all__ = ["Finding", "check_model", "summary"]


def check_model(model: Any) -> list[Finding]:
    """All findings on a model object, in the order of MASK_CHECKS or EDGE_CHECKS. Never raises what the model raises.

    On the CPU on one thread, as runs are.
    """
    try:
        gives = check_methods(model, type(model).__name__)
    except ModelError as e:
        return [Finding("methods", "fail", f"{e.message}: {e.found}", str(e.expected), e.advice() or "")]
    checks = EDGE_CHECKS if gives == "edges" else MASK_CHECKS
    probe, out = Probe(model), []
    with single_threaded():
        for i, (name, check) in enumerate(checks):
            out += run_check(name, check, probe)
            if i == 0 and any(f.status == "fail" for f in out):
                rest = [n for n, _ in checks[1:]]
                return [*out, Finding(", ".join(rest), "skip", f"not looked at: {name} must hold first")]
    return out


def summary(findings: Sequence[Finding]) -> Mapping[Status, int]:
    """How many findings passed, failed and were skipped."""
    return {s: sum(f.status == s for f in findings) for s in ("pass", "fail", "skip")}
