"""What a paper has to say of how its numbers were made, written from the cells: a methods paragraph, and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sambench import cards
from sambench.paper.evidence import subset_of
from sambench.results.names import changed_settings
from sambench.store.record import Environment
from sambench.store.views import CellView, limited_to
from sambench.text import counted

DEVIATIONS = (
    "The authors blurred faces in all 23 datasets before they evaluated; which ones is unpublished, and nothing is blurred here.",
    "The lists of images that the authors drew from large datasets are unpublished; sets are drawn again, to as many masks.",
    "The skin-tone half of table 2, table 1 and figure 7 rest on private data and are not here.",
    "The text-aware SAM, the single-output SAM and the SAM with a three-layer decoder, which made SA-1B, were never released. "
    "Rows that need them say so; a stand-in carries a name of its own.",
)


def paragraphs(cells: Sequence[CellView]) -> tuple[str, ...]:
    """Sentences for a methods section: protocol and settings, models with weights, datasets with subsets, intervals, versions."""
    if not cells:
        return ()
    out = [_tasks(cells), _models(cells), _datasets(cells), _statistics(), _versions(cells)]
    return tuple(p for p in out if p)


def _tasks(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    for cell in cells:
        changed, works = changed_settings(cell), cell.task.follows
        what = f"{cell.task.protocol} ({cell.task.method()}{f'; changed: {changed}' if changed else ''})"
        after = " and ".join(f"{work.short} [{work.key}]" for work in works)
        said[what + (f", after {after}" if after else "")] = None
    return f"We evaluate with sambench under the {'protocols' if len(said) > 1 else 'protocol'} {_listed(said)}."


def _models(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    known = cards.model_cards()
    for cell in cells:
        model = cell.record.model
        parts = [model.name if cell.title == model.name else f"{cell.title}, that is {model.name}"]
        if model.weights_sha256:
            parts.append(f"weights sha256 {model.weights_sha256[:12]}…")
        if model.options:
            parts.append("options " + ", ".join(f"{k}={v}" for k, v in sorted(model.options.items())))
        parts.append(f"{model.precision} on {model.device_kind}")
        cite = f" [{key_of(model.id)}]" if model.id in known and known[model.id].citation.works else ""
        said[f"{parts[0]}{cite} ({'; '.join(parts[1:])})"] = None
    return f"The {'models are' if len(said) > 1 else 'model is'} {_listed(said)}."


def _datasets(cells: Sequence[CellView]) -> str:
    """Every dataset once; where tasks or models saw other images of it, the protocols with what they saw."""
    seen: dict[str, dict[str, dict[str, None]]] = {}
    for cell in cells:
        seen.setdefault(_cited_dataset(cell), {}).setdefault(_images_of(cell), {})[cell.task.protocol] = None
    said = []
    for name, sets in seen.items():
        parts = [f"{', '.join(protocols)}: {what}" for what, protocols in sets.items()] if len(sets) > 1 else list(sets)
        said.append(f"{name} ({'; '.join(parts)})")
    return f"The {'datasets are' if len(said) > 1 else 'dataset is'} {_listed(said)}."


def _cited_dataset(cell: CellView) -> str:
    card = cards.dataset_cards().get(cell.record.dataset.id)
    return cell.dataset + (f" [{key_of(card.id)}]" if card and card.citation.works else "")


def _images_of(cell: CellView) -> str:
    """How many images and objects, which, and how that differs from the paper's set."""
    live, subset = cell.live, subset_of(cell)
    why = "" if subset.kind == "paper" or not subset.known else subset.why
    images = counted(live.n_done, "image")
    if cell.partial_reasons() == [limited_to(live)]:
        images, why = f"the {limited_to(live).removesuffix(' (--limit)')}", ""
    objects = counted(live.n_objects, cell.task.objects.removesuffix("s"))
    return f"{images}, {objects}, subset {cell.record.subset.digest[:8]}{f', {why}' if why else ''}"


def _statistics() -> str:
    return (
        "A dataset's value is the mean over its objects, a suite's the unweighted mean over its datasets. Intervals are percentile "
        "bootstrap intervals over clusters (images, or videos and scenes where frames of one stand in a dataset); differences are "
        "paired by object."
    )


def _versions(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    for cell in cells:
        env = cell.record.environment or Environment()
        git = f", commit {env.git[:12]}" if env.git else ""
        numpy, torch = (env.versions.get(name, "?") for name in ("numpy", "torch"))
        said[f"sambench {env.sambench or '?'}{git} (Python {env.python or '?'}, numpy {numpy}, torch {torch})"] = None
    return f"Computed with {_listed(said)}."


def _listed(said: Iterable[str]) -> str:
    items = list(said)
    return items[0] if len(items) == 1 else f"{'; '.join(items[:-1])}; and {items[-1]}"


def key_of(ident: str) -> str:
    """The BibTeX key of a card."""
    return re.sub(r"[^a-z0-9]", "", ident.lower())


def bibtex(cells: Sequence[CellView]) -> str:
    """Entries of the works that the tasks follow, and of every model and dataset of the cells whose card cites a work."""
    models, datasets = cards.model_cards(), cards.dataset_cards()
    entries = {work.key: _entry(work.key, cards.Citation(works=(work,)), "") for cell in cells for work in cell.task.follows}
    for card in [models.get(c.model) for c in cells] + [datasets.get(c.record.dataset.id) for c in cells]:
        if card is not None and card.citation.works:
            entries.setdefault(key_of(card.id), _entry(key_of(card.id), card.citation, card.homepage))
    return "\n".join(entries.values())


def _entry(key: str, citation: cards.Citation, homepage: str) -> str:
    """A @misc entry of the works that are cited: the first, the others in the note."""
    first, *others = citation.works
    fields = {"author": " and ".join(first.authors), "title": first.title}
    fields |= {"howpublished": first.venue, "year": str(first.year)}
    if homepage:
        fields["url"] = homepage
    if others:
        fields["note"] = f"see also: {'; '.join(work.text for work in others)}"
    width = max(map(len, fields))
    lines = [f"  {k:<{width}} = {{{_bib(v) if k != 'url' else v}}}" for k, v in fields.items()]
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}\n"


def _bib(text: str) -> str:
    return "".join({"&": "\\&", "%": "\\%", "#": "\\#", "_": "\\_", "{": "", "}": ""}.get(c, c) for c in text)
