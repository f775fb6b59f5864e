"""Two examples for every command, printed below its `--help`. A test runs them."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, tuple[str, str]] = {
    "demo": ("sambench demo", "sambench demo --out tour --no-open"),
    "run point": (
        "sambench run point --datasets demo --model sam_nano --model otsu --limit 2",
        "sambench run point --datasets my_leaves/ --model python:mymodel.py:make",
    ),
    "run box": (
        "sambench run box --datasets demo --model otsu --limit 2",
        "sambench run box --datasets objects:my_leaves --model grabcut --save-masks none",
    ),
    "run edge": (
        "sambench run edge --datasets demo --model sobel",
        "sambench run edge --datasets demo --model canny -M sigma=2 --limit 2",
    ),
    "run proposals": (
        "sambench run proposals --datasets demo --model sam_nano --grid 8 --limit 1",
        "sambench run proposals --datasets demo --model sam_nano --dry-run",
    ),
    "run instances": (
        "sambench run instances --datasets demo --model detections --limit 2",
        "sambench run instances --datasets demo --boxes demo_detector --model otsu --limit 1",
    ),
    "run concepts": (
        "sambench run concepts --datasets demo --model colour_words --limit 2",
        "sambench run concepts --datasets demo --model colour_words --prompt both --limit 1",
    ),
    "status": ("sambench status", "sambench status otsu"),
    "table": ("sambench table otsu grabcut", "sambench table otsu --format markdown"),
    "plot": ("sambench plot otsu", "sambench plot otsu grabcut --out curves"),
    "compare": ("sambench compare otsu grabcut", "sambench compare otsu grabcut --format csv"),
    "rescore": ("sambench rescore otsu", "sambench rescore otsu --group-by category"),
    "report": ("sambench report results", "sambench report fig9c otsu grabcut --format png,csv --out figure"),
    "reproduce": ("sambench reproduce paper otsu", "sambench reproduce paper otsu --format csv"),
    "gallery": ("sambench gallery otsu", "sambench gallery otsu grabcut --by disagreement -n 4 --format html"),
    "results export": ("sambench results export otsu", "sambench results export otsu grabcut --out both.zip"),
    "results import": ("sambench results import both.zip", "sambench results import both.zip --out theirs"),
    "rate make": (
        "sambench rate make --datasets demo --model otsu --model grabcut --per-dataset 4 --out study",
        "sambench rate make --datasets demo --model otsu --per-dataset 2 --image-format png --out small",
    ),
    "rate simulate": ("sambench rate simulate study", "sambench rate simulate study --raters 3 --seed 1"),
    "rate serve": ("sambench rate serve study", "sambench rate serve study --invite 3 --raters-per-job 2"),
    "rate stats": ("sambench rate stats study/ratings.sqlite", "sambench rate stats ratings.csv --key study/key.csv --format json"),
    "rate report": ("sambench rate report study/ratings.sqlite", "sambench rate report study/ratings.sqlite --format md"),
    "masks": (
        "sambench masks photo.png --model sam_nano --grid 4 --out found",
        "sambench masks photos/ --preset paper --out found",
    ),
    "probe": (
        "sambench probe demo --model sam_nano --limit 1 --most 4 --format png",
        "sambench probe my_leaves/ --model sam_nano --limit 1 --across --out alike",
    ),
    "text": (
        "sambench text demo:concepts --limit 1 -n 2 --format png",
        "sambench text demo:concepts --model colour_words --segmenter grabcut --limit 1 -n 1 --out phrases",
    ),
    "list datasets": ("sambench list datasets", "sambench list datasets --suite sa23 --format markdown"),
    "list models": ("sambench list models", "sambench list models | grep sam2"),
    "list readers": ("sambench list readers", "sambench list readers --format markdown"),
    "list tasks": ("sambench list tasks", "sambench list tasks | head -3"),
    "list reports": ("sambench list reports", "sambench list reports | grep table"),
    "show reader": ("sambench show reader yolo", "sambench show reader labels"),
    "show dataset": ("sambench show dataset demo", "sambench show dataset hypersim"),
    "show model": ("sambench show model sam_nano", "sambench show model sam_vit_h"),
    "show run": ("sambench show run otsu", "sambench show run otsu grabcut"),
    "new dataset": (
        "sambench new dataset leaves --from my_leaves/",
        "sambench new dataset leaves2 --from objects:my_leaves --out leaves.toml",
    ),
    "new model": ("sambench new model mymodel", "sambench new model second --out models/second.py"),
    "data get": ("sambench data get demo", "sambench data get bbbc038v1 --yes"),
    "data where": ("sambench data where demo", "sambench data where bbbc038v1"),
    "data adopt": ("sambench data adopt bbbc038v1 downloads/nuclei", "sambench data adopt doors downloads/doors"),
    "data verify": ("sambench data verify my_leaves/", "sambench data verify demo"),
    "data preview": ("sambench data preview my_leaves/", "sambench data preview demo -n 4"),
    "check model": ("sambench check model otsu", "sambench check model python:mymodel.py:make"),
    "plan": (
        "sambench plan point --datasets all --model sam_vit_h --devices 8xh100",
        "sambench plan point --datasets bbbc038v1,doors --model sam_vit_h --devices 1xh200 --precision bf16",
    ),
    "bench": ("sambench bench otsu", "sambench bench sam_nano grabcut"),
    "runs list": ("sambench runs list", "sambench runs list --json"),
    "runs du": ("sambench runs du", "sambench runs du --json"),
    "runs rm": ("sambench runs rm grabcut --dry-run --force", "sambench runs rm grabcut --force"),
    "runs gc": ("sambench runs gc --dry-run", "sambench runs gc"),
    "watch": (
        "sambench watch checkpoints/ --model sam_nano --task box --datasets demo --limit 4",
        "sambench watch checkpoints/ --model sam_vit_b --datasets demo --against best --worse-by 0.01",
    ),
    "doctor": ("sambench doctor", "sambench doctor | head -20"),
}


def give(command: Any, path: tuple[str, ...] = ()) -> None:
    """Print the examples below the help of every command at and below `path`."""
    for name, below in getattr(command, "commands", {}).items():
        give(below, (*path, name))
    lines = EXAMPLES.get(" ".join(path))
    if lines:
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
