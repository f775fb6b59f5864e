"""What the commands of `sambench run` share: their options, the request made of them, and what is printed while and after a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.variables import named_for

if TYPE_CHECKING:
    from sambench.engine.request import Outcome, Plan, Request
    from sambench.tasks.command import Command

SHOWN_CELLS = 4  # of a run, by path


def _config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Put a TOML file's values below flags and environment; click's default_map has just that place."""
    if path is None:
        return None
    from sambench.errors import UsageError, unknown_name
    from sambench.values import short, toml_file

    values = toml_file(path, "a configuration file", UsageError)
    flags = {o.removeprefix("--"): p for p in ctx.command.params for o in p.opts if o.startswith("--")}
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if name not in flags or name in ("config", "help"):
            raise unknown_name("configuration key", key, [f for f in flags if f not in ("config", "help")], where=path)
        if name == "option" and isinstance(value, dict):
            value = [f"{k}={_as_toml(v)}" for k, v in value.items()]
        listed = value if isinstance(value, list) else [value]
        if any(isinstance(v, dict | list) for v in listed):
            expected = "a text, a number, true or false, or a list of them"
            raise UsageError("a configuration value does not fit", where=f"{path}, {key}", expected=expected, found=short(value))
        if flags[name].multiple:
            value = [str(v) for v in listed]
        elif isinstance(value, list):
            value = ",".join(str(v) for v in value)
        defaults[flags[name].name or name] = value
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _as_toml(value: Any) -> str:
    """A value as `-M` reads it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    return json.dumps(value)


def _option(*flags: str, help: str, **more: Any) -> Any:
    """A flag that means the same wherever it stands, and has the same variable."""
    return typer.Option(*flags, help=help, envvar=named_for(flags[0]), **more)


_DATASETS = "Your data as a path (or coco:FILE.json,IMAGES: sambench list readers), ids, id:variant, a card's path, a suite."
_MODEL = "A model's name, a card's path, or python:file.py:factory. May be repeated."
_MODEL_OR = "A name, a card's path, python:file.py:factory, or {}. May be repeated."
_NAME = "What tables call the model. May be repeated, for the models in their order."
_OPTION = "Option of the model, as weights=FILE; with several models MODEL.KEY=VALUE."
_WORKERS = "Processes on the CPU (default: one per core), or per GPU (default: as many as fit)."
_SCORING = "Where answers are scored: auto (on GPUs; of models on the CPU on the host), host, or device (torch)."
_CONFIG = "TOML file with these flags' names."
_RESULTS = "Also write the masks as a COCO results file, as evaluation servers take it (one dataset and model)."

Datasets = Annotated[list[str], _option("--datasets", "-d", metavar="NAMES", help=_DATASETS)]
Names = Annotated[list[str], _option("--name", metavar="TEXT", help=_NAME)]
Models = Annotated[list[str], _option("--model", "-m", metavar="NAME", help=_MODEL)]
Options = Annotated[list[str], _option("--option", "-M", help=_OPTION, metavar="KEY=VALUE")]
SubsetOpt = Annotated[str, _option("--subset", metavar="NAME|FILE", help="paper, full, or a file of image ids.")]
Limit = Annotated[int | None, _option("--limit", metavar="N", help="The first N images in keyed-hash order; results are PARTIAL.")]
Out = Annotated[str, _option("--out", "-o", metavar="DIR", help="Where results go: a folder, or s3://BUCKET/PATH (also gs, az).")]
Devices = Annotated[str, _option("--devices", metavar="NAMES", help="auto, cpu, cuda, or cuda:0,cuda:1.")]
Workers = Annotated[int | None, _option("--workers", metavar="N", help=_WORKERS)]
Precision = Annotated[str, _option("--precision", metavar="NAME", help="fp32 (reported numbers), tf32 (of GPUs) or bf16.")]
Scoring = Annotated[str, _option("--scoring", metavar="NAME", help=_SCORING)]
Root = Annotated[str | None, _option("--root", metavar="DIR", help="The dataset's folder, for one dataset.")]
SaveMasks = Annotated[str, _option("--save-masks", metavar="NAME", help="scored: keep every scored mask as RLE; none.")]
OnError = Annotated[str, _option("--on-error", metavar="NAME", help="record: note a failing image and go on; stop.")]
Fresh = Annotated[bool, _option("--fresh", help="Compute again; earlier results are replaced once the new ones are whole.")]
DryRun = Annotated[bool, _option("--dry-run", help="Print what would run, and where; compute nothing.")]
Quiet = Annotated[bool, _option("--quiet", "-q", help="No progress; results only.")]
Config = Annotated[
    Path | None, _option("--config", metavar="FILE", help=_CONFIG, callback=_config, is_eager=True)
]
FromFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help=_CONFIG, callback=_config, is_eager=True)]
_BACKEND = "Where workers run: local, slurm or ray (docs/running-at-scale.md)."
_TIME = "SLURM: the limit of a job (default: 240)."
BackendName = Annotated[str, _option("--backend", metavar="NAME", help=_BACKEND)]
SlurmPartition = Annotated[str | None, _option("--slurm-partition", metavar="NAME", help="SLURM: the partition.")]
SlurmAccount = Annotated[str | None, _option("--slurm-account", metavar="NAME", help="SLURM: the account.")]
SlurmQos = Annotated[str | None, _option("--slurm-qos", metavar="NAME", help="SLURM: the quality of service.")]
SlurmTime = Annotated[int | None, _option("--slurm-time", metavar="MINUTES", min=1, help=_TIME)]
SlurmGpus = Annotated[int | None, _option("--slurm-gpus", metavar="N", min=0, help="SLURM: GPUs of each worker (default: none).")]
SlurmCpus = Annotated[int | None, _option("--slurm-cpus", metavar="N", min=1, help="SLURM: CPUs of each worker.")]
SlurmMemory = Annotated[str | None, _option("--slurm-memory", metavar="SIZE", help="SLURM: memory of each worker, as 32G.")]
Detach = Annotated[bool, _option("--detach", help="SLURM: leave once the jobs are submitted.")]
Attach = Annotated[bool, _option("--attach", help="SLURM: wait for the jobs of the same command with --detach, and finish.")]
Address = Annotated[str | None, _option("--address", metavar="HOST:PORT", help="Ray: the cluster (default: this machine's).")]
RayGpus = Annotated[int | None, _option("--ray-gpus", metavar="N", min=0, help="Ray: GPUs of each worker (default: 1, if any).")]
RayCpus = Annotated[int | None, _option("--ray-cpus", metavar="N", min=1, help="Ray: CPUs of each worker (default: 1).")]
# The flags of each backend, by the name of its option.
_PLACEMENT = {
    "slurm": {
        **{name: f"slurm_{name}" for name in ("partition", "account", "qos", "time", "gpus", "cpus", "memory")},
        "detach": "detach",
        "attach": "attach",
    },
    "ray": {"address": "address", "gpus": "ray_gpus", "cpus": "ray_cpus"},
}
ResultsFile = Annotated[Path | None, _option("--results", metavar="FILE", help=_RESULTS)]


def models_or(forms: str) -> Any:
    """`Models` of a task that takes more than models."""
    return Annotated[list[str], _option("--model", "-m", metavar="NAME", help=_MODEL_OR.format(forms))]


@dataclass(frozen=True)
class Shared:
    """The flags that all commands of `sambench run` have: listed here alone, in the order of `--help`. A task's own stand after
    those of `OF_MODELS`.

    results: of the tasks whose masks make a results file.
    """

    datasets: Datasets = field(default_factory=list)
    model: Models = field(default_factory=list)
    name: Names = field(default_factory=list)
    option: Options = field(default_factory=list)
    results: ResultsFile = None
    subset: SubsetOpt = "paper"
    limit: Limit = None
    out: Out = "runs"
    devices: Devices = "auto"
    workers: Workers = None
    precision: Precision = "fp32"
    scoring: Scoring = "auto"
    root: Root = None
    save_masks: SaveMasks = "scored"
    on_error: OnError = "record"
    fresh: Fresh = False
    dry_run: DryRun = False
    quiet: Quiet = False
    config: Config = None
    backend: BackendName = "local"
    slurm_partition: SlurmPartition = None
    slurm_account: SlurmAccount = None
    slurm_qos: SlurmQos = None
    slurm_time: SlurmTime = None
    slurm_gpus: SlurmGpus = None
    slurm_cpus: SlurmCpus = None
    slurm_memory: SlurmMemory = None
    detach: Detach = False
    attach: Attach = False

    ray_gpus: RayGpus = None
    ray_cpus: RayCpus = None
    address: Address = None

    @property
    def placement(self) -> dict[str, Any]:
        """The options that the backend gets: those that were given. Variables and files may hold those of others, too."""
        flags = _PLACEMENT.get(self.backend, {})
        given = {option: getattr(self, name) for option, name in flags.items()}
        return {option: value for option, value in given.items() if value is not None and value is not False}


OF_MODELS = ("datasets", "model", "name", "option")


def run_task(task: str, command: Command, flags: Shared, given: Mapping[str, Any]) -> None:
    """What a command of `sambench run` does. given: the task's settings that its flags gave. Raises SambenchError."""
    settings = command.settings(given)
    flags = replace(flags, **command.shared())
    if flags.results is not None and flags.save_masks == "none":
        from sambench.errors import UsageError

        raise UsageError("a results file needs masks", where="--results", found="--save-masks none", remedy="leave that out")
    request = request_of(task, command, flags, settings)
    if flags.results is not None:
        _check_one_cell(request)
    after = None if flags.results is None else partial(_write_results, path=flags.results)
    run(request, flags.model, dry_run=flags.dry_run, quiet=flags.quiet, after=after)


