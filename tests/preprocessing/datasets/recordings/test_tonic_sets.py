import pickle
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from preprocessing.build import main
from preprocessing.cache import FrameCache
from preprocessing.datasets import NMNIST, Tonic
from preprocessing.datasets.recordings.tonic_sets import TonicSource
from preprocessing.events import RecordingError

XYTP = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.uint64), ("p", np.int8)])
EVENTS = [(3, 1, 10, 1), (4, 2, 20, -1), (5, 0, 20, 0)]


class FromFiles:
    """As tonic's classes whose recordings are files, with an official split."""

    classes = ("left", "right")
    sensor_size = (6, 4, 2)
    dtype = XYTP

    def __init__(self, save_to, train=True, transform=None):
        assert transform is None
        self.location_on_system = Path(save_to) / "FromFiles"
        self.data = [str(path) for path in self.location_on_system.glob(f"{'train' if train else 'test'}/*.npy")]
        self.data.reverse()
        self.targets = [int(Path(name).stem[0]) for name in self.data]
        if not self.data:
            raise OSError("no route to host")

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return np.load(self.data[index]), self.targets[index]


class InMemory:
    """As tonic's classes that hold arrays, without a split."""

    sensor_size = (6, 4, 2)
    dtype = XYTP
    classes = ("box", "mug")
    location_on_system = ""

    def __init__(self, save_to):
        assert save_to
        self.data = [np.array(EVENTS, XYTP)[: 1 + i % 3] for i in range(20)]
        self.targets = ["mug" if i % 2 else "box" for i in range(20)]

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index], self.targets[index]


class BySplit(InMemory):
    """As tonic's classes that take ``split``, with classes numbered by name."""

    classes = {"pen": 1, "cup": 0}  # noqa: RUF012

    def __init__(self, save_to, split="train"):
        super().__init__(save_to)
        num = {"train": 3, "test": 2}[split]
        self.data, self.targets = self.data[:num], [np.int64(1), 0, 1][:num]


class OfACochlea(InMemory):
    sensor_size = (700, 1, 1)
    dtype = np.dtype([("t", int), ("x", int), ("p", int)])


class OfAnySize(InMemory):
    sensor_size = None


class Scenes(InMemory):
    def __init__(self, save_to, scene):
        raise AssertionError(f"is refused before it downloads anything ({save_to}, {scene})")


class Places(InMemory):
    classes = None

    def __init__(self, save_to):
        raise AssertionError(f"is refused before it downloads anything ({save_to})")


class Unlabelled(InMemory):
    def __init__(self, save_to):
        super().__init__(save_to)
        self.targets = []


@pytest.fixture
def fake(monkeypatch):
    kinds = (FromFiles, InMemory, BySplit, OfACochlea, OfAnySize, Scenes, Places, Unlabelled)
    module = SimpleNamespace(__all__=[kind.__name__ for kind in kinds], **{kind.__name__: kind for kind in kinds})
    monkeypatch.setitem(sys.modules, "tonic.datasets", module)


@pytest.fixture
def root(tmp_path, fake):  # noqa: ARG001
    for name in ("train/1_b", "train/0_a", "test/1_c"):
        (tmp_path / "FromFiles" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "FromFiles" / name, np.array(EVENTS, XYTP))
    return tmp_path


def test_files_with_tonic_s_own_split_in_the_order_of_their_names(root):
    listing = Tonic(root, set="FromFiles").listing()
    assert (listing.classes, listing.sensor) == (("left", "right"), (6, 4))
    assert [(s.name, s.label, s.split) for s in listing.sources] == [
        ("test/1_c.npy", 1, "test"),
        ("train/0_a.npy", 0, "train"),
        ("train/1_b.npy", 1, "train"),
    ]
    assert listing.notes == ()
    size = (root / "FromFiles" / "test" / "1_c.npy").stat().st_size
    assert [s.num_bytes() for s in listing.sources] == [size] * 3


