"""`sambench masks`: automatic masks of pictures, without a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.console import echo
from sambench.cli.running import Devices, Options, Precision, Quiet

if TYPE_CHECKING:
    from sambench.automatic.settings import AutomaticSettings
    from sambench.sources.models import ResolvedModel

_PRESET = "code: the released generator's defaults; paper: appendix B (crops, full-image filter, clean-up)."
_CLEANUP = "paper: small masks go, small holes are filled; code: holes, then islands but the largest, then suppression again."
_SETTINGS = (
    "grid", "pred_iou", "stability", "stability_offset", "max_image_share", "nms_iou", "crop_layers", "crop_nms_iou",
    "crop_overlap", "crop_grid_divisor", "min_area_px", "cleanup",
)  # fmt: skip


def masks(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Images, or folders of them: JPEG, PNG and whatever else Pillow reads."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where NAME_masks.json and NAME_masks.png go.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="A name, a card's path, or python:file.py:factory.")
    ] = "",
    option: Options = [],  # noqa: B006 - typer copies it
    preset: Annotated[str, typer.Option("--preset", metavar="NAME", help=_PRESET)] = "code",
    grid: Annotated[int | None, typer.Option("--grid", metavar="N", help="Points a side on the whole image (32).")] = None,
    pred_iou: Annotated[float | None, typer.Option("--pred-iou", metavar="X", help="Least predicted IoU (.88; 0: any).")] = None,
    stability: Annotated[float | None, typer.Option("--stability", metavar="X", help="Least stability (.95; 0: any).")] = None,
    stability_offset: Annotated[
        float | None, typer.Option("--stability-offset", metavar="X", help="Logits compared for stability (1).")
    ] = None,
    max_image_share: Annotated[
        float | None, typer.Option("--max-image-share", metavar="X", help="Masks that cover as much of the image go.")
    ] = None,
    nms_iou: Annotated[float | None, typer.Option("--nms-iou", metavar="IOU", help="Box suppression in a crop (.7).")] = None,
    crop_layers: Annotated[int | None, typer.Option("--crop-layers", metavar="N", help="Layer i adds (2^i)^2 crops.")] = None,
    crop_nms_iou: Annotated[float | None, typer.Option("--crop-nms-iou", metavar="IOU", help="The same across crops (.7).")] = None,
    crop_overlap: Annotated[float | None, typer.Option("--crop-overlap", metavar="X", help="Of crops, of the short side.")] = None,
    crop_grid_divisor: Annotated[
        int | None, typer.Option("--crop-grid-divisor", metavar="N", help="Fewer points a side by layer.")
    ] = None,
    min_area_px: Annotated[int | None, typer.Option("--min-area-px", metavar="N", help="Islands and holes to clean up.")] = None,
    cleanup: Annotated[str | None, typer.Option("--cleanup", metavar="NAME", help=_CLEANUP)] = None,
    devices: Devices = "auto",
    precision: Precision = "fp32",
    quiet: Quiet = False,
) -> None:
    """Masks of everything in a picture: a JSON in SA-1B's form, and a coloured overlay as PNG, for each image.

    The folder of the results is read again as proposals:DIR (a model) and as sa1b:DIR,IMAGES (a dataset). What is there
    already, of the same picture, model and settings, is kept.
    """
    from sambench.automatic.settings import preset as preset_of
    from sambench.engine.plan import prepare_out

    flags = locals()
    settings = preset_of(preset, **{k: flags[k] for k in _SETTINGS if flags[k] is not None})
    images = _pictures(images)
    outputs = _checked(images, out)
    resolved = _resolve(model, option, devices, precision, quiet)
    prepare_out(out)
    failed = _run(images, outputs, resolved, settings, preset, quiet)
    if failed:
        echo(f"{failed} of {len(images)} images failed", err=True)
        raise typer.Exit(1)


def _pictures(given: Sequence[Path]) -> list[Path]:
    """The pictures themselves, each once, those of folders by name; our own overlays in them are none."""
    from sambench.errors import UsageError
    from sambench.loaders.file_patterns import SUFFIXES
    from sambench.loaders.sa1b import SUFFIX

    out: list[Path] = []
    for path in given:
        if not path.is_dir():
            out.append(path)
            continue
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())
        if not found:
            remedy = "name the folder in which the images lie themselves"
            raise UsageError("a folder holds no images", where=path, expected=f"files {', '.join(SUFFIXES)}", remedy=remedy)
        out += [p for p in found if not (p.stem.endswith(SUFFIX) and p.with_suffix(".json").is_file())]
    return list({path.absolute(): path for path in out}.values())


def _checked(images: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(JSON, PNG) for each picture. Raises before anything is computed: pictures that cannot be read, names that clash."""
    from sambench.errors import UsageError
    from sambench.loaders.images import read_size
    from sambench.loaders.sa1b import SUFFIX

    taken: dict[str, Path] = {}
    for path in images:
        read_size(path)
        if path.stem in taken:
            found = f"{taken[path.stem]} and {path}"
            remedy = "run them one after another, into directories of their own"
            raise UsageError(
                "two images would give files of the same name", expected="names that differ", found=found, remedy=remedy
            )
        taken[path.stem] = path
    outputs = [(out / f"{stem}{SUFFIX}.json", out / f"{stem}{SUFFIX}.png") for stem in taken]
    inputs = {p.resolve() for p in images}
    for pair in outputs:
        for file in pair:
            if file.resolve() in inputs:
                remedy = "choose another directory with --out"
                raise UsageError("a result would take the place of an image", where=file, remedy=remedy)
    return outputs


