import zipfile

import pytest

from preprocessing.datasets import CIFAR10DVS
from preprocessing.datasets.recordings.cifar10dvs import CLASSES


def unpack(root, num=20, classes=CLASSES, suffix=".aedat"):
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(num):
            (root / name / f"cifar10_{name}_{i}{suffix}").touch()
    return root


def numbers(sources, split, label=0):
    chosen = [s.name for s in sources if s.split == split and s.label == label]
    return [int(name.rpartition(".")[0].rpartition("_")[2]) for name in chosen]


def test_reference_split_of_a_full_class_is_the_published_one(tmp_path):
    sources = CIFAR10DVS(unpack(tmp_path, 1000, ["bird"])).listing().sources
    test = numbers(sources, "test", label=2)
    assert sorted(test) == [*range(91, 100), *range(909, 1000)]
    assert len(numbers(sources, "train", label=2)) == 900


def test_numeric_split_of_a_full_class(tmp_path):
    sources = CIFAR10DVS(unpack(tmp_path, 1000, ["bird"]), split="numeric").listing().sources
    assert sorted(numbers(sources, "test", label=2)) == list(range(900, 1000))


def test_random_split_is_stratified_and_reproducible(tmp_path):
    unpack(tmp_path)
    drawn = [CIFAR10DVS(tmp_path, split=f"random:{seed}").listing().sources for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(numbers(drawn[0], "test", label)) == 2 for label in range(10))


def test_labels_order_and_orientation(tmp_path):
    listing = CIFAR10DVS(unpack(tmp_path, 2)).listing()
    assert " ".join(listing.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    assert [(s.name, s.label) for s in listing.sources][:3] == [
        ("airplane/cifar10_airplane_0.aedat", 0),
        ("airplane/cifar10_airplane_1.aedat", 0),
        ("automobile/cifar10_automobile_0.aedat", 1),
    ]
    assert (listing.sensor, listing.transpose, listing.half_turn) == ((128, 128), True, False)
    assert not CIFAR10DVS(tmp_path, orientation="sensor").listing().transpose


@pytest.mark.parametrize(
    ("orientation", "original", "aedat4"),
    [
        ("reference", (True, False), (True, True)),
        ("upright", (True, False), (True, True)),
        ("sensor", (False, False), (False, False)),
    ],
)
def test_each_edition_has_its_own_way_to_lie(tmp_path, orientation, original, aedat4):
    unpack(tmp_path, 2, ["cat"])
    unpack(tmp_path, 2, ["cat"], ".aedat4")
    for edition, expected in (("original", original), ("aedat4", aedat4)):
        listing = CIFAR10DVS(tmp_path, orientation=orientation, edition=edition).listing()
        assert (listing.transpose, listing.half_turn) == expected


def test_an_edition_that_was_not_chosen_is_found_and_kept(tmp_path):
    assert CIFAR10DVS(unpack(tmp_path, 2, ["cat"], ".aedat4")).listing().found == {"edition": "aedat4"}


def test_editions_of_different_classes_are_not_mixed_either(tmp_path):
    unpack(tmp_path, 2, ["cat"])
    unpack(tmp_path, 2, ["dog"], ".aedat4")
    with pytest.raises(ValueError, match=r"both editions are there, original \(cat/.*\.aedat\) and aedat4 \(dog/"):
        CIFAR10DVS(tmp_path).listing()


def test_archive_is_read_in_place_and_split_like_the_folder(tmp_path):
    unpack(tmp_path / "folder", classes=["cat"])
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / "cat.zip", "w") as archive:
        for i in reversed(range(20)):
            archive.writestr(f"cat/cifar10_cat_{i}.aedat", f"recording {i}")
    for split in ("reference", "numeric", "random:3"):
        of_folder = CIFAR10DVS(tmp_path / "folder", split).listing().sources
        of_zip = CIFAR10DVS(tmp_path / "zip", split).listing().sources
        assert [(s.name.rpartition("/")[2], s.split) for s in of_folder] == [
            (s.name.rpartition("/")[2], s.split) for s in of_zip
        ]
    assert of_zip[-1].read() == b"recording 9"


