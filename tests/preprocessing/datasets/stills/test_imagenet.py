import numpy as np
import pytest
from PIL import Image

from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import ImageNet
from preprocessing.frames.pictures import read_picture

SIZES = [(40, 30), (30, 40), (64, 20)]
TENCH, SHARK = "n01440764", "n01484850"


def photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[seed % len(SIZES)]
    smooth = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(smooth).resize((width, height)).save(path, quality=95)


@pytest.fixture
def root(tmp_path):
    names = [f"train/{wnid}/{wnid}_{i}.JPEG" for wnid in (TENCH, SHARK) for i in range(3)]
    names += [f"val/{TENCH}/ILSVRC2012_val_00000001.JPEG", f"val/{SHARK}/ILSVRC2012_val_00000002.JPEG"]
    for seed, name in enumerate(names):
        photo(tmp_path / "data" / name, seed)
    return tmp_path / "data"


def found(listing):
    return [(s.name, listing.classes[s.label], s.split) for s in listing.sources]


def test_train_and_val_folders(root):
    listing = ImageNet(root).listing()
    assert listing.classes == (TENCH, SHARK)
    assert found(listing)[0] == (f"train/{TENCH}/{TENCH}_0.JPEG", TENCH, "train")
    assert found(listing)[-1] == (f"val/{SHARK}/ILSVRC2012_val_00000002.JPEG", SHARK, "test")
    assert listing.left_out == ()
    assert (listing.pictures.size, listing.pictures.shorter_side, listing.pictures.channels) == ((224, 224), 256, 3)


def test_the_middle_of_the_resized_photo_is_kept(root, tmp_path):
    build(ImageNet(root, size=(8, 8), shorter_side=10), tmp_path / "a.h5", workers=1)
    cache = FrameCache(tmp_path / "a.h5")
    assert cache.shape == (1, 3, 8, 8)
    for index, name in enumerate(cache.sources):
        with Image.open(root / name) as image:
            shorter = min(image.size)
            size = 10 * image.width // shorter, 10 * image.height // shorter
            resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        left, top = round((size[0] - 8) / 2), round((size[1] - 8) / 2)
        expected = resized[top : top + 8, left : left + 8]
        np.testing.assert_array_equal(cache.stored([index])[0, 0].transpose(1, 2, 0), expected)


@pytest.mark.parametrize(
    "lines",
    [
        "ImageId,PredictionString\nILSVRC2012_val_00000007,n01484850 1 2 3 4\nILSVRC2012_val_00000008,n01440764 5 6\n",
        "ILSVRC2012_val_00000007.JPEG n01484850\nILSVRC2012_val_00000008.JPEG n01440764",
    ],
    ids=["as Kaggle's", "plain"],
)
def test_test_images_in_one_folder_with_a_file_of_labels(root, tmp_path, lines):
    for number in (7, 8, 9):
        photo(root / f"val/ILSVRC2012_val_0000000{number}.JPEG", number)
    (tmp_path / "labels").write_text(lines)
    listing = ImageNet(root, val_labels=tmp_path / "labels").listing()
    assert ("val/ILSVRC2012_val_00000007.JPEG", SHARK, "test") in found(listing)
    assert ("val/ILSVRC2012_val_00000008.JPEG", TENCH, "test") in found(listing)
    assert listing.left_out == (("val/ILSVRC2012_val_00000009.JPEG", "not in a class's folder"),)
    assert len(ImageNet(root).listing().left_out) == 3


def test_files_of_labels_that_say_nothing(root, tmp_path):
    (tmp_path / "labels").write_text("490\n361\n171\n")
    with pytest.raises(ValueError, match="no line begins with an image and its class"):
        ImageNet(root, val_labels=tmp_path / "labels").listing()
    with pytest.raises(FileNotFoundError, match="--val-labels names the one"):
        ImageNet(root, val_labels=tmp_path / "none").listing()


def test_what_is_left_out_and_why(root, tmp_path):
    photo(root / "val" / "n99999999" / "1.JPEG", 1)
    (root / "train" / TENCH / "cut.JPEG").write_bytes((root / f"train/{TENCH}/{TENCH}_0.JPEG").read_bytes()[:200])
    (root / "test").mkdir()
    build(ImageNet(root, size=(8, 8), shorter_side=8), tmp_path / "a.h5", workers=1)
    reasons = dict(FrameCache(tmp_path / "a.h5").left_out)
    assert reasons.pop(f"train/{TENCH}/cut.JPEG").startswith("cannot be read as an image")
    assert reasons == {
        "test": "not the folder of a split",
        "val/n99999999/1.JPEG": "its class n99999999 has no training images",
    }


def test_nothing_there_says_where_to_get_it(tmp_path, capsys):
    assert main(["imagenet", "--root", str(tmp_path / "none")]) == 1
    assert "expected train/<class>/*.JPEG and val/<class>/*.JPEG" in (told := capsys.readouterr().err)
    assert "image-net.org" in told


def test_photos_in_any_mode_are_read_as_colours(tmp_path):
    for mode in ("CMYK", "L", "RGB"):
        Image.new(mode, (5, 4)).save(tmp_path / f"{mode}.JPEG")
        assert read_picture(tmp_path / f"{mode}.JPEG").shape == ((4, 5) if mode == "L" else (4, 5, 3))
