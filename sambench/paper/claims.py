"""The paper's claims in words (`reports/claims.toml`), each with a test on measurements and on the paper's own printed numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sambench import cards, paths
from sambench.errors import CardError
from sambench.paper.compare import Against, compare_values
from sambench.paper.evidence import Entry, Evidence
from sambench.paper.published import PublishedValue, best_known, published
from sambench.results.over_datasets import coverage, mean_over_datasets
from sambench.tasks.summary import Bootstrap
from sambench.text import counted
from sambench.values import toml_file

State = Literal["reproduced", "differs", "not measured", "unavailable"]
SUITE = "sa23"
_T = TypeVar("_T")


class Claim(BaseModel):
    """check: a function of this module, with `options`; or a reason why the claim cannot be tested."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    text: str
    source: str
    check: str = ""
    reason: str = ""
    options: dict[str, Any] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["claims"]
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Verdict:
    """What came of a claim. found: what was measured, in words; printed: what the paper's own numbers say."""

    state: State
    found: str = ""
    printed: str = ""


def claims(path: Path | None = None) -> tuple[Claim, ...]:
    """All claims. Raises CardError on a file that does not fit, or that names an unknown check."""
    return _read(path or paths.packaged("reports") / "claims.toml")


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[Claim, ...]:
    try:
        found = _File.model_validate(toml_file(path, "the file of claims", CardError)).claims
    except ValidationError as e:
        raise CardError("the claims do not fit their schema", where=path, found=str(e).splitlines()[0]) from e
    for claim in found:
        if bool(claim.check) == bool(claim.reason) or (claim.check and claim.check not in _CHECKS):
            known = f"a reason, or a check of {', '.join(_CHECKS)}"
            raise CardError(f"claim {claim.id!r} cannot be tested", where=path, expected=known, found=repr(claim.check))
    return found


def judge(claim: Claim, evidence: Evidence, bootstrap: Bootstrap) -> Verdict:
    """The state of a claim on this evidence."""
    if claim.reason:
        return Verdict("unavailable", claim.reason)
    return _CHECKS[claim.check](claim.options, evidence, bootstrap)


def _wins(options: Mapping[str, Any], evidence: Evidence, _: Bootstrap) -> Verdict:
    variant, least = options["variant"], int(options["at_least"])
    printed = ""
    if variant == "top":
        values = published("suite")
        printed = f"{sum((v.value or 0) > 0 for v in values)} of {len(values)} in figure 9a"
    a, b, lack = _pair(evidence, options, "center")
    if lack:
        return Verdict("not measured", lack, printed)
    won = 0
    for dataset in a:
        ours, theirs = a[dataset].value("miou", variant=variant, k=1), b[dataset].value("miou", variant="top", k=1)
        if ours is None or theirs is None:
            return Verdict("not measured", f"{dataset} has no mIoU at one click", printed)
        won += ours > theirs
    return Verdict("reproduced" if won >= least else "differs", f"{won} of {len(a)} datasets", printed)


def _gap_closes(options: Mapping[str, Any], evidence: Evidence, _: Bootstrap) -> Verdict:
    a, b, lack = _pair(evidence, options, options["prompt"])
    if lack:
        return Verdict("not measured", lack)
    first, last = (_gap(a, b, int(options[k])) for k in ("from", "to"))
    if math.isnan(first) or math.isnan(last):
        return Verdict("not measured", f"no mIoU at {options['from']} and {options['to']} clicks on every dataset")
    found = f"{100 * first:+.1f} points at {options['from']} click, {100 * last:+.1f} at {options['to']}"
    return Verdict("reproduced" if abs(last) < abs(first) else "differs", found)


def _random_gap_grows(options: Mapping[str, Any], evidence: Evidence, _: Bootstrap) -> Verdict:
    gaps = {}
    for prompt in ("center", "random"):
        a, b, lack = _pair(evidence, options, prompt)
        if lack:
            return Verdict("not measured", f"{prompt} clicks: {lack}")
        gaps[prompt] = _gap(a, b, 1)
    found = ", ".join(f"{100 * gap:+.1f} points with {prompt} clicks" for prompt, gap in gaps.items())
    return Verdict("reproduced" if gaps["random"] > gaps["center"] else "differs", found)


