"""Bring the files of a data set from where they are published, whole and checked."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from preprocessing.download.transfer import DownloadError, Wait, discard, fetch
from preprocessing.download.unpack import unpack
from preprocessing.files import exclusive, is_inside, replace_durably, require_room, write_whole
from preprocessing.progress import progress

__all__ = ["DownloadError", "Provided", "RemoteFile", "download"]

_DIGITS = {"md5": 32, "sha256": 64}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set, and where it is published.

    Attributes:
        name: path in the data set's folder, with ``/`` between its parts.
        url: where to fetch it, http or https.
        size: its length in bytes, where known.
        md5: its MD5 in hexadecimal digits, where known.
        sha256: the same for SHA-256; where both are known, this one is checked.
        unpack: it is an archive, to be unpacked into the data set's folder.
    """

    name: str
    url: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    unpack: bool = False

    def __post_init__(self) -> None:
        if not is_inside(self.name):
            raise ValueError(f"name of a remote file: expected a path inside the data set's folder, got {self.name!r}")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            raise ValueError(f"{self.name}: expected an http or https address, got {self.url!r}")
        for kind, num_digits in _DIGITS.items():
            digest = getattr(self, kind)
            if digest is not None and not re.fullmatch(rf"[0-9a-f]{{{num_digits}}}", digest):
                raise ValueError(f"{self.name}: expected {num_digits} lower-case hex digits as {kind}, got {digest!r}")

    @property
    def checksum(self) -> tuple[str, str] | None:
        """What to check it with, and the published value: ("sha256", digits), ("md5", digits) or None."""
        known = (("sha256", self.sha256), ("md5", self.md5))
        return next(((kind, digest) for kind, digest in known if digest), None)


class Provided(NamedTuple):
    """A file that is there now; ``is_new`` tells whether it was fetched just now."""

    path: Path
    is_new: bool


def download(
    files: Sequence[RemoteFile], folder: Path, *, timeout_s: float = 60.0, wait: Wait = time.sleep
) -> list[Provided]:
    """Have ``files`` in ``folder``: those that are not there yet are fetched, and archives to unpack are unpacked.

    A file gets its name when it is whole and its size and checksum hold. What came of a file is kept after an
    interruption (``.<name>.part``), and gone on with. What was checked or unpacked is remembered
    (``.<name>.done``), so that nothing is hashed or unpacked twice, and an archive may be removed after it.

    Args:
        files: what to have.
        folder: where to have it; made if need be.
        timeout_s: how long a server may be silent, s.
        wait: pauses for so many seconds.

    Raises:
        DownloadError: a server doesn't give a file, a file is not the published one, or it cannot be written.
        ArchiveError: an archive cannot be unpacked.
        BusyError: another process downloads or unpacks the same file.
        OSError: the disk has not enough room.
        KeyboardInterrupt: as the user's, with a message that says what is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        missing = [file for file in progress(files, len(files), "checking", "files") if not _is_there(file, folder)]
        left = sum(max(0, (file.size or 0) - _come(folder / file.name)) for file in missing)
        require_room(folder, left, "the download")
        for file in missing:
            _bring(file, folder / file.name, timeout_s, wait)
        for file in files:
            if file.unpack and not _is_unpacked(file, folder):
                _unpack(file, folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was downloaded is kept, and the same command goes on from there") from None
    return [Provided(folder / file.name, file in missing) for file in files]


def _is_there(file: RemoteFile, folder: Path) -> bool:
    target = folder / file.name
    if not target.exists():
        return _is_unpacked(file, folder)
    status = target.stat()
    again = "remove it or move it away, then --download fetches it again"
    if file.size not in (None, status.st_size):
        raise DownloadError(f"{target}: holds {status.st_size} bytes, published are {file.size} ({file.url}); {again}")
    if file.checksum and _known(target).get("checked") != _checked(file, target):
        kind, published = file.checksum
        digest = _digest(target, kind)
        if digest != published:
            raise DownloadError(f"{target}: has the {kind} {digest}, published is {published} ({file.url}); {again}")
        _remember(target, checked=_checked(file, target))
    return True


def _bring(file: RemoteFile, target: Path, timeout_s: float, wait: Wait) -> None:
    part = _beside(target, "part")
    with exclusive(_beside(target, "lock"), f"downloading {target}"):
        if target.exists():
            return  # another process brought it since we looked
        try:
            fetch(file.url, part, file.size, timeout_s, wait)
            _check(file, part)
        except DownloadError as error:
            raise DownloadError(f"{error}; start again later, or fetch it by hand and put it at {target}") from error
        except OSError as error:
            kept = f"the {_come(target):,} bytes that came are kept, and gone on with once there is room for the rest"
            raise DownloadError(f"{target}: cannot be written ({error.strerror or error}); {kept}") from error
        replace_durably(part, target)
        discard(part)
        _remember(target, checked=_checked(file, target))


def _check(file: RemoteFile, part: Path) -> None:
    if file.checksum is None:
        return
    kind, published = file.checksum
    digest = _digest(part, kind)
    if digest != published:
        discard(part)  # nobody shall go on from it
        raise DownloadError(f"{file.url}: what came has the {kind} {digest}, published is {published}; it was removed")


def _unpack(file: RemoteFile, folder: Path) -> None:
    target = folder / file.name
    with exclusive(_beside(target, "lock"), f"unpacking {target}"):
        if not _is_unpacked(file, folder):
            _remember(target, unpacked={"origin": _origin(file), "names": unpack(target, folder)})


def _is_unpacked(file: RemoteFile, folder: Path) -> bool:
    unpacked = _known(folder / file.name).get("unpacked", {})
    is_same = file.unpack and unpacked.get("origin") == _origin(file)
    return is_same and all((folder / name).exists() for name in unpacked["names"])


def _origin(file: RemoteFile) -> list[str]:
    return list(file.checksum or ("url", file.url))


def _checked(file: RemoteFile, target: Path) -> list[Any]:
    status = target.stat()
    return [*_origin(file), status.st_size, status.st_mtime_ns]


def _known(target: Path) -> dict[str, Any]:
    try:
        known = json.loads(_beside(target, "done").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(target: Path, **what: Any) -> None:
    with suppress(OSError):  # in a folder that others may only read it is looked at again each time
        write_whole(_beside(target, "done"), json.dumps(_known(target) | what).encode())


def _come(target: Path) -> int:
    part = _beside(target, "part")
    return part.stat().st_size if part.exists() else 0


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
