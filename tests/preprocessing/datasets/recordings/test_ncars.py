import shutil
import zipfile

import pytest

from preprocessing.datasets import NCars

FILES = ["cars/obj_000001_td.dat", "background/obj_000002_td.dat"]


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_folders(tmp_path):
    make(tmp_path / "n-cars_train", *FILES)
    make(tmp_path / "n-cars_test", "cars/obj_000003_td.dat")
    listing = NCars(tmp_path).listing()
    assert listing.classes == ("background", "cars")
    assert listing.sensor == (120, 100)
    assert [(s.name, s.label, s.split) for s in listing.sources] == [
        ("n-cars_train/background/obj_000002_td.dat", 0, "train"),
        ("n-cars_train/cars/obj_000001_td.dat", 1, "train"),
        ("n-cars_test/cars/obj_000003_td.dat", 1, "test"),
    ]
    assert listing.left_out == ()
    assert listing.notes == (
        "n-cars_train: 2 recordings instead of 15422",
        "n-cars_test: 1 recordings instead of 8607",
    )


@pytest.mark.parametrize("outer", ["", "Prophesee_Dataset_n_cars"])
def test_archives_in_place_in_what_the_published_one_unpacks_to(tmp_path, outer):
    root = tmp_path / outer
    root.mkdir(exist_ok=True)
    for split in ("train", "test"):
        with zipfile.ZipFile(root / f"n-cars_{split}.zip", "w") as archive:
            archive.writestr(f"{split}/{FILES[0]}", split)
    sources = NCars(tmp_path).listing().sources
    assert [(s.name, s.split, s.read().decode()) for s in sources] == [
        (f"n-cars_{split}.zip/{split}/{FILES[0]}", split, split) for split in ("train", "test")
    ]


def test_other_files_and_a_missing_part_are_told(tmp_path):
    make(tmp_path / "n-cars_train", *FILES, "cars/notes.txt", "trucks/obj_000001_td.dat")
    listing = NCars(tmp_path).listing()
    assert len(listing.sources) == 2
    assert listing.left_out == (
        ("n-cars_train/cars/notes.txt", "not named cars/<name>.dat or background/<name>.dat"),
        ("n-cars_train/trucks/obj_000001_td.dat", "not named cars/<name>.dat or background/<name>.dat"),
        ("n-cars_test", "neither n-cars_test/ nor n-cars_test.zip is there"),
    )


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_missing_set_says_where_it_is_to_be_had(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"n-cars_train\.zip and n-cars_test\.zip") as error:
        NCars(tmp_path / name).listing()
    assert "https://www.prophesee.ai/dataset-n-cars/" in str(error.value)


def test_real_recording_lies_on_the_sensor_of_all(shared_data, tmp_path):
    (tmp_path / "n-cars_train" / "cars").mkdir(parents=True)
    shutil.copy(shared_data / "formats" / "ncars_sample.dat", tmp_path / "n-cars_train" / "cars" / "obj_004396_td.dat")
    listing = NCars(tmp_path).listing()
    recording = listing.sources[0].recording(listing.sensor)
    assert (recording.sensor, len(recording.events)) == ((120, 100), 2009)
    assert (int(recording.events["x"].max()), int(recording.events["y"].max())) == (77, 41)