def _resolve(model: str, option: Sequence[str], devices: str, precision: str, quiet: bool) -> ResolvedModel:
    from sambench.device.precision import check_precision
    from sambench.engine.request import DEFAULT_MODEL
    from sambench.errors import UsageError
    from sambench.sources.models import gives_of, resolve
    from sambench.sources.options import parse_options

    check_precision(precision)
    name = model or DEFAULT_MODEL
    gives = gives_of(name)
    if gives not in (None, "masks", "single_mask"):
        expected = "a segmenter, which answers clicks with masks"
        raise UsageError(
            f"model {name!r} makes no masks of an image", where="--model", expected=expected, found=f"one that gives {gives}"
        )
    if not model and not quiet:
        echo(f"model: {name} (the default; --model chooses another)", err=True)
    return resolve(name, parse_options([p.removeprefix(f"{name}.") for p in option]), device=devices, precision=precision)


def _run(
    images: Sequence[Path],
    outputs: Sequence[tuple[Path, Path]],
    model: ResolvedModel,
    settings: AutomaticSettings,
    preset: str,
    quiet: bool,
) -> int:
    """Picture by picture; returns how many failed. A failing picture is told and leaves no file."""
    from sambench.device.precision import computing
    from sambench.engine.failures import describe_error
    from sambench.errors import ModelError, RunError
    from sambench.sources.models import build

    segmenter = build(model.spec)
    failed = 0
    kind = model.spec.device.partition(":")[0]
    with _Progress(len(images), quiet=quiet) as progress, computing(model.spec.precision, kind):
        for path, (json_path, png_path) in zip(images, outputs, strict=True):
            progress.begin(path.name)
            try:
                n = _one(path, json_path, png_path, segmenter, model, settings, preset, progress.on_points)
            except (RunError, ModelError):  # the folder or the model, not the picture
                raise
            except Exception as e:  # noqa: BLE001 - a picture that is broken, or that a model fails on, is no reason to leave the others
                progress.say(f"{path}: {describe_error(e)}")
                failed += 1
                continue
            progress.done(path.name, *n)
            echo(f"{json_path}\n{png_path}")
    return failed


def _one(
    path: Path,
    json_path: Path,
    png_path: Path,
    segmenter: Any,
    model: ResolvedModel,
    settings: AutomaticSettings,
    preset: str,
    on_points: Callable[[int, int], None],
) -> tuple[int, bool]:
    """(number of masks, whether they were there already)."""
    from sambench.automatic.generate import generate, settings_dict
    from sambench.files.content import file_sha256
    from sambench.loaders.images import read_rgb
    from sambench.report.masks import masks_json, overlay, stored_masks, write_masks

    image = read_rgb(path)
    device = model.spec.device if model.spec.device.startswith("cuda") else None
    with_stability = settings.stability > 0
    height, width = image.shape[:2]
    about = {"image_id": path.stem, "file_name": path.name, "width": width, "height": height, "sha256": file_sha256(path)}
    made_by = {
        "model": {"id": model.id, "name": model.title, **model.identity},
        "preset": preset,
        "settings": settings_dict(settings),
    }
    held = stored_masks(json_path, png_path, about, made_by)
    if held is not None:
        return held, True
    found = generate(segmenter, image, settings, with_stability=with_stability, device=device, on_points=on_points)
    write_masks(masks_json(found, about, made_by), overlay(image, [m.rle for m in found]), json_path, png_path)
    return len(found), False


class _Progress:
    """A bar of points in a terminal, a line a picture elsewhere; on standard error."""

    def __init__(self, n_images: int, *, quiet: bool) -> None:
        from sambench.cli.console import err

        self.console, self.quiet, self.n_images, self.k = err(), quiet, n_images, 0
        self.bar: Any = None

    def __enter__(self) -> _Progress:
        if self.console.is_terminal and not self.quiet:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text, points = TextColumn("{task.description}", markup=False), TextColumn("{task.completed}/{task.total} points")
            self.bar = Progress(text, BarColumn(bar_width=24), points, TimeRemainingColumn(), console=self.console, transient=True)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def begin(self, name: str) -> None:
        """Of a picture."""
        self.k += 1
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self.bar.add_task(f"{name} ({self.k} of {self.n_images})", total=None)

    def on_points(self, done: int, total: int) -> None:
        """How many points of the picture's are answered."""
        if self.bar:
            self.bar.update(self.bar.task_ids[-1], completed=done, total=total)

    def done(self, name: str, n_masks: int, stored: bool) -> None:
        """With a picture."""
        if not self.quiet and stored:
            self.say(f"{name}: {n_masks} masks, there already ({self.k} of {self.n_images})")
        elif not self.quiet:
            hint = "" if n_masks else "; none passes the filters: try lower ones with --pred-iou and --stability"
            self.say(f"{name}: {n_masks} masks ({self.k} of {self.n_images}){hint}")

    def say(self, text: str) -> None:
        """One line."""
        (self.bar.console if self.bar else self.console).print(text, soft_wrap=True)
