"""`sambench list` and `sambench show`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.console import columns, echo, echo_json, out
from sambench.cli.options import Json, refuse
from sambench.cli.tables import LISTS, TEXT, DataFormat, chosen, is_json
from sambench.layout.formats import listed
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.cards import ModelCard

list_app = typer.Typer(help="What there is: datasets, models, tasks.", no_args_is_help=True, rich_markup_mode=None)
show_app = typer.Typer(help="Everything known of one dataset, model or run.", no_args_is_help=True, rich_markup_mode=None)


@list_app.command("datasets")
def list_datasets(
    ctx: typer.Context,
    form: Annotated[str, typer.Option("--format", "-f", help=f"{listed(LISTS)}; markdown: the members of --suite.")] = TEXT,
    suite_name: Annotated[str, typer.Option("--suite", help="The suite of the Markdown table.")] = "sa23",
    as_json: Json = False,
) -> None:
    """Datasets with their state, the paper's counts and licence, and whether they are on this machine."""
    from sambench import cards
    from sambench.loaders.open import find_root

    form = chosen(form, as_json, LISTS)
    if form == "markdown":
        echo(_markdown(suite_name), nl=False)
        return
    refuse(ctx, ["suite_name"], "it chooses the suite of the Markdown table", remedy="give --format markdown")
    names = ("id", "name", "access", "here", "images", "masks", "licence")
    entries = []
    for card in cards.dataset_cards().values():
        counts = card.paper or card.full
        here = card.access.state == "embedded" or find_root(card) is not None
        n = (counts.images, counts.masks) if counts else (None, None)
        values = (card.id, card.name, card.access.state, here, *n, card.licence)
        entries.append(dict(zip(names, values, strict=True)))
    suites = list(cards.suite_cards().values())
    if form == "json":
        named = [{"id": s.id, "aliases": list(s.aliases), "members": list(s.members)} for s in suites]
        echo_json({"datasets": entries, "suites": named})
        return
    shown = [[_shown(d[name]) for name in names] for d in entries]
    out().print(columns(names, shown, title="datasets", right=("images", "masks")))
    for suite in suites:
        have = sum(d in cards.dataset_cards() for d in suite.datasets)
        aliases = f" (also: {', '.join(suite.aliases)})" if suite.aliases else ""
        echo(f"suite {suite.id}{aliases}: {counted(len(suite.members), 'dataset')}, {have} with a card in this version")
    echo("your own data: a file or folder, or a name as `sambench list readers` has them")


def _shown(value: object) -> str:
    """A value in a list for reading."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value or "")


def _markdown(suite_name: str) -> str:
    from sambench import cards
    from sambench.errors import unknown_name
    from sambench.getting.dataset_table import markdown

    suite = cards.suite_card(suite_name)
    if suite is None:
        raise unknown_name("suite", suite_name, cards.suite_cards(), where="--suite")
    return markdown(suite)


@list_app.command("models")
def list_models(form: DataFormat = TEXT, as_json: Json = False) -> None:
    """Models with their weights' state."""
    from sambench import cards
    from sambench.getting import weights as fetch
    from sambench.sources import composed
    from sambench.sources.models import sources
    from sambench.text import human_bytes

    as_json = is_json(form, as_json)
    rows: list[list[str]] = []
    entries = []
    for card in cards.model_cards().values():
        if card.hub:
            weights = f"{card.hub}, on the hub"
        elif card.weights is None:
            weights = "none needed" if card.state == "available" else "unavailable"
        elif card.weights.packaged:
            weights = f"{card.weights.file}, in the package"
        else:
            size = f"{human_bytes(card.weights.bytes)}, " if card.weights.bytes else ""
            got = "cached" if fetch.cached_weights(card).exists() else fetch.how_to_get(card)
            weights = f"{card.weights.file}, {size}{got}"
        rows.append([card.id, card.name, weights, card.licence])
        entries.append({"id": card.id, "name": card.name, "state": card.state, **_weights(card), "licence": card.licence})
    if as_json:
        named = [{"name": n, "form": s.form, "stored": s.stored} for n, s in sources().items()]
        echo_json({"models": entries, "sources": named})
        return
    out().print(columns(["id", "name", "weights", "licence"], rows, title="models"))
    known = sources()
    echo(f"phrases, by a detector's boxes: {composed.SOURCE.form}")
    echo(f"your own: {known.pop('python').form} (see README.md)")
    for source in known.values():
        echo(f"{'results made elsewhere' if source.stored else 'also'}: {source.form}")


