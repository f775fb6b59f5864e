"""Flags that mean the same in several commands, and what all commands of `sambench run` have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from sambench.cli.config_file import read_config
from sambench.cli.variables import named_for

Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
First = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The first N images in keyed-hash order.")]


def typed(ctx: typer.Context, name: str) -> bool:
    """Whether a flag stands on the command line itself, rather than in a variable or a file: those may be for another day."""
    return getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"


def refuse(ctx: typer.Context, names: Sequence[str], why: str, *, remedy: str = "") -> None:
    """Raise UsageError where flags were typed that would be ignored. names: of the parameters; why: they say nothing here."""
    wrong = [p.opts[0] for p in ctx.command.params if p.name in names and typed(ctx, p.name)]
    if wrong:
        from sambench.errors import UsageError

        leave = f"leave {' and '.join(wrong)} out"
        remedy = f"{leave}, or {remedy}" if remedy else leave
        raise UsageError(f"a flag would be ignored: {why}", where=", ".join(wrong), remedy=remedy)


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
    Path | None, _option("--config", metavar="FILE", help=_CONFIG, callback=read_config, is_eager=True)
]
FromFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help=_CONFIG, callback=read_config, is_eager=True)]
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


OF_MODELS = ("datasets", "model", "name", "option")  # those that come before a task's own


def check_placement(backend: str, typed: list[str]) -> None:
    """Raise UsageError where flags of another backend were typed: those of variables and files may be for another day."""
    from sambench.errors import UsageError

    for other, flags in _PLACEMENT.items():
        wrong = [name for name in flags.values() if name in typed and other != backend]
        if wrong:
            names = ", ".join("--" + name.replace("_", "-") for name in wrong)
            remedy = f"leave {'them' if len(wrong) > 1 else 'it'} out, or add --backend {other}"
            raise UsageError("flags of another backend", where=names, expected=f"--backend {other}", found=backend, remedy=remedy)