def _encoder_size(options: Mapping[str, Any], evidence: Evidence, _: Bootstrap) -> Verdict:
    means = []
    for model in options["models"]:
        by, lack = _complete(evidence, model, "center")
        if lack:
            return Verdict("not measured", lack)
        means.append(mean_over_datasets([e.value("miou", variant="top", k=1) or math.nan for e in by.values()]))
    b, large, h = means
    found = f"mIoU {', '.join(f'{100 * m:.1f} ({name})' for m, name in zip(means, options['models'], strict=True))}"
    return Verdict("reproduced" if h - b > 2 * abs(h - large) and h >= large else "differs", found)


def _greater(options: Mapping[str, Any], evidence: Evidence, bootstrap: Bootstrap) -> Verdict:
    """Whether `above` is above `below` in every column: measured, or the printed number of a method without a model card."""
    values = published(options["table"])
    above, below, columns = options["above"], options["below"], options["columns"]
    pairs = [(best_known(values, above, c), best_known(values, below, c)) for c in columns]
    held = [
        (c, a.value, b.value)
        for c, (a, b) in zip(columns, pairs, strict=True)
        if a and b and a.value is not None and b.value is not None
    ]
    fails = [f"{c}: {_shown(a)} against {_shown(b)}" for c, a, b in held if a <= b]
    printed = f"does not hold for {'; '.join(fails)}" if fails else "holds"
    against = {
        (a.published.method, a.published.column): a for a in compare_values(evidence, values, bootstrap=bootstrap) if a.same_model
    }
    usable = {k: a for k, a in against.items() if a.subset.kind != "other"}
    for method in (above, below):  # those that a model card stands for must be measured; for the others the printed number stands
        model = next((v.model for v in values if v.method == method and v.model), "")
        if model and not all((method, column) in usable for column, *_ in held):
            why = next((a.subset.why for (m, _), a in against.items() if m == method and a.subset.why), "")
            return Verdict("not measured", f"no run of {model} on the paper's set{f' ({why})' if why else ''}", printed)
    said, holds = [], True
    for column, *_ in held:
        found = {m: usable[m, column].measured if (m, column) in usable else None for m in (above, below)}
        texts, numbers = [], []
        for method in (above, below):
            known = best_known(values, method, column)
            number = found[method]
            texts.append(f"{_shown(number)}" if number is not None else f"{_shown(known.value if known else None)} (printed)")
            numbers.append(number if number is not None else (known.value if known and known.value is not None else math.nan))
        holds = holds and numbers[0] > numbers[1]
        said.append(f"{column}: {texts[0]} against {texts[1]}")
    return Verdict("reproduced" if holds else "differs", "; ".join(said), printed)


def _intervals_overlap(options: Mapping[str, Any], evidence: Evidence, bootstrap: Bootstrap) -> Verdict:
    values = [v for v in published(options["table"]) if v.group_by == options["group_by"]]
    printed = _overlap([(v.k, v.low, v.high) for v in values])
    usable, why = _groups_measured(values, evidence, bootstrap)
    if why:
        return Verdict("not measured", why, _at_each(printed, _overlap_text))
    spans = [(a.published.k, a.low + (a.published.value or 0), a.high + (a.published.value or 0)) for a in usable]
    found = _overlap(spans)
    texts = [_at_each(each, _overlap_text) for each in (found, printed)]
    return Verdict("reproduced" if found == printed else "differs", *texts)


def _best_group(options: Mapping[str, Any], evidence: Evidence, bootstrap: Bootstrap) -> Verdict:
    values = [v for v in published(options["table"]) if v.group_by == options["group_by"]]
    printed = _best([(v.k, v.group or "", v.value or 0.0) for v in values])
    usable, why = _groups_measured(values, evidence, bootstrap)

    def text(best: str) -> str:
        return "holds" if best == options["group"] else f"{best} is best"

    if why:
        return Verdict("not measured", why, _at_each(printed, text))
    found = _best([(a.published.k, a.published.group or "", a.measured) for a in usable])
    return Verdict("reproduced" if found == printed else "differs", _at_each(found, text), _at_each(printed, text))


