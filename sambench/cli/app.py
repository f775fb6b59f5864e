"""The command tree. Bodies import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sambench import __version__
from sambench.cli import (
    bench,
    bundle,
    check,
    data,
    demo,
    doctor,
    examples,
    ledger,
    masks,
    new,
    plan,
    probe,
    rate,
    rate_serve,
    report,
    rescore,
    results,
    runs,
    show,
    spellings,
    status,
    task_commands,
    text,
    usage,
    variables,
    watch,
)


class _Root(TyperGroup):
    """Commands in the order in which one uses them, not groups last; every flag of theirs with its variable."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        variables.give(self)
        examples.give(self)
        spellings.give(self)
        usage.give(self)
        variables.refuse_empty(self)

    def list_commands(self, ctx: Any) -> list[str]:
        order = (
            "demo", "run", "watch", "status", "table", "plot", "compare", "rescore", "report", "reproduce", "gallery", "results",
            "runs", "rate", "masks", "probe", "text", "list", "show", "new", "data", "check", "plan", "bench", "doctor",
        )  # fmt: skip
        return sorted(super().list_commands(ctx), key=lambda name: order.index(name) if name in order else len(order))


app = typer.Typer(
    name="sambench",
    cls=_Root,
    help="Zero-shot evaluation of promptable segmentation: pinned protocols, exact metrics, real datasets.",
    epilog=variables.RULE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", short_help="The six tasks in two minutes, and a report.")(demo.demo)
app.add_typer(task_commands.app, name="run")
app.add_typer(show.list_app, name="list")
app.add_typer(show.show_app, name="show")
app.add_typer(new.app, name="new")
app.add_typer(data.app, name="data")
app.add_typer(rate.app, name="rate", short_help="A rating study by people.")
rate.app.command("serve")(rate_serve.serve)
rate.app.command("simulate")(rate_serve.simulate)
rate.app.command("report")(rate_serve.report)
app.add_typer(check.app, name="check")
app.command("plan", short_help="How long a run takes on GPUs.")(plan.plan)
app.command("bench", short_help="What models cost: time, memory, parameters.")(bench.bench)
app.command("doctor", short_help="Check this machine.")(doctor.doctor)
app.command("status", short_help="How far runs are.")(status.status)
app.command("watch", short_help="A training's checkpoints, as they appear.")(watch.watch)
app.command("table", short_help="The table of one or several runs.")(results.table)
app.command("plot", short_help="Curves and sheets of a task's runs.")(results.plot)
app.command("rescore", short_help="Metrics again from stored rows.")(rescore.rescore)
app.command("compare", short_help="Two runs, paired by object.")(results.compare)
app.command("masks", short_help="Automatic masks of images.")(masks.masks)
app.command("probe", short_help="Masks alike to a model's encoder.")(probe.probe)
app.command("text", short_help="Masks of phrases, and a point where they fail.")(text.text)
app.command("report", short_help="The paper's tables and figures, from runs.")(report.report)
app.command("reproduce", short_help="The ledger of published numbers.")(ledger.reproduce)
app.command("gallery", short_help="Worst objects, as a sheet.")(report.gallery)
app.add_typer(bundle.app, name="results")
app.add_typer(runs.app, name="runs")
show.show_app.command("run")(results.show_run)
show.list_app.command("reports")(report.list_reports)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sambench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Zero-shot evaluation of promptable segmentation: pinned protocols, exact metrics, real datasets."""
    variables.warn_of_unknown(ctx.command)