def check_placement(backend: str, typed: list[str]) -> None:
    """Raise UsageError where flags of another backend were typed: those of variables and files may be for another day."""
    from sambench.errors import UsageError

    for other, flags in _PLACEMENT.items():
        wrong = [name for name in flags.values() if name in typed and other != backend]
        if wrong:
            names = ", ".join("--" + name.replace("_", "-") for name in wrong)
            remedy = f"leave {'them' if len(wrong) > 1 else 'it'} out, or add --backend {other}"
            raise UsageError("flags of another backend", where=names, expected=f"--backend {other}", found=backend, remedy=remedy)


def request_of(task: str, command: Command, flags: Shared, settings: Mapping[str, Any]) -> Request:
    """What the flags ask the engine for. Raises UsageError."""
    from sambench.engine.request import DEFAULT_DATASET, DEFAULT_MODEL, Request
    from sambench.errors import UsageError, unknown_name
    from sambench.sources.datasets import names_in, split_names

    for flag, value, known in (
        ("--save-masks", flags.save_masks, ("scored", "none")),
        ("--on-error", flags.on_error, ("record", "stop")),
    ):
        if value not in known:
            raise unknown_name("value", value, known, where=flag)
    for flag, names in (("--datasets", flags.datasets), ("--model", flags.model)):
        if names and not split_names(names):  # an unset variable of a script must not start the default
            raise UsageError("a flag is given without a name", where=flag, found=repr(",".join(names)))
    models = split_names(flags.model) or [command.model or DEFAULT_MODEL]
    return Request(
        task=task,
        datasets=tuple(names_in(flags.datasets) or [command.dataset or DEFAULT_DATASET]),
        models=tuple((m, options_for(m, models, flags.option)) for m in models),
        names=tuple(flags.name),
        settings=settings,
        subset=flags.subset,
        limit=flags.limit,
        out=flags.out,
        devices=tuple(split_names([flags.devices])) or ("auto",),
        workers=flags.workers,
        precision=flags.precision,
        scoring=flags.scoring,
        root=flags.root,
        save_masks="none" if flags.save_masks == "none" else "scored",
        on_error="stop" if flags.on_error == "stop" else "record",
        fresh=flags.fresh,
        backend=flags.backend,
        placement=flags.placement,
    )


