"""Builds by two worker processes of a Dask cluster on this machine."""

import json
import os
import pickle
import shutil
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from preprocessing.build import build, main
from preprocessing.building import cluster as on_cluster
from preprocessing.building import shards as shard_files
from preprocessing.building.shards import write_shard
from preprocessing.cache import CacheError, FrameCache
from preprocessing.datasets import Folder
from preprocessing.datasets.base import Dataset, Listing, Source
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import aedat2, atis
from preprocessing.workers import DEADLY, WorkerDiedError, WorkerError

distributed = pytest.importorskip("distributed", reason="pip install 'evglif[cluster]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")

SMALL = {"steps": 4, "size": (12, 8)}


def events(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 30, (2, 60))
    return make_events(np.linspace(0, 2500, 60).astype(int), x, y, rng.random(60) < 0.5)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """130 recordings, three shards of them; one cannot be used."""
    folder = tmp_path_factory.mktemp("recordings")
    for i in range(130):
        path = folder / ("box" if i % 2 else "mug") / f"{i:03}.aedat"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(aedat2.encode(events(i)) if i != 20 else b"")
    return folder


@pytest.fixture(scope="module")
def local(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("local") / "frames.h5"
    build(Folder(root, window="1ms"), path, workers=1, **SMALL)
    return path


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as started:
        yield started


@pytest.fixture(autouse=True)
def _bounded():
    """What waits for workers that never come ends."""

    def stop(*_):
        raise TimeoutError("the cluster has not done it in 100 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "frames.h5"


def build_there(cluster, root, out, **options):
    return build(Folder(root, window="1ms"), out, cluster=cluster.scheduler_address, **{**SMALL, **options})


def assert_equal(one, other):
    """Two caches hold the same, sample by sample."""
    np.testing.assert_array_equal(one.stored(range(len(one))), other.stored(range(len(other))))
    assert (one.sources, one.splits, one.left_out) == (other.sources, other.splits, other.left_out)
    for name in ("labels", "num_events", "duration_us"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    facts = ("classes", "config", "sensor", "scale", "shape", "num_special", "num_saturated", "num_unused")
    assert [getattr(one, fact) for fact in facts] == [getattr(other, fact) for fact in facts]


def test_cache_over_shards_holds_what_a_local_build_holds(cluster, root, out, local, tmp_path):
    result = build_there(cluster, root, out)
    assert [path.name for path in sorted(out.parent.iterdir())] == ["frames.h5", "frames.h5.shards"]
    assert "with 3 shards" in str(result)
    assert "000.aedat: the file is empty" not in str(result)
    assert_equal(FrameCache(out), FrameCache(local))
    shutil.move(out.parent, tmp_path / "moved")
    assert_equal(FrameCache(tmp_path / "moved" / "frames.h5"), FrameCache(local))


def test_consolidated_cache_is_that_of_a_local_build_byte_for_byte(cluster, root, out, local):
    build_there(cluster, root, out, consolidate=True)
    assert out.read_bytes() == local.read_bytes()
    assert list(out.parent.iterdir()) == [out]
    assert build_there(cluster, root, out).up_to_date


def test_shards_are_consolidated_later_without_a_cluster(cluster, root, out, local):
    build_there(cluster, root, out)
    assert build(Folder(root, window="1ms"), out, **SMALL).up_to_date
    assert not build(Folder(root, window="1ms"), out, consolidate=True, **SMALL).up_to_date
    assert out.read_bytes() == local.read_bytes()
    assert list(out.parent.iterdir()) == [out]


def shards_of(out):
    return sorted(out.parent.glob("frames.h5.shards/*/*.h5"))


def test_shards_that_are_there_are_not_made_again(cluster, root, out, local, capsys):
    build_there(cluster, root, out)
    out.unlink()
    first, second, third = shards_of(out)
    second.unlink()
    third.write_bytes(third.read_bytes()[:-50])
    before = first.stat().st_ino
    build_there(cluster, root, out)
    assert capsys.readouterr().err == "resuming: 64 of 130 recordings were done\n"
    assert first.stat().st_ino == before
    assert_equal(FrameCache(out), FrameCache(local))


def test_shards_are_made_again_by_force_and_of_recordings_that_changed(cluster, root, out, tmp_path):
    own = shutil.copytree(root, tmp_path / "own")
    build_there(cluster, own, out)
    first = shards_of(out)
    build_there(cluster, own, out, force=True)
    forced = shards_of(out)
    assert not {*first} & {*forced}
    assert len(forced) == 3
    (own / "box" / "129.aedat").write_bytes((own / "box" / "127.aedat").read_bytes())
    assert not build_there(cluster, own, out).up_to_date
    cache = FrameCache(out)
    np.testing.assert_array_equal(*(cache.stored([cache.sources.index(f"box/{i}.aedat@0us")]) for i in (127, 129)))


def test_interrupted_on_the_cluster_goes_on(cluster, root, out, local, monkeypatch, capsys):
    progress = on_cluster.progress

    def interrupted(items, *arguments):
        yield next(progress(items, *arguments))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(on_cluster, "progress", interrupted)
        options = [
            "folder",
            "--root",
            str(root),
            "--window",
            "1ms",
            "--out",
            str(out),
            "--steps",
            "4",
            "--size",
            "12x8",
        ]
        assert main([*options, "--cluster", cluster.scheduler_address, "--consolidate"]) == 130
    told = capsys.readouterr().err
    assert "recordings are kept; run the same command to go on" in told
    assert not out.exists()
    assert main([*options, "--cluster", cluster.scheduler_address, "--consolidate"]) == 0
    assert "resuming: " in capsys.readouterr().err
    assert out.read_bytes() == local.read_bytes()


def test_strict_and_different_sensors_are_told_as_ever_and_leave_nothing(cluster, root, out, tmp_path):
    with pytest.raises(RecordingError, match=r"mug/020\.aedat: the file is empty .*\(strict\)"):
        build_there(cluster, root, out, strict=True)
    mixed = tmp_path / "mixed" / "a"
    mixed.mkdir(parents=True)
    (mixed / "1.bin").write_bytes(atis.encode(events(0)))
    (mixed / "2.aedat").write_bytes(aedat2.encode(events(0)))
    with pytest.raises(
        ValueError, match=r"a/1\.bin \(34×34, guessed from its events\) and a/2\.aedat.* \(128×128\).*--sensor"
    ):
        build_there(cluster, mixed.parent, out)
    assert list(out.parent.iterdir()) == []


@dataclass(frozen=True)
class Piped(Dataset):
    """Recordings of which one is a pipe: who reads it waits until the test writes."""

    name: ClassVar[str] = "piped"
    example: ClassVar[str] = ""

    def listing(self):
        paths = sorted(self.root.iterdir())
        return Listing(("a",), tuple(Source(path, None, 0, "train", path.name) for path in paths))


@pytest.fixture
def piped(tmp_path):
    folder = tmp_path / "piped"
    folder.mkdir()
    for i in range(70):
        (folder / f"{i:02}.aedat").write_bytes(aedat2.encode(events(i)))
    os.mkfifo(folder / "10x.aedat")
    return folder


def with_children(pid):
    with suppress(OSError):  # it ends meanwhile
        own = [
            child for tasks in Path(f"/proc/{pid}/task").iterdir() for child in (tasks / "children").read_text().split()
        ]
        return [pid, *own]
    return [pid]


def reader(cluster, pipe):
    """The worker, or the process apart of one, that waits for the pipe, once one does; Linux shows its open files."""
    for _ in range(6000):
        for pid in (pid for worker in cluster.workers.values() for pid in with_children(worker.pid)):
            with suppress(OSError):
                if any(link.readlink() == pipe for link in Path(f"/proc/{pid}/fd").iterdir()):
                    return int(pid)
        time.sleep(0.01)
    raise TimeoutError(f"no worker reads {pipe}")


def kill_reader(cluster, pipe, data=b"", dying=None):
    """Kill the process that waits for the pipe, but for one that is ``dying``; its number.

    With ``data``, these are written for the one that waits after it.
    """
    with pipe.open("wb") as ours:
        while (killed := reader(cluster, pipe)) == dying:
            time.sleep(0.01)
        os.kill(killed, signal.SIGKILL)
        while data and reader(cluster, pipe) == killed:
            time.sleep(0.01)
        ours.write(data)
    return killed


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux shows who reads the pipe")


@needs_proc
def test_worker_killed_in_the_middle_of_a_shard(cluster, piped, out, tmp_path):
    pipe, data = piped / "10x.aedat", aedat2.encode(events(99))
    killer = threading.Thread(target=kill_reader, args=(cluster, pipe, data), daemon=True)
    killer.start()
    build(Piped(piped), out, cluster=cluster.scheduler_address, **SMALL)
    killer.join()
    pipe.unlink()
    pipe.write_bytes(data)
    build(Piped(piped), tmp_path / "local.h5", workers=1, **SMALL)
    cache, expected = FrameCache(out), FrameCache(tmp_path / "local.h5")
    np.testing.assert_array_equal(cache.stored(range(71)), expected.stored(range(71)))
    assert cache.sources == expected.sources


def kill_readers(cluster, pipe):
    """Kill the worker that waits for the pipe, and then the process apart that does."""
    kill_reader(cluster, pipe, dying=kill_reader(cluster, pipe))


@needs_proc
def test_a_recording_that_kills_its_workers_is_left_out_and_named(cluster, piped, out, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    killer = threading.Thread(target=kill_readers, args=(cluster, piped / "10x.aedat"), daemon=True)
    killer.start()
    build(Piped(piped), out, cluster=cluster.scheduler_address, **SMALL)
    killer.join()
    cache = FrameCache(out)
    assert (len(cache), cache.left_out) == (70, (("10x.aedat", DEADLY),))


def test_a_shard_that_kills_its_workers_again_is_named(monkeypatch, root, out):
    def result():
        raise distributed.KilledWorker("shard", None, 3)

    message = r"00000\.h5: 4 workers died that had this shard, .* are box/001\.aedat to "
    with pytest.raises(WorkerDiedError, match=message):
        on_cluster._finish(SimpleNamespace(result=result), planned(monkeypatch, root, out)[0])


def planned(monkeypatch, root, out):
    """The shards that a build would have made."""
    taken = []

    def stop(_client, shards):
        taken.extend(shards)
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(on_cluster, "_run", stop)
        patch.setattr(on_cluster, "_client", lambda *_: threading.Lock())
        with pytest.raises(KeyboardInterrupt):
            build(Folder(root, window="1ms"), out, cluster="tcp://nowhere:1", **SMALL)
    return taken


def test_what_travels_is_small_absolute_and_by_reference(root, out, monkeypatch):
    monkeypatch.chdir(root.parent)
    shards = planned(monkeypatch, Path(root.name), out)
    assert [len(shard.tasks) for shard in shards] == [64, 64, 2]
    assert all(task.source.path.is_absolute() for shard in shards for task in shard.tasks)
    assert all(shard.path.is_absolute() for shard in shards)
    data = pickle.dumps((write_shard, shards[0]))
    assert b"preprocessing.building.shards" in data
    assert len(data) < 64 * 400
    assert pickle.loads(data) == (write_shard, shards[0])


def test_shard_made_twice_is_the_same(root, out, monkeypatch):
    shard = planned(monkeypatch, root, out)[0]
    write_shard(shard)
    before = shard.path.read_bytes()
    write_shard(shard)
    assert shard.path.read_bytes() == before
    assert list(shard.path.parent.iterdir()) == [shard.path]


def test_worker_that_sees_other_files_or_runs_other_code(root, out, monkeypatch, tmp_path):
    own = shutil.copytree(root, tmp_path / "own")
    shard = planned(monkeypatch, own, out)[0]
    with monkeypatch.context() as patch:
        patch.setattr(shard_files, "code_stamp", lambda: "other")
        with pytest.raises(WorkerError, match="runs other code than this machine"):
            write_shard(shard)
    own.rename(tmp_path / "elsewhere")
    with pytest.raises(WorkerError, match=r"does not see .*own/box/001\.aedat"):
        write_shard(shard)
    shard.path.parent.rmdir()
    with pytest.raises(WorkerError, match=r"does not see .*frames\.h5\.shards"):
        write_shard(shard)


def test_shard_that_goes_missing_is_named(cluster, root, out):
    build_there(cluster, root, out)
    shards_of(out)[1].unlink()
    with pytest.raises(CacheError, match=r"its shard .*00001\.h5 is missing"):
        FrameCache(out)
    build_there(cluster, root, out)
    assert len(FrameCache(out).shards) == 3


def test_no_scheduler_and_no_dask(root, out, monkeypatch):
    for address in ("nonsense", "tcp://127.0.0.1:9", str(out.with_name("none.json"))):
        with pytest.raises(WorkerError, match=f"{address}: no Dask scheduler answers .*tcp://host:port"):
            build(Folder(root), out, cluster=address, cluster_patience_s=0.3, **SMALL)
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ValueError, match=r"pip install 'evglif\[cluster\]'"):
        build(Folder(root), out, cluster="tcp://127.0.0.1:9", **SMALL)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["silence", "a web page"])
def test_what_is_no_scheduler_is_waited_for_aloud_and_not_for_long(root, out, answer, monkeypatch, capsys):
    monkeypatch.setattr(on_cluster, "_QUIET_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as held:

        def accept():
            held.enter_context(server.accept()[0]).sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(WorkerError, match=f"{address}: no Dask scheduler answers .*tcp://host:port"):
            build(Folder(root), out, cluster=address, cluster_patience_s=2.0, **SMALL)
    told = capsys.readouterr().err
    assert answer or told == f"waiting for the Dask scheduler at {address}, 2 s at most\n"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"address": 5}', "\x00", "[" * 100_000])
def test_a_scheduler_file_that_is_none_is_named(root, out, content, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(content)
    with pytest.raises(WorkerError, match=r"scheduler\.json: no Dask scheduler answers"):
        build(Folder(root), out, cluster=str(path), cluster_patience_s=5.0, **SMALL)


def test_a_scheduler_without_workers_is_told_of(cluster, tmp_path, capsys):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    with on_cluster._client(str(file), 30.0) as client:
        assert client.scheduler.address == cluster.scheduler_address
    assert capsys.readouterr().err == ""
    on_cluster._connected(str(file), SimpleNamespace(nthreads=dict))
    told = "the scheduler has no workers; what is to be done waits until one comes"
    assert capsys.readouterr().err == f"{file}: {told}\n"
