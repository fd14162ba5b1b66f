import io
import pickle
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import CIFAR10, CIFAR100
from preprocessing.datasets.recordings.cifar10dvs import CLASSES
from preprocessing.datasets.stills.cifar import COARSE, FINE
from preprocessing.download import RemoteFile
from preprocessing.events import RecordingError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32)).astype(np.uint8)
LABELS = np.array([6, 9, 9, 4, 1, 1, 2, 7, 8, 3, 0, 5])
FINE_LABELS, COARSE_LABELS = np.array([99, 0, 41]), np.array([13, 4, 19])
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def batch(rows, **labels):
    content = {key.encode(): values[rows].tolist() for key, values in labels.items()}
    return pickle.dumps({b"data": IMAGES[rows].reshape(-1, 3072), **content}, protocol=3)


def records(rows, *labels):
    rows_of_bytes = np.concatenate([*(v[rows, None] for v in labels), IMAGES[rows].reshape(-1, 3072)], axis=1)
    return rows_of_bytes.astype(np.uint8).tobytes()


def python_10():
    """Two images a batch."""
    return {f"cifar-10-batches-py/{n}": batch(slice(2 * i, 2 * i + 2), labels=LABELS) for i, n in enumerate(NAMES)}


def binary_10():
    files = ((name, slice(2 * i, 2 * i + 2)) for i, name in enumerate(NAMES))
    return {f"cifar-10-batches-bin/{name}.bin": records(rows, LABELS) for name, rows in files}


def python_100():
    """Two training images and one test image."""
    labels = {"fine_labels": FINE_LABELS, "coarse_labels": COARSE_LABELS}
    files = (("train", slice(2)), ("test", slice(2, 3)))
    return {f"cifar-100-python/{name}": batch(rows, **labels) for name, rows in files}


def binary_100():
    files = (("train.bin", slice(2)), ("test.bin", slice(2, 3)))
    return {f"cifar-100-binary/{name}": records(rows, COARSE_LABELS, FINE_LABELS) for name, rows in files}


def unpack(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def archived(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in {**files, "readme.html": b"<html>"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


EDITIONS_10 = {
    "python": python_10,
    "binary": binary_10,
    "python archive": lambda: {"cifar-10-python.tar.gz": archived(python_10())},
    "binary archive": lambda: {"cifar-10-binary.tar.gz": archived(binary_10())},
    "the folder itself": lambda: {name.partition("/")[2]: data for name, data in python_10().items()},
}
EDITIONS_100 = {
    "python": python_100,
    "binary": binary_100,
    "python archive": lambda: {"cifar-100-python.tar.gz": archived(python_100())},
    "binary archive": lambda: {"cifar-100-binary.tar.gz": archived(binary_100())},
}


@pytest.mark.parametrize("edition", EDITIONS_10)
def test_every_edition_has_the_same_images(tmp_path, edition):
    build(CIFAR10(unpack(tmp_path / "data", EDITIONS_10[edition]())), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert cache.classes == CLASSES
    assert (cache.shape, cache.dtype) == ((1, 3, 32, 32), np.uint8)
    assert cache.labels.tolist() == LABELS.tolist()
    assert cache.splits == ("train",) * 10 + ("test",) * 2
    assert cache.sources[-3:] == ("train/000009", "test/000000", "test/000001")
    np.testing.assert_array_equal(cache.stored(range(12))[:, 0], IMAGES)


def test_every_edition_makes_the_same_file(tmp_path):
    files = set()
    for name, content in EDITIONS_10.items():
        build(CIFAR10(unpack(tmp_path / name, content())), tmp_path / f"{name}.h5", workers=1)
        files.add((tmp_path / f"{name}.h5").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("edition", EDITIONS_100)
@pytest.mark.parametrize(
    ("labels", "names", "expected"), [("fine", FINE, FINE_LABELS), ("coarse", COARSE, COARSE_LABELS)]
)
def test_fine_and_coarse_labels(tmp_path, edition, labels, names, expected):
    listing = CIFAR100(unpack(tmp_path, EDITIONS_100[edition]()), labels=labels).listing()
    assert listing.classes == names
    assert [source.label for source in listing.sources] == expected.tolist()
    assert [source.split for source in listing.sources] == ["train", "train", "test"]


def test_there_are_a_hundred_classes_in_twenty_groups():
    assert (len(set(FINE)), len(set(COARSE))) == (100, 20)
    assert list(FINE) == sorted(FINE)
    assert list(COARSE) == sorted(COARSE)
    with pytest.raises(ValueError, match="unknown labels 'both'; choose fine or coarse"):
        CIFAR100(labels="both")


class Touches:
    def __reduce__(self):
        return exec, ("open('made', 'w')",)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "py/data_batch_2",
            python_10()["cifar-10-batches-py/data_batch_2"][:-40],
            "is not a batch of CIFAR: no pickle",
        ),
        ("py/data_batch_2", pickle.dumps({b"data": Touches()}), r"is not a batch of CIFAR: .* builtins.exec"),
        ("py/data_batch_2", pickle.dumps([1, 2]), "expected data and labels, got list"),
        ("py/data_batch_2", pickle.dumps({"num_cases": 1}), "expected data and labels, got num_cases"),
        ("py/data_batch_2", batch(slice(2), labels=LABELS + 5), "has labels from 11 to 14, expected 0 to 9"),
        ("py/data_batch_2", batch(slice(2), labels=LABELS - 7), "has labels from -1 to 2, expected 0 to 9"),
        (
            "py/data_batch_2",
            batch(slice(2), labels=LABELS / 2),
            "expected a whole number and 3072 bytes for each image",
        ),
        (
            "py/data_batch_2",
            pickle.dumps({b"data": np.zeros((2, 3072), np.int16), b"labels": [1, 2]}, protocol=3),
            r"got 2 labels and int16 \[2, 3072\]",
        ),
        (
            "py/data_batch_2",
            pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [1, 2]}, protocol=3),
            r"got 2 labels and uint8 \[1, 3072\]",
        ),
        ("bin/data_batch_2.bin", records(slice(2), LABELS)[:-1], "has 6145 bytes, expected records of 3073"),
        ("bin/data_batch_2.bin", b"", "has 0 bytes, expected records of 3073"),
        ("bin/data_batch_2.bin", records(slice(2), LABELS + 5), "has labels from 11 to 14, expected 0 to 9"),
    ],
)
def test_damaged_batches_are_named(tmp_path, monkeypatch, name, data, message):
    monkeypatch.chdir(tmp_path)
    files = {**(python_10() if name.startswith("py") else binary_10()), f"cifar-10-batches-{name}": data}
    with pytest.raises(RecordingError, match=rf"{name}: .*{message}"):
        CIFAR10(unpack(tmp_path / "data", files)).listing()
    assert not (tmp_path / "made").exists()