@list_app.command("readers")
def list_readers(
    form: Annotated[str, typer.Option("--format", "-f", help=f"{listed(LISTS)}.")] = TEXT,
    as_json: Json = False,
) -> None:
    """Formats of data of your own: how they are named, and what options they have; `show reader NAME` says more."""
    from sambench.sources.data.readers import readers

    form = chosen(form, as_json, LISTS)
    if form == "json":
        echo_json({"readers": [_reader(name, r) for name, r in readers().items()]})
        return
    rows = [[r.form, r.summary, ", ".join(o.name for o in r.options)] for r in readers().values()]
    names = ["name", "what", "options"]
    if form == TEXT:
        out().print(columns(names, rows, title="readers"))
        return
    lines = [[f"`{form}`", what, ", ".join(f"`{o}`" for o in options.split(", ") if o)] for form, what, options in rows]
    echo("\n".join("| " + " | ".join(row) + " |" for row in [names, ["---"] * 3, *lines]))


@show_app.command("reader")
def show_reader(
    name: Annotated[str, typer.Argument(help="The beginning of its names, as coco.")],
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """What a reader of your own data takes for one mask, and every option with its default."""
    from sambench.errors import unknown_name
    from sambench.sources.data.readers import readers

    as_json = is_json(form, as_json)
    known = readers()
    found = known.get(name.partition(":")[0])
    if found is None:
        raise unknown_name("reader", name, known)
    if as_json:
        echo_json({**_reader(name.partition(":")[0], found), "text": found.text})
        return
    _fields({"name": found.form, "what": found.summary, "reader": found.code})
    echo(f"\n{found.text}")
    if found.options:
        out().print(columns(["option", "type", "default"], [[o.name, o.kind, o.default] for o in found.options]))
        echo(f"options are given after the paths: {found.form},{found.options[-1].name}=...")


def _reader(name: str, reader: Any) -> dict[str, Any]:
    """A format of one's own data, for --json."""
    options = [{"name": o.name, "type": o.kind, "default": o.default} for o in reader.options]
    return {"name": name, "form": reader.form, "what": reader.summary, "reader": reader.code, "options": options}


def _weights(card: ModelCard) -> dict[str, Any]:
    """Of a model's weights: the file, its size in bytes, and whether a run would find it on this machine."""
    from sambench.getting import weights as fetch

    w = card.weights
    if w is None:
        return {"weights": None, "bytes": None, "here": card.state == "available"}
    return {"weights": w.file, "bytes": w.bytes, "here": bool(w.packaged) or fetch.cached_weights(card).exists()}


@list_app.command("tasks")
def list_tasks(form: DataFormat = TEXT, as_json: Json = False) -> None:
    """Tasks with the protocol's version and settings."""
    from sambench import provenance, tasks

    as_json = is_json(form, as_json)
    rows: list[list[str]] = []
    listed = []
    for name in tasks.names():
        task = tasks.build(name)
        doc = (sys.modules[type(task).__module__].__doc__ or "\n").splitlines()[0]
        rows.append([task.protocol, doc, provenance.canonical_json(task.identity())])
        listed.append({"name": name, "protocol": task.protocol, "what": doc, "settings": task.identity()})
    if as_json:
        echo_json({"tasks": listed})
        return
    out().print(columns(["protocol", "what", "default settings"], rows, title="tasks"))


@show_app.command("dataset")
def show_dataset(
    name: Annotated[str, typer.Argument(help="A dataset's id, or the path of a card.")],
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """Facts, access steps, licence and citation of a dataset."""
    from sambench import cards
    from sambench.loaders.open import find_root
    from sambench.sources.datasets import resolve

    as_json = is_json(form, as_json)
    suite = cards.suite_card(name)
    if suite and as_json:
        echo_json(suite.model_dump(mode="json"))
        return
    if suite:
        _fields({"suite": suite.id, "name": suite.name, "members": ", ".join(suite.members), "notes": suite.notes})
        return
    found = resolve(name)
    card = found.card
    root = found.root or find_root(card)
    if as_json:
        echo_json({**card.model_dump(mode="json"), "here": str(root) if root else None})
        return
    fields: dict[str, Any] = {"id": card.id, "name": card.name, "images of": card.image_type, "masks": card.mask_kind}
    if card.paper:
        drawn = "drawn at random, list unpublished" if card.paper.subsampled else "used whole"
        fields["paper"] = (
            f"{card.paper.images:,} images, {card.paper.masks:,} masks, {card.paper.split} ({drawn}; {card.paper.source})"
        )
    if card.full:
        fields["release"] = f"{card.full.images:,} images, {card.full.masks:,} masks"
    fields |= {"licence": card.licence, "homepage": card.homepage, "citation": str(card.citation), "notes": card.notes}
    fields["variants"] = "; ".join(f"{k}: {v.description}" for k, v in card.variants.items())
    fields["layout"] = "\n".join(card.layout)
    fields["here"] = str(root) if root else ("made on first use" if card.access.state == "embedded" else "no")
    fields["access"] = card.access.state
    fields["steps"] = "\n".join(f"{i}. {s}" for i, s in enumerate(card.access.steps, 1))
    if card.given:
        fields["reader"] = card.reader
        fields["options"] = "\n".join(f"{k} = {v!r}" for k, v in card.options.items())
    _fields(fields)
    for note in found.notes:
        echo(note)


@show_app.command("model")
def show_model(
    name: Annotated[str, typer.Argument(help="A model's id, or the path of a card.")],
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """Facts, weights, training data and options of a model."""
    import inspect

    from sambench import cards

    as_json = is_json(form, as_json)
    card = cards.model_card(name)
    if as_json:
        echo_json({**card.model_dump(mode="json"), "here": _weights(card)["here"]})
        return
    fields: dict[str, Any] = {"id": card.id, "name": card.name, "description": card.description, "state": card.state}
    if card.weights:
        w = card.weights
        fields |= {
            "weights": w.file,
            "from": w.url or ("the package" if w.packaged else w.source),
            "sha256": w.sha256,
            "bytes": f"{w.bytes:,}" if w.bytes else None,
        }
    factory = cards.load_entry(card.factory, where=f"card {card.id}")
    parameters = [] if card.hub else inspect.signature(factory).parameters.values()
    options = [
        f"{p.name}={card.options.get(p.name, p.default)}" for p in parameters if p.name not in ("weights", "device", "precision")
    ]
    if card.hub:
        fields["from"] = f"https://huggingface.co/{card.hub}"
        options = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in card.options.items()]
    fields["options (-M)"] = ", ".join([*(["weights=FILE"] if card.weights else []), *[o for o in options if "**" not in o]])
    fields |= {"prompts a batch": card.max_batch, "trained on": card.training_data, "overlaps": ", ".join(card.overlaps)}
    fields |= {"licence": card.licence, "homepage": card.homepage, "citation": str(card.citation), "notes": card.notes}
    _fields(fields)


def _fields(fields: dict[str, Any]) -> None:
    width = max(len(k) for k in fields)
    for key, value in fields.items():
        if value in (None, ""):
            continue
        first, *rest = str(value).splitlines()
        echo(f"{key:<{width}}  {first}")
        for line in rest:
            echo(" " * (width + 2) + line)
