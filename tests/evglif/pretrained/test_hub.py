"""Weights from a hub, by its own library, against a stand-in on this machine that gives, lies or is silent."""

import json
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from threading import Thread
from urllib.parse import urlsplit

import pytest
import torch

pytest.importorskip("huggingface_hub")

from huggingface_hub import constants

from evglif import build_model, from_pretrained, save_pretrained
from evglif.pretrained import read_weights
from evglif.provenance import digest

COMMIT = "c" * 40


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=2, size=(16, 16), width=2, num_classes=2)
    folder = tmp_path_factory.mktemp("served") / "net"
    save_pretrained(model, folder)
    (folder / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n")
    return model, {each.name: each.read_bytes() for each in folder.iterdir()}


class Hub(BaseHTTPRequestHandler):
    """As much of a hub's interface as its library asks for."""

    files: dict[str, bytes]
    answer: bytes | None
    asked: list[str]

    def do_GET(self, body=True):
        path = urlsplit(self.path).path
        self.asked.append(path)
        if self.answer is not None:
            return self.reply(200, self.answer, body)
        if path.startswith("/api/models/me/net/revision/"):
            names = [{"rfilename": name} for name in self.files]
            return self.reply(200, json.dumps({"id": "me/net", "sha": COMMIT, "siblings": names}).encode(), body)
        if path.startswith(f"/api/models/me/net/tree/{COMMIT}"):
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
                for name, content in self.files.items()
            ]
            return self.reply(200, json.dumps(entries).encode(), body)
        name = path.removeprefix(f"/me/net/resolve/{COMMIT}/")
        return self.reply(200, self.files[name], body) if name in self.files else self.reply(404, b"{}", body)

    def do_HEAD(self):
        self.do_GET(body=False)

    def reply(self, status, content, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def hub(files, monkeypatch, tmp_path, answer=None):
    """A stand-in, where the library looks for it."""
    handler = type("Hub", (Hub,), {"files": files, "answer": answer, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        try:
            yield handler
        finally:
            server.shutdown()
            thread.join()


def test_a_repository_is_fetched_and_of_it_our_files_alone(served, monkeypatch, tmp_path):
    model, files = served
    with hub(files, monkeypatch, tmp_path) as asked:
        assert digest(from_pretrained("me/net")) == digest(model)
        assert digest(read_weights("hub:me/net@main").model) == digest(model)
    assert any(path.endswith("model.safetensors") for path in asked.asked)
    assert not any("pytorch_model.bin" in path for path in asked.asked)
    assert not list((tmp_path / "cache").rglob("pytorch_model.bin"))


def test_weights_that_are_not_those_of_the_config_are_refused(served, monkeypatch, tmp_path):
    _, files = served
    changed = {**files, "model.safetensors": files["model.safetensors"][:-1] + b"\0"}
    with hub(changed, monkeypatch, tmp_path), pytest.raises(ValueError, match="has the SHA-256"):
        from_pretrained("me/net")


@pytest.mark.parametrize("answer", [b"<html>busy</html>", b"{}", b"[]", b"\xff" * 100])
def test_a_hub_that_answers_garbage_is_told(served, monkeypatch, tmp_path, answer):
    said = "me/net cannot be fetched from http://127.0.0.1"
    with hub(served[1], monkeypatch, tmp_path, answer), pytest.raises(OSError, match=said):
        from_pretrained("me/net")


def test_an_unknown_repository_is_told(served, monkeypatch, tmp_path):
    with hub(served[1], monkeypatch, tmp_path), pytest.raises(OSError, match="me/other cannot be fetched from"):
        from_pretrained("me/other")


def test_no_hub_at_all_is_told(served, monkeypatch, tmp_path):
    with hub(served[1], monkeypatch, tmp_path):
        pass
    with pytest.raises(OSError, match=r"cannot be fetched from .*fetch the folder by hand and give its path"):
        from_pretrained("me/net")


def test_a_hub_that_is_silent_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("evglif.pretrained.hub.PATIENCE_S", 0.2)
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(OSError, match=r"me/net cannot be fetched from http://127\.0\.0\.1"):
            from_pretrained("me/net")


def test_a_folder_of_that_name_is_taken_before_a_hub(served, monkeypatch, tmp_path):
    model, _ = served
    monkeypatch.chdir(tmp_path)
    save_pretrained(model, "me/net")
    assert digest(from_pretrained("me/net")) == digest(model)