def _check_one_cell(request: Request) -> None:
    """Raise UsageError where one results file would be that of several cells."""
    from sambench.errors import UsageError

    if len(request.models) > 1 or len(request.datasets) > 1:
        found = f"{len(request.datasets)} datasets, {len(request.models)} models"
        raise UsageError("one results file for several runs", where="--results", expected="one dataset and one model", found=found)


def _write_results(outcome: Outcome, path: Path) -> None:
    """The masks of a run's one cell as a results file, and what must be said of it."""
    from sambench.cli.console import err
    from sambench.results.coco_file import write_results
    from sambench.store.views import read_cell

    for cell_dir in outcome.records:
        cell = read_cell(cell_dir)
        n = write_results(cell, path)
        err().print(f"results: {n:,} masks in {path}", soft_wrap=True)
        for reason in cell.partial_reasons():
            err().print(f"results: PARTIAL: {reason}", soft_wrap=True)


def options_for(model: str, models: list[str], pairs: list[str]) -> dict[str, Any]:
    """The -M options of one model: all of them if it is alone, else those that name it."""
    from sambench.errors import UsageError
    from sambench.sources.options import parse_options

    if len(models) == 1:
        return parse_options([p.removeprefix(f"{model}.") for p in pairs])
    for pair in pairs:
        if not any(pair.startswith(f"{m}.") for m in models):
            raise UsageError(
                "a model option does not say which model it is for",
                where="-M",
                expected=f"MODEL.KEY=VALUE with one of {', '.join(models)}",
                found=pair,
            )
    return parse_options([p.removeprefix(f"{model}.") for p in pairs if p.startswith(f"{model}.")])