def test_any_order_and_type_of_fields_is_brought_to_ours(root):
    source = Tonic(root, set="FromFiles").listing().sources[0]
    recording = source.recording()
    assert recording.events.tolist() == [(10, 3, 1, True), (20, 4, 2, False), (20, 5, 0, False)]
    assert (recording.sensor, recording.format, recording.source) == ((6, 4), "tonic", "test/1_c.npy")
    assert source.opened().events.tolist() == recording.events.tolist()


def test_source_is_cheap_to_send_to_another_process(root):
    source = Tonic(root, set="FromFiles").listing().sources[0]
    packed = pickle.dumps(source)
    assert len(packed) < 1000
    assert pickle.loads(packed) == source
    assert pickle.loads(packed).recording().events.tolist() == source.recording().events.tolist()


@pytest.mark.usefixtures("fake")
def test_arrays_without_a_split_are_held_out_by_class(tmp_path):
    listing = Tonic(tmp_path, set="InMemory", test_fraction=0.2).listing()
    assert listing.classes == ("box", "mug")
    assert Counter((s.label, s.split) for s in listing.sources) == {
        (label, split): num for label in (0, 1) for split, num in (("train", 8), ("test", 2))
    }
    assert listing.notes == ("tonic has no split of InMemory: 20% of each class are held out for testing",)
    third = listing.sources[2]
    assert (third.name, third.num_bytes(), len(third.recording().events)) == ("all/000002", 3 * XYTP.itemsize, 3)
    assert Tonic(tmp_path, set="InMemory", seed=1, test_fraction=0.2).listing().sources != listing.sources


@pytest.mark.usefixtures("fake")
def test_split_by_name_and_classes_with_numbers(tmp_path):
    listing = Tonic(tmp_path, set="BySplit").listing()
    assert listing.classes == ("cup", "pen")
    assert [(s.name, s.label, s.split) for s in listing.sources] == [
        ("test/000000", 1, "test"),
        ("test/000001", 0, "test"),
        ("train/000000", 1, "train"),
        ("train/000001", 0, "train"),
        ("train/000002", 1, "train"),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "NoSuch",
            "tonic has no data set 'NoSuch'; those that can be built are FromFiles, InMemory, BySplit, Unlabelled",
        ),
        ("", "tonic has no data set ''"),
        ("OfACochlea", "OfACochlea cannot be built: its events have only t, x, p; they are of one dimension"),
        ("OfAnySize", "OfAnySize cannot be built: tonic gives it no sensor"),
        ("Scenes", "Scenes cannot be built: tonic wants to know scene to load it"),
        ("Places", "Places cannot be built: tonic names no classes"),
        ("Unlabelled", "Unlabelled cannot be built: 20 recordings with 0 classes"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_what_cannot_be_built(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        Tonic(tmp_path, set=name).listing()


@pytest.mark.usefixtures("fake")
def test_what_is_not_there_and_cannot_be_fetched(tmp_path):
    with pytest.raises(
        ValueError, match=r"tonic finds no FromFiles \(train=True\) there and cannot fetch it: no route to host"
    ):
        Tonic(tmp_path, set="FromFiles").listing()


def test_without_tonic(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tonic.datasets", None)
    with pytest.raises(ValueError, match=r"install it with: pip install 'evglif\[tonic\]'"):
        Tonic(tmp_path, set="NMNIST").listing()


def test_class_beyond_those_that_are_named(root):
    np.save(root / "FromFiles" / "train" / "2_x.npy", np.array(EVENTS, XYTP))
    with pytest.raises(ValueError, match=r"a recording of class 2, but its classes are \[0, 1\]"):
        Tonic(root, set="FromFiles").listing()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 4)), r"expected a structured array with t, x, y and p"),
        (np.array([(-1, 0, 5, 1)], XYTP), r"x has values that are no whole numbers from 0 \(\[-1\]\)"),
        (np.array([(6, 0, 5, 1)], XYTP), r"event 0 at \(6, 0\) lies outside the 6×4 sensor"),
        (np.array([], XYTP), "holds no events"),
    ],
)
def test_recording_that_cannot_be_used_is_named(root, content, message):
    np.save(root / "FromFiles" / "test" / "1_c.npy", content)
    source = Tonic(root, set="FromFiles").listing().sources[0]
    with pytest.raises(RecordingError, match=rf"^test/1_c\.npy: {message}"):
        source.recording()


