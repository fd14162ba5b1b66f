"""Unpack an archive, as a whole or not at all."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from preprocessing import limits
from preprocessing.files import is_inside, require_room
from preprocessing.progress import byte_progress
from preprocessing.terminal import tell

_CHUNK = 1 << 20
# RuntimeError is what zipfile raises for encrypted members and unknown compressions
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError, RuntimeError)


class ArchiveError(ValueError):
    """An archive is broken, or holds what must not be unpacked."""


class _Member(NamedTuple):
    """A file or folder in an archive; ``open`` is None for a folder."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


def unpack(archive: Path, folder: Path) -> tuple[str, ...]:
    """Unpack a zip or tar archive (tar also in gzip, bzip2 or xz) into ``folder``, through a hidden folder in it.

    Nothing appears under its own name before all is unpacked and its checksums hold. Files of the same names
    are replaced, folders of the same names are added to. Only files and folders are unpacked, with the usual
    permissions: links and devices are refused, and names that lead out of the folder. The filters of
    ``tarfile`` are not enough: they change absolute names in silence, and until June 2025 links could lead
    them outside (CVE-2025-4517).

    Returns:
        The names that the archive has at its top, sorted.

    Raises:
        ArchiveError: it is no archive, broken, or holds something else than files and folders below it.
        OSError: the disk is full, or ``folder`` cannot be written.
    """
    hidden = folder / f".{archive.name}.unpacking"
    shutil.rmtree(hidden, ignore_errors=True)  # a process that was killed may have left it
    hidden.mkdir(parents=True)
    try:
        _extract(archive, hidden)
        names = sorted(path.name for path in hidden.iterdir())
        for name in names:
            _move(hidden / name, folder / name)
    except _BROKEN as error:
        reason = str(error).partition(":\n")[0]  # tarfile goes on with a line for each kind of archive it tried
        raise ArchiveError(f"{archive}: cannot be unpacked ({reason}); remove it and fetch it again") from error
    except OSError as error:
        raise OSError(f"{archive}: cannot be unpacked into {folder} ({error})") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return tuple(names)


def _extract(archive: Path, folder: Path) -> None:
    num_packed, num_unpacked, seen = archive.stat().st_size, 0, set[Path]()
    with byte_progress(f"unpacking {archive.name}", None) as advance:
        for member in _members(archive, folder):
            num_unpacked += member.size
            if problem := limits.problem(num_unpacked, num_packed):
                raise ArchiveError(f"{archive}: cannot be unpacked: it {problem}")
            if not is_inside(member.name):
                raise ArchiveError(
                    f"{archive}: {member.name!r} leads out of the folder; unpack it by hand if you trust it"
                )
            target = folder / member.name
            if member.open is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            require_room(folder, member.size, f"unpacking {member.name}")
            if target in seen:
                tell(f"{archive}: holds {member.name} twice; the last one is taken")
            seen.add(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
            advance(member.size)


def _members(archive: Path, folder: Path) -> Iterator[_Member]:
    with archive.open("rb") as file:
        is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")  # not is_zipfile: it takes a tar that ends with a zip for one
    return _zip_members(archive, folder) if is_zip else _tar_members(archive)


def _zip_members(archive: Path, folder: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        require_room(folder, sum(info.file_size for info in infos), f"unpacking {archive}")
        for info in infos:
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _other_kind(archive, info.filename)
            if problem := limits.member_problem(info):
                raise ArchiveError(f"{archive}: {info.filename} {problem}")
            yield _Member(info.filename, info.file_size, None if info.is_dir() else partial(opened.open, info))


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            if not (info.isreg() or info.isdir()):
                raise _other_kind(archive, info.name)
            if info.isdir() and Path(info.name) == Path():
                continue  # "./", as `tar -c .` writes it
            yield _Member(info.name, info.size, None if info.isdir() else partial(_tar_file, opened, info))
        rest = opened.fileobj
        assert rest is not None
        if rest.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # the second of the two that end an archive:
            raise tarfile.ReadError("it breaks off")  # at a cut or broken header, tarfile stops as if at the end
        while rest.read(_CHUNK):
            pass  # the checksum of a compressed archive stands at its end


def _tar_file(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = opened.extractfile(info)
    assert file is not None
    return file


def _other_kind(archive: Path, name: str) -> ArchiveError:
    return ArchiveError(
        f"{archive}: {name!r} is a link or a device, expected files and folders only; unpack it by hand"
    )


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and target.is_dir():
        for path in source.iterdir():
            _move(path, target / path.name)
    else:
        source.replace(target)
