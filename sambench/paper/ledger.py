"""The ledger: every published number and claim with its state (protocol, section 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sambench.layout import Column, Row, Table
from sambench.paper.claims import State, claims, judge
from sambench.paper.compare import Against, compare_values, members_of, quantity
from sambench.paper.evidence import Evidence
from sambench.paper.published import PAPER, PublishedValue, of, splits
from sambench.results.names import changed_settings
from sambench.tasks.summary import Bootstrap

DEFAULT_BOOTSTRAP = Bootstrap()
MEASURED: tuple[State, ...] = ("reproduced", "differs")
STATES: tuple[State, ...] = (*MEASURED, "not measured", "unavailable")
CLAIM = "claim"
RATINGS = "ratings"
SURE = 0.01  # of a p-value: on which side it lies is what is reproduced


@dataclass(frozen=True)
class Entry:
    """One line. published and measured in the number's own unit; None for claims, and where there is none. interval: what is
    printed in place of a number."""

    where: str
    what: str
    dataset: str
    method: str
    kind: str
    state: State
    why: str
    published: float | None = None
    measured: float | None = None
    difference: float | None = None
    unit: str = "fraction"
    source: str = ""
    run: str = ""
    interval: tuple[float, float] | None = None


def ledger(evidence: Evidence, what: str = PAPER, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> list[Entry]:
    """`paper`: its numbers in the order of its tables, then its claims; `models`: the numbers on model cards; the numbers of any
    other source of `published.sources`. Raises UsageError."""
    values = of(what)
    by_value: dict[PublishedValue, list[Against]] = {}
    for against in compare_values(evidence, values, bootstrap=bootstrap):
        if against.same_model:
            by_value.setdefault(against.published, []).append(against)
    out = [_number(v, by_value.get(v, []), evidence) for v in values]
    for claim in claims() if what == PAPER else ():
        verdict = judge(claim, evidence, bootstrap)
        why = "; ".join(t for t in (verdict.found, f"the paper's own numbers: {verdict.printed}" if verdict.printed else "") if t)
        out.append(Entry(claim.source, claim.text, "", "", CLAIM, verdict.state, why, source=f"arXiv 2304.02643, {claim.source}"))
    return out


def _number(value: PublishedValue, found: Sequence[Against], evidence: Evidence) -> Entry:
    method = value.method + (f" minus {value.baseline_method}" if value.baseline_method else "")
    entry = Entry(value.name, quantity(value), value.dataset, method, value.kind, "unavailable", value.reason, value.value)
    entry = replace(entry, unit=value.unit, source=value.source)
    if value.value is None and value.low is not None and value.high is not None:
        entry = replace(entry, interval=(value.low, value.high))
    if value.reason:
        return entry
    if value.task == RATINGS:
        return _rated(entry, value, evidence)
    if not found:
        return replace(entry, state="not measured", why=_why_not(value, evidence))
    plain = next((a for a in found if not changed_settings(a.entry.cell)), found[0])
    entry = replace(entry, measured=plain.measured, difference=plain.difference, run=plain.entry.cell.run_name)
    if plain.subset.kind == "other":
        return replace(entry, state="not measured", why=f"not on the paper's set ({plain.subset.why})")
    if plain.light == "green" or (plain.subset.kind == "redrawn" and plain.low <= 0 <= plain.high):
        return replace(entry, state="reproduced", why=plain.subset.why and f"on a redrawn set: {plain.subset.why}")
    return replace(entry, state="differs", why=_responsible(plain, found))


def _rated(entry: Entry, value: PublishedValue, evidence: Evidence) -> Entry:
    """A number of the rating study: a difference is reproduced within the printed interval (and the tolerance), a p-value where it
    is on the same side of .01."""
    found = evidence.rated.get(value.variant or "", {}).get(value.dataset)
    if found is None:
        why = f"needs ratings by people of {value.dataset} (sambench rate; reproduce paper --ratings FILE)"
        return replace(entry, state="not measured", why=why)
    if value.value is not None:
        measured = found.tests.t.p_greater
        same = (measured < SURE) == (value.value < SURE)
    else:
        measured, slack = found.mean_a - found.mean_b, value.tolerance or 0.0
        same = value.low is not None and value.high is not None and value.low - slack <= measured <= value.high + slack
    why = f"{found.n:,} inputs, {100 * found.level:g} % interval {found.low:.2f} to {found.high:.2f}"
    return replace(entry, state="reproduced" if same else "differs", measured=measured, why=why)


def _why_not(value: PublishedValue, evidence: Evidence) -> str:
    if not value.model:
        return value.remark or "no model card stands for this method"
    models = [m for m in (value.model, value.baseline) if m]
    prompt = f" with {value.prompt} clicks" if value.task == "point" and value.prompt else ""
    members = members_of(value)
    if members is not None:
        runs = evidence.of(value.task, **({"prompt": value.prompt} if prompt else {}))
        whole = [sum(m in by and not by[m].partial for m in members) for s, by in runs.items() if s.model == value.model]
        return f"{value.model}{prompt}: complete on {max(whole, default=0)} of the {len(members)} datasets"
    have = {e.model for e in evidence.entries if e.cell.task.name == value.task and e.dataset == value.dataset}
    lacking = [m for m in models if m not in have]
    if not lacking:
        return f"the runs of {' and '.join(models)} on {value.dataset} do not measure it{prompt}"
    return f"no run of {' and '.join(lacking)} on {value.dataset}{prompt} (sambench run {value.task})"


def _responsible(plain: Against, found: Sequence[Against]) -> str:
    """The setting that explains the difference, where one of the runs with changed settings is within the tolerance."""
    tolerance = plain.published.tolerance or 0.0
    for other in found:
        changed = changed_settings(other.entry.cell)
        if changed and abs(other.difference) <= tolerance:
            return f"with {changed} it is {100 * other.measured:.1f}: within the tolerance"
    tried = [f"with {c}: {100 * a.measured:.1f}" for a in found if (c := changed_settings(a.entry.cell))]
    if tried:
        return "the setting responsible is not known; " + "; ".join(tried)
    inside = plain.low <= 0 <= plain.high
    return "the setting responsible is not known" + ("; the difference is within the sampling error" if inside else "")


def ledger_tables(entries: Sequence[Entry], what: str = PAPER, *, only: Sequence[str] = ()) -> list[Table]:
    """Numbers, claims, and the inferred splits of `what`, as `layout` renders them: percent for fractions. only: states that have
    rows; the notes count all."""
    shown = [e for e in entries if not only or e.state in only]
    counts = Counter(e.state for e in entries)
    note = ", ".join(f"{counts[s]} {s}" for s in STATES) + f"; {len(entries)} in all."
    tables = [_numbers([e for e in shown if e.kind != CLAIM]), _claims([e for e in shown if e.kind == CLAIM])]
    kept = [t for t in tables if t.rows] or tables[:1]
    return [*kept[:-1], replace(kept[-1], notes=(*kept[-1].notes, note)), *_assumed(what)]


def _assumed(what: str) -> list[Table]:
    """Who is taken for a member of a part of a suite that nobody published, and why."""
    columns = (Column("part", "part"), Column("dataset", "dataset"), Column("why", "why it is taken for one"))
    inferred = {name: s for name, s in splits(what).items() if s.inferred}
    rows = [Row({"part": name, "dataset": d, "why": why}) for name, s in inferred.items() for d, why in s.members.items()]
    notes = tuple(f"{name}: {' '.join(s.inferred.split())}" for name, s in inferred.items())
    return [Table("Members of the parts that means are of (inferred, not published)", columns, tuple(rows), notes)] if rows else []


def _claims(entries: Sequence[Entry]) -> Table:
    columns = (
        Column("state", "state"),
        Column("what", "claim"),
        Column("why", "measured, or why not"),
        Column("where", "where", minor=True),
    )
    return Table("Claims", columns, tuple(Row({c.key: getattr(e, c.key) for c in columns}) for e in entries))


def _numbers(entries: Sequence[Entry]) -> Table:
    columns = (
        Column("state", "state"),
        Column("where", "where"),
        Column("what", "what"),
        Column("dataset", "dataset"),
        Column("method", "method", minor=True),
        Column("kind", "kind", hidden=True),
        Column("published", "published"),
        Column("measured", "measured"),
        Column("difference", "difference"),
        Column("why", "why", minor=True),
        Column("source", "source", hidden=True),
        Column("run", "run", hidden=True),
    )
    rows = []
    for e in entries:
        shown = {
            name: _text(getattr(e, name), e.unit, signed=name == "difference") for name in ("published", "measured", "difference")
        }
        if e.interval is not None:
            shown["published"] = f"{e.interval[0]:.2f} to {e.interval[1]:.2f}"
        rows.append(Row({c.key: getattr(e, c.key) for c in columns} | shown))
    return Table("Published numbers", columns, tuple(rows), ("Fractions in percent.",))


def _text(value: float | None, unit: str, *, signed: bool) -> str | None:
    if value is None or value != value:
        return None
    if unit == "fps":
        return f"{value:.1f}"
    if unit == "fraction":
        return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    if abs(value) < 1e-3 and value:
        return f"{value:.0e}"
    return f"{value:+.2f}" if signed else f"{value:.2f}"
