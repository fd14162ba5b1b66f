import numpy as np
import pytest

from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets import DVS128Gesture
from preprocessing.datasets.base import Trial
from preprocessing.datasets.recordings.dvs128gesture import HEADER, read_labels
from preprocessing.events import make_events
from preprocessing.readers import aedat31

LABELS = f"{HEADER}\n1,1000,2000\n8,2500,3000\n8,3100,3600\n"


def unpack(folder, train=("user01_lab",), test=("user24_led",), labels=LABELS):
    folder.mkdir(parents=True)
    for split, names in (("train", train), ("test", test)):
        (folder / f"trials_to_{split}.txt").write_text("".join(f"{name}.aedat\r\n" for name in names) + "\n")
        for name in names:
            (folder / f"{name}.aedat").touch()
            (folder / f"{name}_labels.csv").write_text(labels)
    return folder


@pytest.mark.parametrize("folder", ["DvsGesture", "."])
def test_recordings_with_their_trials_and_the_official_split(tmp_path, folder):
    unpack(tmp_path / "root" / folder)
    listing = DVS128Gesture(tmp_path / "root").listing()
    assert (len(listing.classes), listing.classes[0], listing.classes[10]) == (11, "hand_clapping", "other_gestures")
    assert (listing.sensor, listing.left_out) == ((128, 128), ())
    assert [(s.name, s.split, s.label) for s in listing.sources] == [
        ("user01_lab.aedat", "train", 0),
        ("user24_led.aedat", "test", 0),
    ]
    trials = (Trial(0, 1000, 2000), Trial(7, 2500, 3000), Trial(7, 3100, 3600))
    assert [s.trials for s in listing.sources] == [trials, trials]
    assert listing.notes == ("3 train trials are there instead of 1176", "3 test trials are there instead of 288")


def test_trials_may_overlap_and_end_with_the_line_ends_of_windows(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfclass,startTime_usec,endTime_usec\r\n9, 10, 30\r\n10,20,4294967296\r\n\r\n")
    assert read_labels(path) == (Trial(8, 10, 30), Trial(9, 20, 1 << 32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected class,startTime_usec,endTime_usec, got ''"),
        ("1,2,3\n", "line 1: expected class,startTime_usec,endTime_usec, got '1,2,3'"),
        (f"{HEADER}\n", "no trials after the header"),
        (f"{HEADER}\n1,2,3\n1,2\n", "line 3: expected three whole numbers .*, got '1,2'"),
        (f"{HEADER}\n1,2,3,4\n", "line 2: expected three whole numbers"),
        (f"{HEADER}\n1,-2,3\n", "line 2: expected three whole numbers .*, got '1,-2,3'"),
        (f"{HEADER}\n\n1,2.5,3\n", "line 3: expected three whole numbers"),
        (f"{HEADER}\n0,2,3\n", "line 2: class 0 is not one of 1 to 11"),
        (f"{HEADER}\n12,2,3\n", "line 2: class 12 is not one of 1 to 11"),
        (f"{HEADER}\n1,3,3\n", "line 2: the trial ends at 3 µs, not after its start at 3 µs"),
    ],
)
def test_broken_label_file_is_an_error_with_the_line(tmp_path, text, message):
    unpack(tmp_path / "DvsGesture", labels=text)
    with pytest.raises(ValueError, match=rf"user01_lab_labels\.csv: {message}"):
        DVS128Gesture(tmp_path).listing()


def test_what_is_missing_or_doesn_t_belong_is_told(tmp_path):
    folder = unpack(tmp_path / "DvsGesture", train=("user01_lab", "user01_led", "user02_lab"))
    (folder / "user01_led.aedat").unlink()
    (folder / "user02_lab_labels.csv").unlink()
    (folder / "user30_lab.aedat").touch()
    (folder / "README.txt").touch()
    (folder / "trials_to_test.txt").unlink()
    listing = DVS128Gesture(tmp_path).listing()
    assert [s.name for s in listing.sources] == ["user01_lab.aedat"]
    assert dict(listing.left_out) == {
        "user01_led.aedat": "user01_led.aedat is not there, but trials_to_train.txt asks for it",
        "user02_lab.aedat": "user02_lab_labels.csv is not there, but trials_to_train.txt asks for it",
        "trials_to_test.txt": "not there; the recordings it lists are not built",
        "user24_led.aedat": "in neither trials_to_train.txt nor trials_to_test.txt",
        "user30_lab.aedat": "in neither trials_to_train.txt nor trials_to_test.txt",
    }


def test_person_on_both_sides_of_the_split(tmp_path):
    unpack(tmp_path / "DvsGesture", test=("user01_lab",))
    with pytest.raises(ValueError, match=r"user01_lab\.aedat: listed twice, in trials_to_train\.txt and for test"):
        DVS128Gesture(tmp_path).listing()


def test_missing_set_says_where_it_is_to_be_had(tmp_path):
    (tmp_path / "DvsGesture.tar.gz").touch()
    with pytest.raises(FileNotFoundError, match=r"expected DvsGesture/ with trials_to_train\.txt") as error:
        DVS128Gesture(tmp_path).listing()
    assert "tar -xzf DvsGesture.tar.gz" in str(error.value)


def test_real_label_file(shared_data):
    trials = read_labels(shared_data / "dvs_gesture_clips" / "user01_natural_labels.csv")
    assert [trial.label for trial in trials] == [0, 1, 2, 4, 3, 5, 6, 7, 7, 8, 9, 10]
    assert trials[0] == Trial(0, 53036986, 59508469)
    assert trials[-1] == Trial(10, 171367247, 177991967)


def test_trials_count_in_the_times_of_the_recording(tmp_path):
    """Those of the label files are the camera's, as in the AEDAT-3.1 records; SpikingJelly compares them so too."""
    t = [999, 1000, 1999, 2000, 2700, 3000]
    folder = unpack(tmp_path / "DvsGesture")
    (folder / "user01_lab.aedat").write_bytes(
        aedat31.encode(make_events(t, range(6), range(6), [True] * 6), (128, 128))
    )
    source = DVS128Gesture(tmp_path).listing().sources[0]
    assert source.recording((128, 128)).events["t"].tolist() == t
    (folder / "user24_led.aedat").unlink()
    build(DVS128Gesture(tmp_path), tmp_path / "out.h5", steps=1, size=(128, 128), workers=1)
    with FrameCache(tmp_path / "out.h5") as cache:
        places = [np.argwhere(frames[0, 1])[:, 0].tolist() for frames in (cache[0], cache[1])]
        assert places == [[1, 2], [4]]  # the events at 1000 and 1999 µs, and at 2700
        assert cache.labels.tolist() == [0, 7]
        assert dict(cache.left_out)["user01_lab.aedat@3100us"] == "no events in this part"
