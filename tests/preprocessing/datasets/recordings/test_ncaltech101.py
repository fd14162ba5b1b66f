import shutil
import zipfile
from collections import Counter

import pytest

from preprocessing.datasets import NCALTECH101
from preprocessing.datasets.recordings.ncaltech101 import BACKGROUND, OBJECTS


def unpack(root, num=10, classes=(BACKGROUND, *OBJECTS)):
    for name in classes:
        (root / "Caltech101" / name).mkdir(parents=True)
        for i in range(1, num + 1):
            (root / "Caltech101" / name / f"image_{i:04d}.bin").touch()
    return root


def test_a_hundred_objects_and_the_background(tmp_path):
    listing = NCALTECH101(unpack(tmp_path, 2)).listing()
    assert len(listing.classes) == len(set(listing.classes)) == 101
    assert list(listing.classes) == sorted(listing.classes)  # as others number them
    assert (listing.classes[0], listing.classes[5]) == ("BACKGROUND_Google", "airplanes")
    assert (listing.sensor, listing.left_out) == ((240, 180), ())
    assert all(s.name.startswith(f"Caltech101/{listing.classes[s.label]}/image_") for s in listing.sources)


def test_share_of_each_class_is_held_out_and_told(tmp_path):
    unpack(tmp_path)
    listing = NCALTECH101(tmp_path, test_fraction=0.2).listing()
    counts = Counter((s.label, s.split) for s in listing.sources)
    assert set(counts.values()) == {2, 8}
    assert "no official split: 20% of each class are held out for testing, drawn with seed 0" in listing.notes[0]
    assert listing.notes[1] == "1010 recordings are there instead of 8709"
    assert NCALTECH101(tmp_path, test_fraction=0.2, seed=1).listing().sources != listing.sources
    names = {s.name.rpartition("/")[2] for s in listing.sources if s.split == "test"}
    assert len(names) > 2  # image_0001 of every class would be no draw


def test_without_the_background(tmp_path):
    listing = NCALTECH101(unpack(tmp_path, 2), background="without").listing()
    assert (len(listing.classes), listing.classes[0], len(listing.sources)) == (100, "Faces_easy", 200)
    assert "BACKGROUND_Google is left out, 2 recordings" in listing.notes
    assert listing.left_out == ()


def test_archive_is_read_in_place_and_split_like_the_folder(tmp_path):
    unpack(tmp_path / "folder", 5, ["ant", "yin_yang"])
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / NCALTECH101(tmp_path).remote_files()[0].name, "w") as archive:
        for name in ("yin_yang", "ant"):
            for i in range(1, 6):
                archive.writestr(f"Caltech101/{name}/image_{i:04d}.bin", f"{name} {i}")
    of_folder, of_zip = (NCALTECH101(tmp_path / name).listing().sources for name in ("folder", "zip"))
    assert [(s.label, s.split, s.name) for s in of_zip] == [
        (s.label, s.split, f"Caltech101.zip/{s.name}") for s in of_folder
    ]
    assert of_zip[-1].read() == b"yin_yang 5"


def test_what_is_missing_or_doesn_t_belong_is_told(tmp_path):
    unpack(tmp_path, 2, ["ant", "Faces"])
    (tmp_path / "Caltech101" / "ant" / "annotation.mat").touch()
    (tmp_path / "Caltech101" / "README.bin").touch()
    listing = NCALTECH101(tmp_path).listing()
    assert [s.name for s in listing.sources] == ["Caltech101/ant/image_0001.bin", "Caltech101/ant/image_0002.bin"]
    reasons = dict(listing.left_out)
    for name in ("Faces/image_0001.bin", "ant/annotation.mat", "README.bin"):
        assert reasons[f"Caltech101/{name}"].startswith("not named <class>/<image>.bin")
    assert reasons["wrench"] == "no recordings of this class are there"


def test_missing_set_says_where_it_is_to_be_had(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected Caltech101/ .* or Caltech101\.zip") as error:
        NCALTECH101(tmp_path / "nowhere").listing()
    assert "Caltech101.zip  https://data.mendeley.com/" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"background": "none"}, "'none'; choose class or without"), ({"test_fraction": 1.0}, "between 0 and 1")],
)
def test_options_that_cannot_be_meant(options, message):
    with pytest.raises(ValueError, match=message):
        NCALTECH101(**options)


def test_real_recording_lies_on_the_sensor_of_all(shared_data, tmp_path):
    unpack(tmp_path, 0, ["Faces_easy"])
    real = shared_data / "formats" / "ncaltech101_faces_easy_0001.bin"
    shutil.copy(real, tmp_path / "Caltech101" / "Faces_easy" / "image_0001.bin")
    listing = NCALTECH101(tmp_path).listing()
    recording = listing.sources[0].recording(listing.sensor)
    assert (recording.sensor, len(recording.events)) == ((240, 180), 67445)
    assert (int(recording.events["x"].max()), int(recording.events["y"].max())) == (150, 172)