def run(
    request: Request, named: list[str], *, dry_run: bool, quiet: bool, after: Callable[[Outcome], None] | None = None
) -> None:
    """Run and print. named: the models that the user gave, none if the default one runs. after: what is to be done with the outcome
    of a run that was not interrupted."""
    from sambench.cli.console import echo
    from sambench.cli.progress import Reporter
    from sambench.engine.run import execute, plan

    try:
        with Reporter(quiet=quiet, defaulted="" if named else request.models[0][0]) as reporter:
            planned = plan(request, reporter.on_event)
            if not dry_run:
                reporter.announce(planned)
                outcome = execute(planned, reporter.on_event)
    except KeyboardInterrupt:  # before or after the images: while they are computed the engine heeds it
        echo("interrupted: what is computed is kept; issue the same command again to go on", err=True)
        raise typer.Exit(130) from None
    if dry_run:
        _print_plan(planned)
        return
    _print_outcome(outcome)
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failure is not None:
        raise outcome.failure
    if after is not None:
        after(outcome)
    if any(r.status == "incomplete" for r in outcome.records.values()):
        raise typer.Exit(1)


def _print_plan(planned: Plan) -> None:
    from rich.table import Table

    from sambench.cli.console import out
    from sambench.engine.cells import finished_record
    from sambench.provenance import canonical_json

    console = out()
    table = Table(title=f"would run {planned.cells[0].task.protocol}", title_justify="left", box=None)
    for name in ("model", "device", "dataset", "subset", "images", "masks", "cell", "state"):
        table.add_column(name, justify="right" if name in ("images", "masks") else "left")
    for cell in planned.cells:
        subset = cell.target.subset
        counts = {r.image_id: r.n_masks for r in cell.target.dataset.index()}
        state = "done: would be reused" if finished_record(cell) else ("begun" if cell.cell_dir.exists() else "new")
        if planned.request.fresh and state != "new":
            state = "would be replaced"
        masks = sum(counts[i] for i in cell.wanted)
        images = str(len(cell.wanted))
        where = (cell.model.spec.device, cell.target.card.id, subset.name)
        table.add_row(cell.model.called, *where, images, str(masks), str(cell.cell_dir), state)
    console.print(table)
    console.print(f"settings: {canonical_json(planned.cells[0].task.identity())}", soft_wrap=True)
    for line in (*planned.notes, *_left_out(planned), *_missing(planned)):
        console.print(line, soft_wrap=True)


