"""Fetch one file over HTTP, going on where an earlier try ended."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from preprocessing.files import require_room, write_whole
from preprocessing.progress import byte_progress
from preprocessing.terminal import tell

Wait = Callable[[float], None]

_TRIES = 5
_FRESH_START = 1 << 24  # tries are counted anew after so many bytes: a line cut again and again brings large files too
_PATIENCE_S = 120.0
_CHUNK = 1 << 20
_MAY_PASS = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_HEADERS = {"User-Agent": "evglif", "Accept-Encoding": "identity"}  # encoded bytes could not be gone on with


class DownloadError(OSError):
    """A file did not come; the message names its URL, what came instead, and what to do."""


class _MayPassError(Exception):
    """A try failed as the next one need not; the server asked for a pause, or what came so far is of no use."""

    def __init__(self, what: str, pause_s: float = 0.0, useless: bool = False) -> None:
        super().__init__(what)
        self.pause_s = pause_s
        self.useless = useless


def fetch(url: str, part: Path, size: int | None = None, timeout_s: float = 60.0, wait: Wait = time.sleep) -> None:
    """Bring the whole of ``url`` into the file ``part``, of which an earlier call may have left a beginning.

    A beginning is gone on with when the server says that it belongs to the same content (RFC 9110, §13.1.5
    and §14). What may pass is tried again, after pauses that double or that the server asks for: cut
    connections, time-outs, empty answers, 429 and server errors.

    Args:
        url: where the file is, http or https.
        part: where its bytes go; it stays when the transfer fails.
        size: bytes that the file should have, where known.
        timeout_s: how long the server may be silent, s.
        wait: pauses for so many seconds.

    Raises:
        DownloadError: the server gave something else, or nothing in five tries.
        OSError: ``part`` cannot be written.
    """
    failures, furthest = 0, _length(part)
    while True:
        try:
            return _try(url, part, size, timeout_s)
        except _MayPassError as error:
            failures += 1
            if _length(part) >= furthest + _FRESH_START:
                failures, furthest = 1, _length(part)
            if error.useless:
                discard(part)
            pause_s = max(2.0 ** (failures - 1), error.pause_s)
            if error.pause_s > _PATIENCE_S:
                raise DownloadError(f"{url}: {error}, and asks to wait {error.pause_s:.0f} s") from error
            if failures == _TRIES:
                raise DownloadError(f"{url}: {error}, after {_TRIES} tries") from error
            tell(f"{url}: {error}; trying again in {pause_s:.0f} s")
            wait(pause_s)


def discard(part: Path) -> None:
    """Remove the beginning of a file, and what is known about it."""
    part.unlink(missing_ok=True)
    _Origin.path(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Origin:
    """What a file's beginning is the beginning of: ``validator`` tells contents apart, ``size`` is the whole's."""

    url: str
    validator: str | None
    size: int | None

    @staticmethod
    def path(part: Path) -> Path:
        return part.with_name(f"{part.name}.json")

    @classmethod
    def of(cls, part: Path) -> _Origin | None:
        try:
            return cls(**json.loads(cls.path(part).read_bytes()))
        except (FileNotFoundError, TypeError, ValueError):
            return None

    def save(self, part: Path) -> None:
        write_whole(self.path(part), json.dumps(asdict(self)).encode())


def _try(url: str, part: Path, size: int | None, timeout_s: float) -> None:
    origin = _Origin.of(part)
    if origin is None or origin.url != url or origin.validator is None:
        origin = _Origin(url, None, None)
    have = _length(part) if origin.validator else 0
    if have and have == origin.size:
        return  # a process ended between the last byte and its next step
    asked = {"Range": f"bytes={have}-", "If-Range": origin.validator} if have and origin.validator else {}
    with _answer(Request(url, headers=_HEADERS | asked), timeout_s) as response:
        start, total = _extent(response)
        now = _Origin(url, _validator(response.headers), total)
        if start and (start != have or total != origin.size or now.validator not in (None, origin.validator)):
            raise _MayPassError("the file changed while it was fetched", useless=True)
        _check(url, response, total, size)
        if total is not None:
            require_room(part.parent, total - start, f"fetching {url}")
        if start == 0:
            part.write_bytes(b"")  # before its origin is written: old bytes must not pass as the new content's
            now.save(part)
        _store(response, part, start, total, size)


def _answer(request: Request, timeout_s: float) -> HTTPResponse:
    url = request.full_url
    try:
        response: HTTPResponse = build_opener(_Redirects).open(request, timeout=timeout_s)
    except HTTPError as error:
        with error:
            what = f"answered {error.code} ({error.reason})"
            if error.code in _MAY_PASS:
                raise _MayPassError(what, _asked_pause(error.headers), useless=error.code == 416) from None
            raise DownloadError(f"{url}: {what}") from None
    except DownloadError:
        raise
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadError(f"{url}: its certificate is not valid ({reason.verify_message})") from error
        raise _MayPassError(f"no answer ({_words(reason)})") from error
    return response


class _Redirects(HTTPRedirectHandler):
    """Follows to http and https only, and from https not to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in ({"https"} if req.type == "https" else {"http", "https"}):
            fp.close()
            raise DownloadError(f"{req.full_url}: sends on to {newurl}, which is not safe to follow")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """First byte that comes, and how many the whole file has."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if match is None:
        raise _MayPassError("answered 206 without saying which part of the file it is", useless=True)
    return int(match[1]), int(match[2])


def _validator(headers: Message) -> str | None:
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")  # a weak tag, W/"…", is no promise of bytes


def _check(url: str, response: HTTPResponse, total: int | None, size: int | None) -> None:
    headers = response.headers
    if "x-amzn-waf-action" in headers:  # figshare.com/ndownloader does so; ndownloader.figshare.com does not
        raise DownloadError(
            f"{url}: answered {response.status} and asks to prove that a person with a browser is there"
        )
    if response.status not in (200, 206) or (total == 0 and size != 0):
        what = "an empty file" if total == 0 else "no file"
        raise _MayPassError(
            f"answered {response.status} ({response.reason}) with {what}: it may still be bringing the file up",
            _asked_pause(headers),
        )
    if headers.get_content_type() == "text/html":
        raise DownloadError(f"{url}: answered with a web page instead of the file")
    if None not in (total, size) and total != size:
        raise DownloadError(f"{url}: has {total} bytes, expected {size}")


def _asked_pause(headers: Message) -> float:
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _store(response: HTTPResponse, part: Path, start: int, announced: int | None, size: int | None) -> None:
    done, total = start, size if announced is None else announced
    with byte_progress(part.name, total, start) as advance, part.open("ab") as file:
        while announced is None or done < announced:
            chunk = _read(response, _CHUNK if announced is None else announced - done)
            if not chunk:
                break
            _check_bytes(response, chunk, done, total)
            file.write(chunk)
            done += len(chunk)
            advance(len(chunk))
    if done == 0 and total != 0:
        raise _MayPassError(f"answered {response.status} ({response.reason}) with an empty file")
    if total is not None and done < total:
        raise _MayPassError(f"the connection ended after {done} of {total} bytes")


def _check_bytes(response: HTTPResponse, chunk: bytes, done: int, total: int | None) -> None:
    if done == 0 and chunk.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise DownloadError(f"{response.url}: answered with a web page instead of the file")
    if total is not None and done + len(chunk) > total:
        raise DownloadError(f"{response.url}: has more than the expected {total} bytes")


def _read(response: HTTPResponse, limit: int) -> bytes:
    try:
        return response.read1(min(limit, _CHUNK))  # what is there: a wait for more would lose it to a time-out
    except (OSError, HTTPException) as error:
        raise _MayPassError(f"the connection was cut ({_words(error)})") from error


def _words(reason: object) -> str:
    return str(reason) or type(reason).__name__


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
