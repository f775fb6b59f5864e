"""Models on the Hugging Face hub: the files of one commit, in the library's own cache, checked by their sha256.

The library (`huggingface_hub`) knows endpoints, tokens, proxies, the cache and the offline mode by its own variables
(`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_OFFLINE`); what is added here are the terms before a download, the check of what
came, and its errors in words. No token is ever printed.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sambench.errors import DownloadError, SambenchError, UsageError, message_of
from sambench.files import content
from sambench.models.hf.folder import CONFIG, FAMILIES, PROCESSORS, TEXT, WEIGHTS, kind_of
from sambench.models.hf.installed import check_hub
from sambench.text import human_bytes

log = logging.getLogger("sambench.hub")

Progress = Callable[[int, int | None], None]
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubModel:
    """One commit of a repository, on this machine. folder: where its files lie. notes: what must be said of it."""

    repo: str
    commit: str
    folder: Path
    notes: tuple[str, ...] = ()


def get(repo: str, revision: str | None, *, concepts: bool = False, progress: Progress | None = None) -> HubModel:
    """Bring a model's files here: its config, its image processor's, its weights, and of one that reads phrases its tokenizer's;
    nothing that is here already.

    revision: a branch, tag or commit; None is the main branch. concepts: as `kind_of`. progress(bytes so far, bytes in all).
    Raises ModelError for a model of a class that is not known (before its weights are fetched) or without the library, UsageError
    for an impossible name, DownloadError: not there, not allowed, not reached, not what it should be.
    """
    check_hub()
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return _cached(repo, revision, "HF_HUB_OFFLINE is set")
    try:
        info = _info(repo, revision)
    except _Unreached as e:
        try:
            found = _cached(repo, revision, str(e))
        except DownloadError:
            raise _failed(f"{repo} cannot be looked up", repo, e.args[0]) from e
        note = f"{repo}: {e}; the commit {found.commit[:12]} is used, which is in the cache"
        return HubModel(repo, found.commit, found.folder, (note,))
    if CONFIG not in _files(info):
        raise _no_model(repo, str(info.sha), _files(info))
    # By its own name, so that the cache remembers which commit that was; it may have moved since it was looked up.
    [config] = _fetch(repo, revision or constants.DEFAULT_REVISION, [CONFIG], _files(info), None)
    commit = config.parent.name
    files = _files(info if commit == info.sha else _info(repo, commit))
    family = FAMILIES[kind_of(_table(config), f"{repo}, {CONFIG}", concepts=concepts)]
    weights = _weights(repo, commit, files)
    _say_terms(repo, commit, info, [files[n] for n in weights])
    wanted = [CONFIG, *(n for n in (*PROCESSORS, *(TEXT if family.text else ())) if n in files), *weights]
    paths = _fetch(repo, commit, wanted, files, progress)
    for name, path in zip(wanted, paths, strict=True):
        _check(repo, path, getattr(files[name].lfs, "sha256", None))
    return HubModel(repo, commit, config.parent)


def _files(info: Any) -> dict[str, Any]:
    return {s.rfilename: s for s in info.siblings or ()}


class _Unreached(Exception):
    """The hub did not answer; the argument says why."""


def _info(repo: str, revision: str | None) -> Any:
    from huggingface_hub import HfApi

    with _in_words(repo, revision):
        return HfApi().model_info(repo, revision=revision, files_metadata=True)


def _fetch(
    repo: str, commit: str, names: Iterable[str], files: Mapping[str, Any], progress: Progress | None
) -> list[Path]:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    names = list(names)
    sizes = [files[n].size for n in names if not isinstance(try_to_load_from_cache(repo, n, revision=commit), str)]
    total = sum(sizes) if all(s is not None for s in sizes) else None
    counter = _counter(progress, total)
    out = []
    for name in names:
        try:
            with _in_words(repo, commit):
                out.append(Path(hf_hub_download(repo, name, revision=commit, tqdm_class=counter)))
        except _Unreached as e:
            raise _failed(f"{name} cannot be fetched from the hub; what has come is kept", repo, str(e)) from e
    return out


def _weights(repo: str, commit: str, files: Mapping[str, Any]) -> list[str]:
    name = next((n for n in WEIGHTS if n in files), None)
    if name is None:
        raise _no_model(repo, commit, files)
    if not name.endswith(".index.json"):
        return [name]
    index = _table(_fetch(repo, commit, [name], files, None)[0]).get("weight_map")
    shards = sorted({str(n) for n in index.values()}) if isinstance(index, Mapping) else []
    lost = [n for n in shards if n not in files]
    if lost or not shards:
        found = f"no {', '.join(lost[:3])}" if lost else "an index that names none"
        raise DownloadError("a model's weights are not whole on the hub", where=f"{repo} at {commit}", found=found)
    return [name, *shards]


def _no_model(repo: str, commit: str, files: Mapping[str, Any]) -> DownloadError:
    listed = ", ".join(sorted(files)[:6]) or "nothing"
    official = [n for n in files if n.endswith((".pt", ".pth"))]
    remedy = "a checkpoint file is loaded through a model's card: get it, and name it with -M weights=FILE" if official else None
    return DownloadError(
        "a repository of the hub holds no model of transformers",
        where=f"{repo} at {commit}",
        expected=f"{CONFIG} and {WEIGHTS[0]}",
        found=listed,
        remedy=remedy,
    )


def _table(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(content.regular_bytes(file))
    except (OSError, ValueError, RecursionError) as e:
        raise DownloadError("a model's file cannot be read", where=file, expected="JSON", found=message_of(e)) from e
    return found if isinstance(found, dict) else {}


def _say_terms(repo: str, commit: str, info: Any, weights: Sequence[Any]) -> None:
    """Before a download: how much, under which licence, and whether its terms must be accepted. On the log, at level warning."""
    from huggingface_hub import try_to_load_from_cache

    absent = [w for w in weights if not isinstance(try_to_load_from_cache(repo, w.rfilename, revision=commit), str)]
    if not absent:
        return
    card = info.card_data
    licence = getattr(card, "license_name", None) or getattr(card, "license", None) or "not stated"
    size = sum(w.size or 0 for w in absent)
    parts = [f"{repo} at {commit[:12]}: {human_bytes(size) if size else 'an unknown number of bytes'} to download"]
    parts.append(f"licence: {licence}")
    if info.gated:
        by_whom = "; its authors then decide" if info.gated == "manual" else ""
        parts.append(f"gated: its terms must be accepted on {_page(repo)}{by_whom}")
    log.warning("; ".join(parts))


def _check(repo: str, path: Path, expected: str | None) -> None:
    """Raises DownloadError, and removes the file, where its bytes are not those that the hub's record has."""
    blob = path.resolve()
    if expected is None and _SHA256.fullmatch(blob.name):
        expected = blob.name  # a large file's place in the cache is its sha256
    if expected is None:
        return
    found = content.file_sha256(path)
    if found == expected:
        return
    for file in (blob, path):
        file.unlink(missing_ok=True)
    raise DownloadError(
        "a model's file is not what the hub's record says, and was removed",
        where=f"{repo}, {path.name}",
        expected=f"sha256 {expected}",
        found=f"sha256 {found}",
        remedy="run the command again; if it stays so, something stands between here and the hub",
    )