def _print_outcome(outcome: Outcome) -> None:
    from sambench.cli.console import err, out, quoted
    from sambench.layout import render_rich
    from sambench.results.tables import result_table
    from sambench.store.views import find_cells

    cells = [c for path in outcome.records for c in find_cells(str(path), Path(outcome.plan.request.out))]
    console = out()
    if cells and outcome.failure is None:
        console.print(render_rich(result_table(cells, suites=outcome.plan.suites)))
    notes = err()
    for line in _missing(outcome.plan):
        notes.print(line, soft_wrap=True)
    for rec in outcome.records.values():
        for failure in rec.failures[:5]:
            notes.print(
                f"failed: {rec.dataset.id} image {failure.image_id}: {failure.error}", soft_wrap=True
            )
        if n := rec.counts.n_images_failed:
            notes.print(f"{n} images failed and are in no number; the same command tries them again", soft_wrap=True)
    for line in _cells_by_run(outcome):
        notes.print(line, soft_wrap=True)
    if outcome.interrupted:
        fresh = "results from before stay; the same command starts over, and without --fresh it goes on with what is there"
        kept = "what is computed is kept; issue the same command again to go on"
        notes.print(f"interrupted: {fresh if outcome.plan.request.fresh else kept}")
    elif outcome.records and outcome.failure is None:
        first = next(iter(outcome.records)).parent
        notes.print(f"next: sambench table {quoted(first)}", soft_wrap=True)


def _cells_by_run(outcome: Outcome) -> list[str]:
    """`complete: DIR`, a line a cell; one for all of a run's that ended alike, where they are many."""
    ended: dict[tuple[str, Path], list[Path]] = {}
    for path, rec in outcome.records.items():
        ended.setdefault((rec.status, path.parent), []).append(path)
    out = []
    for (status, run), paths in ended.items():
        out += [f"{status}: {p}" for p in paths] if len(paths) <= SHOWN_CELLS else [f"{status}: {len(paths)} datasets in {run}"]
    return out


def _left_out(planned: Plan) -> list[str]:
    """What a look at the first images of each dataset shows: what is left out by kind, and what must be said of the files."""
    from sambench.loaders.survey import survey

    said = []
    for c in {c.target.spec: c for c in planned.cells}.values():
        subset, records = c.target.subset, c.target.dataset.index()
        lines = [*filter(None, [subset.note]), *survey(c.target.dataset, c.wanted).sentences()]
        if subset.name in ("paper", "full"):
            chosen = set(subset.image_ids)
            empty = survey(c.target.dataset, [r.image_id for r in records if not r.n_masks and r.image_id not in chosen])
            lines += [f"in images without masks: {text}" for text in empty.sentences()]
        said += [f"{c.target.card.id}: {text}" for text in lines]
    return said


def _missing(planned: Plan) -> list[str]:
    """Members of a suite that are not here, a line for each way of getting them."""
    from sambench.errors import SambenchError
    from sambench.getting.datasets import offer

    ways: dict[str, list[str]] = {}
    for missing in planned.missing:
        try:
            wanted = offer(missing.name)
            verb = "data get" if wanted.automatic else "show dataset"
            way = f"{wanted.how} (sambench {verb} NAME)"
        except SambenchError:
            way = missing.why
        ways.setdefault(way, []).append(missing.name)
    return [f"not here: {', '.join(names)}: {way}" for way, names in ways.items()]
