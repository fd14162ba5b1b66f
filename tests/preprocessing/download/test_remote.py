import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.request import Request

import numpy as np
import pytest

from preprocessing.download import DownloadError, Provided, RemoteFile, download, transfer
from preprocessing.files import BusyError
from tests.helpers import ROOT

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = '"first"'


class Server(ThreadingHTTPServer):
    """Gives ``content`` to each request; ``script`` holds how the next ones are answered instead."""

    daemon_threads = False  # closing waits for every handler

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.script, self.requests = CONTENT, ETAG, [], []
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"

    @property
    def ranges(self):
        return [headers.get("Range") for headers in self.requests]

    @property
    def tags(self):
        return [headers.get("If-Range") for headers in self.requests]

    def handle_error(self, request, client_address):
        """Clients that go away in the middle are what is tested."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.headers)
        (self.server.script.pop(0) if self.server.script else whole)(self)

    def log_message(self, *_):
        pass

    def begin(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def whole(handler, sent=None, held=False):
    """The file, or the part that was asked for; after ``sent`` bytes the connection ends, or is ``held`` in silence."""
    server, start = handler.server, 0
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if asked and handler.headers.get("If-Range") in (None, server.etag):
        start = int(asked[1])
    body, total = server.content[start:], len(server.content)
    part = {"Content_Range": f"bytes {start}-{total - 1}/{total}"} if start else {}
    handler.begin(206 if start else 200, Content_Length=len(body), ETag=server.etag, **part)
    handler.wfile.write(body[:sent])
    if held:
        server.released.wait(30)


def cut(sent):
    return partial(whole, sent=sent)


def silent_after(sent):
    return partial(whole, sent=sent, held=True)


def answer(status=200, body=b"", **headers):
    def give(handler):
        handler.begin(status, **({"Content_Length": len(body)} | headers))
        handler.wfile.write(body)

    return give


@contextmanager
def serving():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def get(server, tmp_path, pauses):
    """Download the file of the server into ``data/``, and read it."""

    def get(timeout_s=10.0, **known):
        file = RemoteFile("file.bin", server.url, **known)
        [provided] = download([file], tmp_path / "data", timeout_s=timeout_s, wait=pauses.append)
        return provided.path.read_bytes()

    return get


@pytest.fixture
def part(tmp_path):
    return tmp_path / "data" / ".file.bin.part"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_under_its_name(get, server, tmp_path, pauses):
    assert get(size=len(CONTENT), md5=MD5) == CONTENT
    assert names(tmp_path / "data") == [".file.bin.done", "file.bin"]
    assert (server.ranges, pauses) == ([None], [])


def test_folders_in_names_are_made(server, tmp_path):
    file = RemoteFile("train/day 1/file.bin", server.url)
    assert download([file], tmp_path) == [Provided(tmp_path / "train/day 1/file.bin", True)]
    assert (tmp_path / "train/day 1/file.bin").read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(get, server):
    for known in ({}, {"size": len(CONTENT)}, {"md5": MD5}, {"sha256": SHA256}):
        assert get(**known) == CONTENT
    assert len(server.requests) == 1


def test_checked_once_and_again_after_a_change(get, tmp_path, monkeypatch):
    get(md5=MD5)
    hashed, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: hashed.append(file.name) or digest(file, kind))
    get(md5=MD5)
    assert hashed == []
    get(sha256=SHA256)  # another promise
    assert len(hashed) == 1
    path = tmp_path / "data/file.bin"
    path.write_bytes(b"x" * len(CONTENT))
    os.utime(path, (1, 1))
    with pytest.raises(DownloadError, match=rf"file.bin: has the sha256 \w+, published is {SHA256}.*remove it or move"):
        get(sha256=SHA256)
    assert path.read_bytes() == b"x" * len(CONTENT)


def test_file_of_a_wrong_length_is_left_as_it_is(get, server, tmp_path):
    path = tmp_path / "data/file.bin"
    path.parent.mkdir()
    path.write_bytes(b"half of it")
    with pytest.raises(DownloadError, match=r"holds 10 bytes, published are 300000 \(http.*remove it or move it away"):
        get(size=len(CONTENT))
    assert (path.read_bytes(), server.requests) == (b"half of it", [])


@pytest.mark.parametrize("cuts", [(1,), (299_999,), (0, 7), (100_000, 1, 0, 150_000)], ids=str)
def test_goes_on_after_cut_connections(get, server, pauses, cuts):
    server.script = [cut(sent) for sent in cuts]
    assert get(size=len(CONTENT), md5=MD5) == CONTENT
    places = [0, *np.cumsum(cuts)]
    assert server.ranges == [f"bytes={place}-" if place else None for place in places]
    assert server.tags == [ETAG if place else None for place in places]
    assert pauses == [1.0, 2.0, 4.0, 8.0][: len(cuts)]


def test_gives_up_after_five_tries_and_goes_on_later(get, server, part, pauses):
    server.script = [cut(10)] * 5
    message = (
        r"http://.*: the connection ended after 50 of 300000 bytes, after 5 tries; .*by hand and put it at /.*file.bin"
    )
    with pytest.raises(DownloadError, match=message):
        get()
    assert (part.read_bytes(), len(pauses)) == (CONTENT[:50], 4)
    assert get() == CONTENT
    assert server.ranges[-1] == "bytes=50-"


def test_tries_are_counted_anew_after_much_has_come(get, server, monkeypatch):
    monkeypatch.setattr(transfer, "_FRESH_START", 20_000)
    server.script = [cut(30_000)] * 9
    assert get() == CONTENT


def test_server_that_knows_no_ranges(get, server):
    server.script = [cut(1000), answer(body=CONTENT, ETag=ETAG)]
    assert get(md5=MD5) == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_nothing_is_gone_on_with_that_cannot_be_told_apart(get, server):
    server.script = [partial(answer(body=CONTENT[:1000], Content_Length=len(CONTENT), ETag='W/"weak"'))]
    assert get(md5=MD5) == CONTENT
    assert server.ranges == [None, None]


def test_date_tells_contents_apart_where_there_is_no_tag(get, server):
    date = formatdate(0, usegmt=True)
    server.etag = date
    rest = answer(206, CONTENT[9:], Content_Range=f"bytes 9-{len(CONTENT) - 1}/{len(CONTENT)}")  # needs no date
    server.script = [answer(body=CONTENT[:9], Content_Length=len(CONTENT), Last_Modified=date), rest]
    assert get(md5=MD5) == CONTENT
    assert server.tags == [None, date]


def test_file_that_changes_meanwhile_is_fetched_from_its_start(get, server, part):
    server.script = [cut(1000), answer(403)]
    with pytest.raises(DownloadError, match="answered 403"):
        get()
    assert part.read_bytes() == CONTENT[:1000]
    server.content, server.etag = CONTENT[::-1], '"second"'
    assert get() == CONTENT[::-1]
    assert server.ranges == [None, "bytes=1000-", "bytes=1000-"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": "bytes 9-299999/300000", "ETag": '"second"'},
        {"Content_Range": "bytes 8-299999/300000", "ETag": ETAG},
        {"Content_Range": "bytes 9-300000/300001", "ETag": ETAG},
        {"Content_Range": "bytes 9-299999/*", "ETag": ETAG},
        {"ETag": ETAG},
    ],
    ids=["tag", "place", "length", "no length", "no range"],
)
def test_part_of_something_else_is_not_taken(get, server, headers):
    server.script = [cut(9), answer(206, b"?" * 299_991, **headers)]
    assert get() == CONTENT
    assert server.ranges == [None, "bytes=9-", None]


def test_part_that_the_server_has_no_rest_of(get, server):
    server.script = [cut(9), answer(416, b"no")]
    assert get() == CONTENT
    assert server.ranges == [None, "bytes=9-", None]


def test_all_came_but_was_not_named(get, server, part):
    server.script = [cut(299_999), answer(403)]
    with pytest.raises(DownloadError):
        get()
    part.write_bytes(CONTENT)
    assert get(md5=MD5) == CONTENT
    assert len(server.requests) == 2


def test_part_of_another_address_is_not_gone_on_with(get, server, tmp_path):
    server.script = [cut(9), answer(403)]
    with pytest.raises(DownloadError):
        get()
    download([RemoteFile("file.bin", f"{server.url}?version=2")], tmp_path / "data")
    assert server.ranges == [None, "bytes=9-", None]


def test_wrong_checksum_leaves_nothing_to_go_on_from(get, server, tmp_path):
    with pytest.raises(
        DownloadError, match=f"http://.*: what came has the md5 {MD5}, published is {'0' * 32}.*by hand"
    ):
        get(md5="0" * 32)
    assert names(tmp_path / "data") == []
    assert get(md5=MD5) == CONTENT
    assert server.ranges == [None, None]


def test_wrong_length_is_seen_before_anything_is_fetched(get, tmp_path):
    with pytest.raises(DownloadError, match=r"http://.*: has 300000 bytes, expected 299999.*by hand"):
        get(size=299_999)
    assert names(tmp_path / "data") == []


def test_more_than_expected_without_an_announced_length(get, server, part):
    server.script = [lambda handler: (handler.begin(), handler.wfile.write(CONTENT))]
    with pytest.raises(DownloadError, match="has more than the expected 1000 bytes"):
        get(size=1000)
    assert part.stat().st_size <= 1000


def test_unknown_length(get, server):
    server.script = [lambda handler: (handler.begin(), handler.wfile.write(CONTENT))]
    assert get() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "empty", [answer(202), answer(200), answer(204), lambda handler: handler.begin()], ids=range(4)
)
def test_empty_answers_are_asked_again(get, server, pauses, empty):
    server.script = [empty] * 4
    assert get() == CONTENT
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_server_that_stays_empty(get, server):
    server.script = [answer(202)] * 5
    with pytest.raises(DownloadError, match=r"answered 202 \(Accepted\) with an empty file: it may still be bringing"):
        get()


def test_body_that_is_no_file_by_its_status(get, server, pauses):
    server.script = [answer(202, b"in a minute")]
    assert get() == CONTENT
    assert pauses == [1.0]


def test_server_that_wants_a_browser_is_not_asked_again(get, server):
    server.script = [answer(202, x_amzn_waf_action="challenge", Content_Type="text/html")]
    with pytest.raises(DownloadError, match=r"http://.*: answered 202 and asks to prove .* browser .*; .*by hand"):
        get()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "page",
    [
        answer(body=b"please log in", Content_Type="text/html; charset=utf-8"),
        answer(body=b"\n<!DOCTYPE html>", Content_Type="application/zip"),
    ],
    ids=["by its type", "by its content"],
)
def test_web_page_instead_of_the_file(get, server, page, tmp_path):
    server.script = [page]
    with pytest.raises(DownloadError, match=r"http://.*: answered with a web page instead of the file; .*by hand"):
        get()
    assert not (tmp_path / "data/file.bin").exists()
    assert get() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_answers_are_not_asked_again(get, server, status):
    server.script = [answer(status)]
    with pytest.raises(
        DownloadError, match=rf"http://.*: answered {status} \(.+\); start again later, or fetch it by hand"
    ):
        get()
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_errors_are_asked_again(get, server, pauses, status, capsys):
    server.script = [answer(status)]
    assert get() == CONTENT
    assert pauses == [1.0]
    assert f"answered {status}" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["7", pytest.param(lambda: formatdate(time.time() + 7, usegmt=True), id="date")])
def test_pause_that_the_server_asks_for(get, server, pauses, asked):
    server.script = [answer(429, Retry_After=asked() if callable(asked) else asked)]
    assert get() == CONTENT
    assert pauses == [pytest.approx(7, abs=1.5)]


def test_long_pause_is_left_to_the_user(get, server, pauses):
    server.script = [answer(503, Retry_After="86400")]
    with pytest.raises(DownloadError, match=r"answered 503 .*, and asks to wait 86400 s; start again later"):
        get()
    assert pauses == []


@pytest.mark.parametrize("sent", [0, 1000])
def test_server_that_falls_silent(get, server, sent):
    server.script = [silent_after(sent)]
    assert get(timeout_s=0.1) == CONTENT
    assert server.ranges == [None, f"bytes={sent}-" if sent else None]


def test_server_that_never_answers(get, server):
    server.script = [lambda handler: handler.server.released.wait(30)] * 5
    with pytest.raises(DownloadError, match=r"no answer \(timed out\), after 5 tries"):
        get(timeout_s=0.02)


def test_nobody_there(tmp_path, pauses):
    with serving() as server:
        url = server.url
    with pytest.raises(DownloadError, match=r"no answer \(.*refused\), after 5 tries"):
        download([RemoteFile("file.bin", url)], tmp_path, wait=pauses.append)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_redirects_are_followed_and_keep_the_place(get, server):
    away = answer(302, Location="/elsewhere")
    server.script = [away, cut(1000), away]
    assert get() == CONTENT
    assert server.ranges == [None, None, "bytes=1000-", "bytes=1000-"]


def test_redirect_without_end(get, server):
    server.script = [answer(302, Location="/file.bin")] * 30
    with pytest.raises(DownloadError, match="answered 302"):
        get()


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/file.bin", "file:///etc/passwd", "data:,x"])
def test_redirect_to_something_else_than_http(get, server, place):
    server.script = [answer(302, Location=place)]
    with pytest.raises(DownloadError, match=r"answered 302|sends on to .*not safe to follow"):
        get()
    assert len(server.requests) == 1


def test_redirect_from_https_to_http():
    with io.BytesIO() as body, pytest.raises(DownloadError, match="not safe"):
        transfer._Redirects().redirect_request(Request("https://a"), body, 302, "Found", None, "http://a")


def download_apart(server, folder, before=""):
    """A process that downloads."""
    code = (
        f"{before}\nfrom pathlib import Path\nfrom preprocessing.download import RemoteFile, download\n"
        f"download([RemoteFile('file.bin', {server.url!r})], Path({str(folder)!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for_bytes(path, count):
    for _ in range(1000):
        if path.exists() and path.stat().st_size >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"{path} did not reach {count} bytes")


def test_one_process_at_a_time_and_going_on_after_a_killed_one(get, server, part):
    server.script = [silent_after(100_000)]
    process = download_apart(server, part.parent)
    try:
        wait_for_bytes(part, 90_000)
        with pytest.raises(BusyError, match=r"another process is downloading /.*/data/file.bin"):
            get()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    come = part.stat().st_size
    assert get(md5=MD5) == CONTENT
    assert server.ranges == [None, f"bytes={come}-"]
    assert names(part.parent) == [".file.bin.done", "file.bin"]


def test_brought_by_another_process_since_we_looked(get, server, tmp_path, monkeypatch):
    path = tmp_path / "data/file.bin"
    monkeypatch.setattr("preprocessing.download.remote.require_room", lambda *_: path.write_bytes(CONTENT))
    assert get() == CONTENT
    assert server.requests == []


def test_ctrl_c_keeps_what_came(get, server, part):
    server.script = [silent_after(100_000)]
    process = download_apart(server, part.parent)
    wait_for_bytes(part, 90_000)
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    assert "KeyboardInterrupt: what was downloaded is kept, and the same command goes on from there" in error
    assert get(md5=MD5) == CONTENT
    assert len(server.requests) == 2
    assert server.ranges[1] is not None


def test_disk_that_takes_no_more_keeps_what_came(get, server, part):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    error = download_apart(server, part.parent, limit).communicate()[1]
    assert "/file.bin: cannot be written (" in error
    assert "the 100,000 bytes that came are kept" in error
    assert part.read_bytes() == CONTENT[:100_000]
    assert get(md5=MD5) == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_room_is_looked_for_before_anything_is_fetched(server, tmp_path):
    files = [RemoteFile("small.bin", server.url), RemoteFile("large.bin", server.url, size=10**18)]
    with pytest.raises(OSError, match=r"the download takes 1,000,0.* bytes, the disk of .* has .* left: make room"):
        download(files, tmp_path)
    assert server.requests == []


def test_room_for_a_length_that_only_the_server_knows(get, server):
    server.script = [answer(Content_Length=10**18)]
    with pytest.raises(DownloadError, match=r"takes 1,000,.* bytes, the disk of"):
        get()


@pytest.mark.parametrize(
    "name", ["", ".", "/etc/passwd", "../x", "a/../../x", "..\\x", "C:\\x", "C:x", "\\\\h\\s\\x", "a\0b"]
)
def test_names_outside_the_folder(name):
    with pytest.raises(ValueError, match="expected a path inside the data set's folder, got"):
        RemoteFile(name, "http://a/b")


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "a/b", "http:b", ""])
def test_addresses_other_than_http(url):
    with pytest.raises(ValueError, match="expected an http or https address, got"):
        RemoteFile("b", url)


@pytest.mark.parametrize("known", [{"md5": MD5[1:]}, {"md5": MD5.upper()}, {"md5": SHA256}, {"sha256": MD5}])
def test_checksums_that_are_none(known):
    with pytest.raises(ValueError, match=r"expected (32|64) lower-case hex digits as (md5|sha256), got"):
        RemoteFile("b", "http://a/b", **known)


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_archive_is_unpacked_once(server, tmp_path):
    server.content = zipped({"train/1": b"one", "labels": b"1"})
    files = [RemoteFile("all.zip", server.url, unpack=True)]
    assert download(files, tmp_path) == [Provided(tmp_path / "all.zip", True)]
    assert (tmp_path / "train/1").read_bytes() == b"one"
    (tmp_path / "train/1").write_bytes(b"changed by the user")
    assert download(files, tmp_path) == [Provided(tmp_path / "all.zip", False)]
    assert (tmp_path / "train/1").read_bytes() == b"changed by the user"


def test_archive_may_go_once_it_is_unpacked_and_comes_back_when_that_is_gone(server, tmp_path):
    server.content = zipped({"train/1": b"one", "labels": b"1"})
    files = [RemoteFile("all.zip", server.url, unpack=True)]
    download(files, tmp_path)
    (tmp_path / "all.zip").unlink()
    download(files, tmp_path)
    assert len(server.requests) == 1
    (tmp_path / "labels").unlink()
    download(files, tmp_path)
    assert (tmp_path / "labels").read_bytes() == b"1"
    assert len(server.requests) == 2


def test_new_edition_of_an_archive_is_unpacked_too(server, tmp_path):
    server.content = zipped({"labels": b"1"})
    download([RemoteFile("all.zip", server.url, unpack=True)], tmp_path)
    (tmp_path / "all.zip").unlink()
    server.content = zipped({"labels": b"2"})
    md5 = hashlib.md5(server.content).hexdigest()
    download([RemoteFile("all.zip", server.url, md5=md5, unpack=True)], tmp_path)
    assert (tmp_path / "labels").read_bytes() == b"2"


def test_damaged_notes_are_made_anew(get, tmp_path):
    get(md5=MD5)
    for notes in (b"", b"[]", b"\xff"):
        (tmp_path / "data/.file.bin.done").write_bytes(notes)
        assert get(md5=MD5) == CONTENT


def test_folder_that_only_others_may_write(get, monkeypatch):
    get()
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(PermissionError("read-only")))
    assert get(md5=MD5) == CONTENT


def test_command_downloads_unpacks_and_builds(server, recordings, tmp_path, monkeypatch, capsys):
    from preprocessing.build import main
    from preprocessing.datasets import DATASETS, Folder

    @dataclass(frozen=True)
    class Published(Folder):
        """Published recordings."""

        name: ClassVar[str] = "published"
        root: Path = field(default=tmp_path / "data", metadata={"help": "where", "type": Path})

        def remote_files(self):
            return (RemoteFile("all.zip", server.url, unpack=True),)

    sources = [path for path in recordings.rglob("*.aedat") if path.stem in "01"]
    server.content = zipped({str(path.relative_to(recordings)): path.read_bytes() for path in sources})
    monkeypatch.setitem(DATASETS, "published", Published)
    arguments = ["published", "--out", str(tmp_path / "frames.h5"), "--workers", "1", "--download"]
    assert main(arguments) == 0
    assert "1 files downloaded, 0 were there" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "0 files downloaded, 1 were there" in capsys.readouterr().out
    server.script = [answer(404)]
    assert main([*arguments, "--root", str(tmp_path / "other")]) == 1
    assert "error: http://" in capsys.readouterr().err


def test_command_says_where_to_get_what_it_cannot_fetch(tmp_path, capsys):
    from preprocessing.build import main

    with pytest.raises(SystemExit) as stop:
        main(["dvs128gesture", "--root", str(tmp_path), "--download"])
    assert stop.value.code == 2
    assert "--download: dvs128gesture is not fetched by a program; IBM gives it out at http" in capsys.readouterr().err
