"""What is asked of the engine, made of flags: in one way for every command that evaluates models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from sambench.cli.options import Shared

if TYPE_CHECKING:
    from sambench.engine.request import Request
    from sambench.tasks.command import Command


class Asked(TypedDict):
    """What flags of the same names say, in fields of `engine.request.Request` and of `rating.jobs.Study`."""

    datasets: tuple[str, ...]
    models: tuple[tuple[str, dict[str, Any]], ...]
    subset: str
    root: str | None
    out: str
    devices: tuple[str, ...]
    workers: int | None
    precision: str


def asked_for(
    *,
    datasets: Sequence[str],
    model: Sequence[str],
    option: Sequence[str],
    subset: str,
    root: str | None,
    out: str,
    devices: str,
    workers: int | None,
    precision: str,
) -> Asked:
    """What `--datasets`, `--model`, `-M`, `--devices` and their like ask for; no dataset or model where none is named.

    Names of datasets may hold commas (`coco:FILE,IMAGES`), those of models and devices are parted by them. Raises UsageError.
    """
    from sambench.errors import UsageError
    from sambench.sources.datasets import names_in, split_names

    for flag, names in (("--datasets", datasets), ("--model", model)):
        if names and not split_names(names):  # an unset variable of a script must not start the default
            raise UsageError("a flag is given without a name", where=flag, found=repr(",".join(names)))
    models = split_names(model)
    return Asked(
        datasets=tuple(names_in(datasets)),
        models=tuple((name, options_for(name, models, option)) for name in models),
        subset=subset,
        root=root,
        out=out,
        devices=tuple(split_names([devices])) or ("auto",),
        workers=workers,
        precision=precision,
    )


def request_of(task: str, command: Command, flags: Shared, settings: Mapping[str, Any]) -> Request:
    """What the flags of `sambench run TASK` ask for. Raises UsageError."""
    from sambench.engine.request import DEFAULT_DATASET, DEFAULT_MODEL, Request

    asked = asked_for(
        datasets=flags.datasets or [command.dataset or DEFAULT_DATASET],
        model=flags.model or [command.model or DEFAULT_MODEL],
        option=flags.option,
        subset=flags.subset,
        root=flags.root,
        out=flags.out,
        devices=flags.devices,
        workers=flags.workers,
        precision=flags.precision,
    )
    return Request(
        **asked,
        task=task,
        names=tuple(flags.name),
        settings=settings,
        limit=flags.limit,
        scoring=cast("Any", flags.scoring),  # the request checks its words
        save_masks=cast("Any", flags.save_masks),
        on_error=cast("Any", flags.on_error),
        fresh=flags.fresh,
        backend=flags.backend,
        placement=flags.placement,
    )


def options_for(model: str, models: Sequence[str], pairs: Sequence[str]) -> dict[str, Any]:
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