def _rated_higher(options: Mapping[str, Any], evidence: Evidence, _: Bootstrap) -> Verdict:
    """Whether people rate the model higher on every dataset of the study, each by its own test at `p`."""
    values = [v for v in published(options["table"]) if v.variant == options["variant"] and v.metric == "p_value"]
    spans = [v for v in published(options["table"]) if v.variant == options["variant"] and v.low is not None]
    printed = f"{sum((v.low or 0) > 0 for v in spans)} of {len(spans)} datasets"
    rated = evidence.rated.get(options["variant"], {})
    here = [rated[v.dataset] for v in values if v.dataset in rated]
    if len(here) < len(values):
        some = f"ratings of {len(here)} of the {len(values)} datasets" if here else "a rating study needs people"
        return Verdict("not measured", f"{some} (sambench rate makes the jobs; reproduce paper --ratings FILE)", printed)
    higher = sum(pair.tests.t.p_greater < float(options["p"]) for pair in here)
    return Verdict("reproduced" if higher == len(here) else "differs", f"{higher} of {len(here)} datasets", printed)


def _best(held: Sequence[tuple[int | None, str, float]]) -> dict[int, str]:
    """Which group has the highest value at each click count."""
    counts = sorted({k for k, *_ in held if k is not None})
    return {k: max((value, name) for count, name, value in held if count == k)[1] for k in counts}


def _at_each(found: Mapping[int, _T], text: Callable[[_T], str]) -> str:
    """What was found at each click count, in words."""
    return "; ".join(f"{counted(k, 'click')}: {text(value)}" for k, value in found.items())


def _groups_measured(values: Sequence[PublishedValue], evidence: Evidence, bootstrap: Bootstrap) -> tuple[list[Against], str]:
    """The measurements of all groups, or why they are not there."""
    against = [a for a in compare_values(evidence, values, bootstrap=bootstrap) if a.same_model]
    usable = [a for a in against if a.subset.kind != "other"]
    if len(usable) == len(values):
        return usable, ""
    first = values[0]
    return [], against[0].subset.why if against else f"no run of {first.model} on {first.dataset} with {first.prompt} clicks"


def _overlap(spans: Sequence[tuple[int | None, float | None, float | None]]) -> dict[int, bool]:
    """Whether all intervals of one click count have a point in common, by count."""
    out = {}
    for k in sorted({k for k, *_ in spans if k is not None}):
        held = [(low, high) for count, low, high in spans if count == k and low is not None and high is not None]
        out[k] = max(low for low, _ in held) <= min(high for _, high in held)
    return out


def _overlap_text(overlap: bool) -> str:
    return "overlap" if overlap else "do not all overlap"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _gap(a: Mapping[str, Entry], b: Mapping[str, Entry], k: int) -> float:
    both = [(a[d].value("miou", variant="top", k=k), b[d].value("miou", variant="top", k=k)) for d in a]
    return mean_over_datasets([(x if x is not None else math.nan) - (y if y is not None else math.nan) for x, y in both])


def _pair(evidence: Evidence, options: Mapping[str, Any], prompt: str) -> tuple[dict[str, Entry], dict[str, Entry], str]:
    """Both models' entries on every dataset of the suite, or why they are not there."""
    a, lack_a = _complete(evidence, options["model"], prompt)
    b, lack_b = _complete(evidence, options["baseline"], prompt)
    return a, b, "; ".join(t for t in (lack_a, lack_b) if t)


def _complete(evidence: Evidence, model: str, prompt: str) -> tuple[dict[str, Entry], str]:
    suite = cards.suite_card(SUITE)
    members = suite.members if suite else ()
    found = next((by for s, by in evidence.of("point", prompt=prompt).items() if s.model == model), {})
    here = coverage(members, {d: not e.partial for d, e in found.items()})
    if here.whole:
        return {d: found[d] for d in here.complete}, ""
    return {}, f"{model}: {len(here.complete)} of {here.wanted} datasets complete"


_CHECKS: dict[str, Callable[[Mapping[str, Any], Evidence, Bootstrap], Verdict]] = {
    "wins": _wins,
    "gap_closes": _gap_closes,
    "random_gap_grows": _random_gap_grows,
    "encoder_size": _encoder_size,
    "greater": _greater,
    "intervals_overlap": _intervals_overlap,
    "best_group": _best_group,
    "rated_higher": _rated_higher,
}
