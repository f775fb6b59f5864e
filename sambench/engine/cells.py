"""A cell's directory: its record, its list of images, and the metrics made of its rows when it is done."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sambench import provenance, tasks
from sambench.engine.annotations import Annotations
from sambench.engine.plan import SHARD_SIZE, CellSpec
from sambench.errors import DataError, RunError, SambenchError, UsageError
from sambench.files import content, mirror
from sambench.files.places import place_of
from sambench.files.writing import storage_error, write_bytes, write_json, write_text
from sambench.paths import RECORD, RUN_FILE
from sambench.schema import METRIC_COLUMNS
from sambench.sources.data.base import DatasetSpec
from sambench.store.labels import label_of_run
from sambench.store.leases import holder
from sambench.store.metric_rows import cell_columns, stored_metric_rows
from sambench.store.record import FINISHED, IMAGES, METRIC_FILES, SCHEMA_VERSION, CellRecord, read_record, write_record
from sambench.store.shards import ImageState, Shard, ShardStore
from sambench.store.tally import tally
from sambench.store.vouching import misfits, shard_digests, vouch
from sambench.text import csv_frame

MAX_LISTED_FAILURES = 200


def store_of(cell: CellSpec) -> ShardStore:
    """The cell's shards."""
    return ShardStore(cell.cell_dir, cell.target.subset.image_ids, SHARD_SIZE, cell.task.columns)


def open_cell(cell: CellSpec) -> ShardStore:
    """Create the directories and the records that do not change; returns the shards."""
    store = store_of(cell)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise storage_error(e, store.folder) from e
    broken = next((i for i in cell.target.subset.image_ids if "\n" in i or not i), None)
    if broken is not None:
        raise DataError(
            f"an image of {cell.target.card.id} has an id that no list can hold",
            expected="an id without line breaks",
            found=repr(broken),
            remedy="rename that image",
        )
    write_text(cell.cell_dir / IMAGES, "".join(f"{i}\n" for i in cell.target.subset.image_ids))
    label = cell.model.label or label_of_run(cell.run_dir)
    write_json(
        cell.run_dir / RUN_FILE,
        {
            "task": {"name": cell.task.name, **cell.task.identity()},
            "model": {"id": cell.model.id, "name": cell.model.title, **cell.model.identity},
            **({"label": label} if label else {}),
        },
    )
    return store


def missing_images(store: ShardStore, n: int, limit: int | None, pictures: Mapping[str, str], invocation: str | None) -> list[str]:
    """Images of shard n that are wanted and not there: never computed, failed in an earlier command, or changed on disk since.

    pictures: by image id the file, or ''.
    """
    states = store.states(n)
    todo = []
    for image_id in store.members(n, limit):
        state = states.get(image_id)
        changed = state is not None and _changed(state.picture, pictures.get(image_id, ""))
        tried = state is not None and state.invocation == invocation
        if state is None or ((changed or state.status == "failed") and not tried):
            todo.append(image_id)
    return todo


def _changed(picture: str, file: str) -> bool:
    """Whether a file is there that is not the one that was evaluated. What is gone since is no other input."""
    try:
        return bool(picture and file) and content.file_sha256(Path(file)) != picture
    except OSError:
        return False


