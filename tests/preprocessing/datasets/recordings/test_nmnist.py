import zipfile

import pytest

from preprocessing.datasets import NMNIST

FILES = ["Train/0/00002.bin", "Train/0/00010.bin", "Train/7/00001.bin", "Test/7/00003.bin"]


@pytest.fixture
def unpacked(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    return tmp_path


def test_folders(unpacked):
    listing = NMNIST(unpacked).listing()
    assert listing.classes == tuple("0123456789")
    assert listing.sensor == (34, 34)
    assert [(s.name, s.label, s.split) for s in listing.sources] == [
        ("Train/0/00002.bin", 0, "train"),
        ("Train/0/00010.bin", 0, "train"),
        ("Train/7/00001.bin", 7, "train"),
        ("Test/7/00003.bin", 7, "test"),
    ]
    assert listing.left_out == ()


def test_archives_in_place(tmp_path):
    for part in ("Train", "Test"):
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            archive.writestr(f"{part}/", "")
            for name in FILES:
                if name.startswith(part):
                    archive.writestr(name, name)
    sources = NMNIST(tmp_path).listing().sources
    assert [s.name for s in sources] == [f"{name.partition('/')[0]}.zip/{name}" for name in FILES]
    assert [s.read().decode() for s in sources] == FILES
    assert [(s.label, s.split) for s in sources] == [(0, "train"), (0, "train"), (7, "train"), (7, "test")]


def test_other_files_and_a_missing_part_are_told(unpacked):
    (unpacked / "Train" / "README.txt").touch()
    (unpacked / "Train" / "ten").mkdir()
    (unpacked / "Train" / "ten" / "1.bin").touch()
    (unpacked / "Test" / "7" / "00003.bin").unlink()
    (unpacked / "Test" / "7").rmdir()
    (unpacked / "Test").rmdir()
    listing = NMNIST(unpacked).listing()
    assert len(listing.sources) == 3
    assert [entry.source for entry in listing.left_out] == ["Train/README.txt", "Train/ten/1.bin", "Test"]


def test_missing_root_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: nothing of this data set is there; expected Train/"
    ) as error:
        NMNIST(tmp_path / "nowhere").listing()
    assert "Train.zip  https://data.mendeley.com/" in str(error.value)


def test_downloaded_files_are_those_that_are_looked_for(tmp_path):
    for file in NMNIST(tmp_path).remote_files():
        with zipfile.ZipFile(tmp_path / file.name, "w") as archive:
            archive.writestr(f"{file.name.removesuffix('.zip')}/3/00001.bin", b"12345")
    listing = NMNIST(tmp_path).listing()
    assert [(s.label, s.split) for s in listing.sources] == [(3, "train"), (3, "test")]
    assert listing.left_out == ()


def test_real_files(shared_data):
    sources = NMNIST(shared_data / "nmnist_small").listing().sources
    assert [sum(s.split == split for s in sources) for split in ("train", "test")] == [1000, 100]