def test_incomplete_and_damaged_archives_are_refused(tmp_path):
    files = python_10()
    del files["cifar-10-batches-py/data_batch_3"]
    with pytest.raises(RecordingError, match="data_batch_3 is missing; remove it and fetch it again"):
        CIFAR10(unpack(tmp_path / "a", files)).listing()
    archive = archived(python_10())
    for place, data in (("b", archive[: len(archive) // 2]), ("c", b"<html>"), ("d", archived(files))):
        with pytest.raises(RecordingError, match=r"cifar-10-python\.tar\.gz: .*remove it and fetch it again"):
            CIFAR10(unpack(tmp_path / place, {"cifar-10-python.tar.gz": data})).listing()


def test_other_sizes_and_grey(tmp_path):
    root = unpack(tmp_path / "data", binary_10())
    build(CIFAR10(root, size=(20, 16), channels=1), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert (cache.shape, cache.size) == ((1, 1, 16, 20), (20, 16))
    with pytest.raises(ValueError, match=r"channels are 1 \(grey\) or 3 \(red, green, blue\), got 2"):
        CIFAR10(root, channels=2)


@pytest.fixture
def server(tmp_path):
    unpack(tmp_path / "served", {"cifar-10-binary.tar.gz": archived(binary_10())})

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "served")) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_can_be_downloaded(server, tmp_path, monkeypatch, capsys):
    [published] = CIFAR10().remote_files()
    served = RemoteFile(published.name, f"{server}/{published.name}")
    monkeypatch.setattr(CIFAR10, "remote_files", lambda _: (served,))
    root, out = tmp_path / "data", tmp_path / "a.h5"
    assert main(["cifar10", "--root", str(root), "--out", str(out), "--workers", "1"]) == 1
    assert "--download fetches it" in capsys.readouterr().err
    assert main(["cifar10", "--root", str(root), "--out", str(out), "--workers", "1", "--download"]) == 0
    assert len(FrameCache(out)) == 12


def test_what_is_not_the_published_file_is_refused(server, tmp_path, monkeypatch, capsys):
    [published] = CIFAR10().remote_files()
    served = RemoteFile(published.name, f"{server}/{published.name}", md5=published.md5)
    monkeypatch.setattr(CIFAR10, "remote_files", lambda _: (served,))
    assert main(["cifar10", "--root", str(tmp_path / "data"), "--download"]) == 1
    assert f"published is {published.md5}; it was removed" in capsys.readouterr().err