def test_recording_that_tonic_cannot_read_is_named(root):
    (root / "FromFiles" / "test" / "1_c.npy").write_bytes(b"no array")
    source = Tonic(root, set="FromFiles").listing().sources[0]
    with pytest.raises(RecordingError, match=r"^test/1_c\.npy: tonic cannot read it \(ValueError: "):
        source.recording()


def test_another_order_of_files_takes_no_wrong_label(root):
    source = Tonic(root, set="FromFiles").listing().sources[0]
    moved = TonicSource(source.path, None, 1, "test", "test/other.npy", arguments=source.arguments, index=0, size=1)
    with pytest.raises(RecordingError, match=r"test/other\.npy: tonic lists its files in another order now"):
        moved.recording()


def test_listing_sees_what_came_since_the_last(root):
    before = Tonic(root, set="FromFiles").listing().sources
    np.save(root / "FromFiles" / "train" / "0_new.npy", np.array(EVENTS, XYTP))
    after = Tonic(root, set="FromFiles").listing().sources
    assert len(after) == len(before) + 1
    assert all(source.recording() for source in after)


def test_command_takes_the_name_behind_a_colon(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["tonic:FromFiles", "--root", str(root), "--size", "6x4", "--steps", "1", "--workers", "1"]) == 0
    with FrameCache(root / "data" / "tonic-fromfiles.h5") as cache:
        assert cache.classes == ("left", "right")
        assert len(cache) == 3
        assert cache[0].sum() == len(EVENTS)
    assert main(["tonic:NoSuch", "--root", str(root)]) == 1
    assert "tonic has no data set 'NoSuch'" in capsys.readouterr().err


def test_real_tonic_reads_as_we_do(shared_data, tmp_path, monkeypatch):
    """tonic's own N-MNIST on real files, against our reader of the same."""
    tonic = pytest.importorskip("tonic.datasets", exc_type=ImportError)
    monkeypatch.setattr(tonic.NMNIST, "_check_exists", lambda _: True)  # it asks for the archives and all 70,000 files
    (tmp_path / "NMNIST").mkdir()
    for part in ("Train", "Test"):
        (tmp_path / "NMNIST" / part).symlink_to(shared_data / "nmnist_small" / part)
    listing, ours = Tonic(tmp_path, set="NMNIST").listing(), NMNIST(tmp_path / "NMNIST").listing()
    assert listing.classes[3] == "3 - three"
    assert {(s.name, s.label, s.split) for s in listing.sources} == {(s.name, s.label, s.split) for s in ours.sources}
    by_name = {source.name: source for source in ours.sources}
    for source in listing.sources[::100]:
        assert source.num_bytes() == by_name[source.name].num_bytes()
        theirs, own = source.recording(), by_name[source.name].recording((34, 34))
        assert theirs.events.tobytes() == own.events.tobytes()
        assert theirs.sensor == own.sensor


def test_real_tonic_names_what_can_be_built(tmp_path):
    pytest.importorskip("tonic.datasets", exc_type=ImportError)
    with pytest.raises(ValueError, match=r"those that can be built are .*ASLDVS.*NMNIST.*POKERDVS") as error:
        Tonic(tmp_path, set="MNIST").listing()
    refused = {"SHD", "SSC", "SMNIST", "NTIDIGITS18", "MVSEC", "TUMVIE", "VPR", "EBSSA", "NCALTECH101"}
    assert not refused & {*str(error.value).replace(",", "").split()}