def test_incomplete_set_is_told(tmp_path):
    unpack(tmp_path, 3, CLASSES[:9])
    (tmp_path / "ship" / "cifar10_cat_1.aedat").touch()
    (tmp_path / "ship" / "cifar10_ship_x.aedat").touch()
    listing = CIFAR10DVS(tmp_path).listing()
    assert listing.classes == CLASSES
    assert {entry.source: entry.reason for entry in listing.left_out} == {
        "ship/cifar10_cat_1.aedat": "not named cifar10_ship_<n>.aedat or .aedat4",
        "ship/cifar10_ship_x.aedat": "not named cifar10_ship_<n>.aedat or .aedat4",
        "truck": "class missing: neither truck.zip nor truck/ is there",
    }
    assert "airplane: 3 recordings instead of 1000" in listing.notes


def test_damaged_archive_leaves_the_other_classes(tmp_path):
    unpack(tmp_path, 10, ["cat"])
    (tmp_path / "dog.zip").write_bytes(b"<html>")
    listing = CIFAR10DVS(tmp_path).listing()
    assert {s.label for s in listing.sources} == {3}
    assert dict(listing.left_out)["dog.zip"].startswith("cannot be read as a zip archive")


def test_full_class_needs_no_note(tmp_path):
    assert CIFAR10DVS(unpack(tmp_path, 1000, ["dog"])).listing().notes == ()


def test_missing_set_says_where_it_is_to_be_had(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        CIFAR10DVS(tmp_path / "nowhere").listing()
    message = str(error.value)
    assert str(tmp_path / "nowhere") in message
    assert "airplane.zip  https://ndownloader.figshare.com/files/7712788" in message
    assert message.count("https://") == 10
    assert "--edition aedat4" in message


@pytest.mark.parametrize("split", ["reference", "numeric", "random:0"])
def test_both_editions_have_the_same_splits(tmp_path, split):
    unpack(tmp_path / "original", 150, ["bird"])
    unpack(tmp_path / "aedat4", 150, ["bird"], ".aedat4")
    original, other = (CIFAR10DVS(tmp_path / name, split).listing() for name in ("original", "aedat4"))
    assert numbers(original.sources, "test", 2) == numbers(other.sources, "test", 2)
    assert len(numbers(other.sources, "test", 2)) == 15
    assert [s.name.removesuffix("4") for s in other.sources] == [s.name for s in original.sources]
    assert not any("viewer DV" in note for note in original.notes)
    assert any("viewer DV" in note for note in other.notes)


def test_other_edition_is_read_in_place_from_its_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "cat.zip", "w") as archive:
        for i in (3, 1, 2):
            archive.writestr(f"cat/cifar10_cat_{i}.aedat4", f"recording {i}")
    listing = CIFAR10DVS(tmp_path).listing()
    assert [(s.name, s.read()) for s in listing.sources][1:] == [
        ("cat.zip/cat/cifar10_cat_2.aedat4", b"recording 2"),
        ("cat.zip/cat/cifar10_cat_3.aedat4", b"recording 3"),
    ]


def test_one_edition_a_build(tmp_path):
    unpack(tmp_path, 2, ["cat"])
    unpack(tmp_path, 3, ["cat", "dog"], ".aedat4")
    with pytest.raises(ValueError, match=r"both editions are there, original \(cat/.*\.aedat\) and aedat4.*--edition"):
        CIFAR10DVS(tmp_path).listing()
    original = CIFAR10DVS(tmp_path, edition="original").listing()
    assert [s.name for s in original.sources] == ["cat/cifar10_cat_0.aedat", "cat/cifar10_cat_1.aedat"]
    assert original.left_out.count(("dog/cifar10_dog_0.aedat4", "of the edition aedat4; built is original")) == 1
    assert len(CIFAR10DVS(tmp_path, edition="aedat4").listing().sources) == 6


def test_each_edition_can_be_downloaded(tmp_path):
    assert [file.name for file in CIFAR10DVS(tmp_path).remote_files()] == [f"{name}.zip" for name in CLASSES]
    (file,) = CIFAR10DVS(tmp_path, edition="aedat4").remote_files()
    assert (file.name, file.unpack) == ("CIFAR10DVS.zip", True)


def test_unknown_edition():
    with pytest.raises(ValueError, match="'third'; choose original or aedat4"):
        CIFAR10DVS(edition="third")


@pytest.mark.parametrize("split", ["randomly", "random:", "random:x", ""])
def test_unknown_split(split):
    with pytest.raises(ValueError, match="choose reference, numeric or random:SEED"):
        CIFAR10DVS(split=split)


def test_unknown_orientation():
    with pytest.raises(ValueError, match="'upside down'; choose reference, upright or sensor"):
        CIFAR10DVS(orientation="upside down")