def record_content(
    cell: CellSpec, states: Mapping[str, ImageState], status: str, *, started: str, save_masks: str, wall_s: float
) -> dict[str, Any]:
    """The content of cell.json."""
    failed = {i: s.error for i, s in states.items() if s.status == "failed"}
    ok = [s for s in states.values() if s.status == "ok"]
    subset, target = cell.target.subset, cell.target
    encode = sorted(s.encode_ms for s in ok)
    said = tally(ok)
    return {
        "schema_version": SCHEMA_VERSION,
        "cell_id": cell.cell_id,
        "task": {"name": cell.task.name, "protocol": cell.task.protocol, "settings": tasks.settings_of(cell.task)},
        "model": {"id": cell.model.id, "name": cell.model.title, **{k: v for k, v in cell.model.identity.items() if k != "id"}},
        "dataset": {"name": target.card.name, **_found_at(target.spec), **cell.identity["dataset"]},
        "subset": {**asdict(subset), "image_ids": None, "n_images": len(subset.image_ids)},
        "shard_size": SHARD_SIZE,
        "limit": cell.limit if cell.limit is not None and cell.limit < len(subset.image_ids) else None,
        "status": status,
        "counts": {
            "n_images_total": len(subset.image_ids),
            "n_images_done": len(ok),
            "n_images_failed": len(failed),
            "n_objects": sum(s.n_objects for s in ok),
            "n_dropped": sum(s.n_dropped for s in ok),
            "left_out": dict(said.left_out),
        },
        "notes": dict(said.notes),
        "failures": [{"image_id": i, "error": e} for i, e in list(failed.items())[:MAX_LISTED_FAILURES]],
        "save_masks": save_masks,
        "environment": provenance.environment(),
        "timings": {
            "wall_s": round(wall_s, 3),
            "image_seconds": round(sum(s.seconds for s in ok), 3),
            "encode_ms_median": round(encode[len(encode) // 2], 3) if encode else None,
        },
        "started": started,
        "finished": now(),
        "identity": cell.identity,
        "results": None,
    }


def _found_at(spec: DatasetSpec) -> dict[str, str | None]:
    """By what the dataset was named, and the folder it was read from; URLs where that was an object store."""
    return {"source": mirror.with_urls(spec.name), "root": spec.root and mirror.with_urls(spec.root)}


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_metrics(cell_dir: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """metrics.csv and metrics.parquet, written aside and renamed."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(METRIC_COLUMNS))
    write_text(cell_dir / "metrics.csv", csv_frame(frame))
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False, write_page_checksum=True)
    write_bytes(cell_dir / "metrics.parquet", sink.getvalue())


def look(cell: CellSpec) -> None:
    """See what others have written of the cell. Raises RunError."""
    try:
        place_of(cell.cell_dir).refresh_below(cell.cell_dir)
    except OSError as e:
        raise storage_error(e, cell.cell_dir) from e


def finish(
    cell: CellSpec, *, started: str, save_masks: str, wall_s: float, interrupted: bool, invocation: str = ""
) -> CellRecord:
    """Write the metrics if every wanted image was tried, then cell.json, which vouches for all of it; returns the record.

    Killed in between it leaves a record that says `running`, or that does not fit the files beside it; the next command sees
    either and finishes anew. A cell that holds more than this command asked for is finished as what it is: complete cells stay
    complete under `--limit`. invocation: this command's id. Raises RunError where the dataset's annotations are no longer the
    cell's.
    """
    look(cell)
    store = store_of(cell)
    shards, states = shard_digests(store), store.all_states()
    everything = cell.target.subset.image_ids
    # A failure anywhere leaves a set without scores where only whole ones are scored; the part asked for may have some.
    held = {i for i, s in states.items() if s.status == "ok" or not cell.task.whole_sets_only}
    whole = held.issuperset(everything)
    wanted = everything if whole else cell.wanted
    here = {i: states[i] for i in wanted if i in states}
    if len(here) < len(wanted):
        status = "interrupted" if interrupted else "running"
    elif any(s.status == "failed" for s in here.values()):
        status = "incomplete"
    else:
        status = "complete" if whole else "partial"
    rec = record_content(cell, here, status, started=started, save_masks=save_masks, wall_s=wall_s)
    if whole:
        rec["limit"] = None
    if len(here) == len(wanted):
        _check_annotations(cell, store, invocation)
        write_metrics(cell.cell_dir, stored_metric_rows(cell.task, store, wanted, cell_columns(CellRecord.of(rec))))
        rec["results"] = vouch(cell.cell_dir, store)
        if rec["results"]["shards"] != shards:  # another command writes rows at this moment: it will finish
            rec |= {"status": "running", "results": None}
    else:  # metrics of an earlier, smaller run would look like this one's
        _remove_metrics(cell.cell_dir)
    return write_record(cell.cell_dir, rec)


def _check_annotations(cell: CellSpec, store: ShardStore, invocation: str) -> None:
    """That the cell's rows may be vouched for. Of a reader whose files nobody saw, what was made meanwhile goes."""
    now = Annotations(cell.target.dataset)
    wrong = now.misfit(str(cell.identity["dataset"]["annotation_digest"]))
    if wrong is None:
        return
    for n in range(len(store)) if not now.files else ():  # else workers have compared for each image
        shard = store.read(n)
        kept = {i: state for i, state in shard.images.items() if state.invocation != invocation}
        if len(kept) < len(shard.images):
            place_of(store.path(n)).remove(store.path(n))
            if kept:
                store.write(n, Shard(kept, {i: shard.rows[i] for i in kept}))
    raise wrong


def _remove_metrics(cell_dir: Path) -> None:
    for name in METRIC_FILES:
        place_of(cell_dir).remove(cell_dir / name)


def check_whole(group: Sequence[CellSpec]) -> None:
    """Raise RunError where workers ended by themselves, and there are wanted images that nobody has tried."""
    for cell in group:
        tried = store_of(cell).all_states().keys()
        left = [i for i in cell.wanted if i not in tried]
        if left:
            raise RunError(
                "the workers have ended, and not all images are there",
                where=cell.cell_dir,
                expected=f"{len(cell.wanted)} images",
                found=f"{len(cell.wanted) - len(left)}; the first that lacks is {left[0]}",
                remedy="what is finished is kept: issue the same command again, without --attach",
            )


def finish_after_error(cell: CellSpec, *, started: str, save_masks: str, invocation: str, wall_s: float) -> None:
    """As `finish`, as far as that goes: the error that ended the run is to be told. Of a cell without images nothing stays."""
    with suppress(SambenchError, OSError):
        if not _discard(cell) and (cell.cell_dir / RECORD).exists() and finished_record(cell) is None:
            finish(cell, started=started, save_masks=save_masks, invocation=invocation, wall_s=wall_s, interrupted=True)


def _discard(cell: CellSpec) -> bool:
    """Remove the directory of a cell that holds no shard and nobody's lease, and its run's if that was all; whether it went."""
    shards = cell.cell_dir / "shards"
    try:
        for lease in shards.glob("*.claim"):
            if holder(lease) is None:  # its process was killed
                place_of(lease).remove(lease)
        shards.rmdir()
    except FileNotFoundError:
        pass
    except OSError:  # there is something in it
        return False
    with suppress(OSError):
        for name in (IMAGES, RECORD, *METRIC_FILES):
            place_of(cell.cell_dir).remove(cell.cell_dir / name)
        remove_empty(cell.cell_dir, cell.run_dir / "logs")
        if [p.name for p in cell.run_dir.iterdir()] == [RUN_FILE]:
            place_of(cell.run_dir).remove(cell.run_dir / RUN_FILE)
        remove_empty(cell.run_dir)
    return not cell.cell_dir.exists()


def remove_empty(*folders: Path) -> None:
    """Remove those of the folders, in order, that are empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def begin(cell: CellSpec) -> ShardStore:
    """Open the cell. Raises RunError where its folder holds the results of another one."""
    look(cell)
    with suppress(RunError):
        held = read_record(cell.cell_dir).cell_id
        if held != cell.cell_id:
            raise UsageError(
                "there are results of another cell in that folder",
                where=cell.cell_dir,
                expected=f"cell {cell.cell_id}, or nothing",
                found=f"cell {held}",
                remedy="move that folder away, or choose another directory with --out",
            )
    return open_cell(cell)


def mark_running(cell: CellSpec, store: ShardStore, *, started: str, save_masks: str) -> None:
    """Before the first new row: the record says `running` and vouches for nothing, whatever it said; a killed run leaves that."""
    states = store.all_states()
    here = {i: states[i] for i in cell.wanted if i in states}
    write_record(cell.cell_dir, record_content(cell, here, "running", started=started, save_masks=save_masks, wall_s=0.0))
    _remove_metrics(cell.cell_dir)


def finished_record(cell: CellSpec) -> CellRecord | None:
    """The stored record if it describes just what this command asks for (or a complete cell) and fits its files, else None."""
    look(cell)
    try:
        rec = read_record(cell.cell_dir)
    except SambenchError:
        return None
    total = len(cell.target.subset.image_ids)
    same = (rec.limit or total) == len(cell.wanted)
    whole = rec.status == "complete" or (rec.status in FINISHED and same)
    if rec.cell_id != cell.cell_id or not whole or rec.results is None:
        return None
    return None if misfits(cell.cell_dir, rec, store_of(cell)) else rec