def _cached(repo: str, revision: str | None, why: str) -> HubModel:
    """The commit that the cache has, without the network. Raises DownloadError where it has none, or not all of it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        config = Path(hf_hub_download(repo, CONFIG, revision=revision, local_files_only=True))
    except HFValidationError as e:
        raise _bad_name(repo, e) from e
    except (EntryNotFoundError, OSError, ValueError) as e:
        at = f"{repo} at {revision}" if revision else repo
        remedy = "fetch it on a machine with a network and bring its folder here (hf:./FOLDER), or unset HF_HUB_OFFLINE"
        raise DownloadError("a model is not in the cache", where=at, found=why, remedy=remedy) from e
    folder = config.parent
    if not _COMMIT.fullmatch(folder.name):
        raise DownloadError("a model's place in the cache names no commit", where=folder, expected="40 hex digits")
    for name in sorted(p.name for p in folder.iterdir() if p.name.endswith((".safetensors", ".bin"))):
        _check(repo, folder / name, None)
    return HubModel(repo, folder.name, folder)


@contextmanager
def _in_words(repo: str, revision: str | None) -> Iterator[None]:
    """What the library raises, as an error of ours; `_Unreached` where the hub did not answer."""
    from huggingface_hub import errors

    try:
        yield
    except (SambenchError, MemoryError):
        raise
    except errors.GatedRepoError as e:
        token = _token()
        found = "a token that has no access" if token else "no token"
        remedy = f"accept them on {_page(repo)}, and log in with `hf auth login` or HF_TOKEN"
        raise DownloadError("this model's terms must be accepted first", where=repo, found=found, remedy=remedy) from e
    except errors.RevisionNotFoundError as e:
        remedy = "name a branch, a tag or a commit of it after the @"
        raise DownloadError(f"{repo} has no such revision", where=_page(repo), found=revision, remedy=remedy) from e
    except errors.RepositoryNotFoundError as e:
        remedy = "check the name; of a private one, log in with `hf auth login` or HF_TOKEN. A folder is hf:./FOLDER"
        raise DownloadError("there is no such model on the hub, or it is private", where=_page(repo), remedy=remedy) from e
    except errors.HFValidationError as e:
        raise _bad_name(repo, e) from e
    except errors.LocalEntryNotFoundError as e:  # it asked for the file's record, and then the cache
        raise _Unreached(f"the hub cannot be reached ({_plain(e.__cause__ or e)})") from e
    except errors.EntryNotFoundError as e:
        raise _failed("a file of a model is not on the hub", repo, _plain(e)) from e
    except errors.HfHubHTTPError as e:
        status = getattr(e.response, "status_code", None)
        if status is not None and status >= 500:
            raise _Unreached(f"the hub answered with HTTP {status}") from e
        raise _failed("the hub refused", repo, _plain(e)) from e
    except Exception as e:
        if isinstance(e, OSError) and e.filename is not None:  # of this machine's disk
            raise
        if isinstance(e, OSError) and "Consistency check" in str(e):
            raise _failed("a model's file came with another size than the hub's record has", repo, _plain(e)) from e
        raise _Unreached(f"the hub cannot be reached ({_plain(e)})") from e


def _bad_name(repo: str, error: Exception) -> UsageError:
    return UsageError(
        "a model's name on the hub does not fit", where=f"hf:{repo}", expected="ORGANISATION/NAME, or ./FOLDER", found=_plain(error)
    )


def _failed(message: str, repo: str, found: str) -> DownloadError:
    remedy = "check the connection and run the command again, or bring the model's folder here by other means: hf:./FOLDER"
    return DownloadError(message, where=_page(repo), found=found, remedy=remedy)


def _page(repo: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def _token() -> str | None:
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token


def _plain(error: BaseException) -> str:
    """What an exception says, without a token, and without the parameters of addresses, which may hold a signature."""
    text = " ".join(str(error).split())
    token = _token()
    if token:
        text = text.replace(token, "...")
    text = re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", text)
    return message_of(type(error)(text)) if type(error) in (OSError, ValueError) else f"{type(error).__name__}: {text[:200]}"


def _counter(progress: Progress | None, total: int | None) -> type:
    """The library's progress bar, as a class that only counts bytes."""
    from tqdm import tqdm

    done = 0

    class Counter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)
            self.update(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            nonlocal done
            done += int(n or 0)
            if progress is not None:
                progress(done, total)

    return Counter
