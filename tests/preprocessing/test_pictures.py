import numpy as np
import pytest
from PIL import Image

from preprocessing.events import RecordingError
from preprocessing.pictures import intensities, read_picture, resized

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)


def test_brightness_of_a_colour_picture_is_its_luma():
    pure = np.eye(3, dtype=np.uint8)[None] * 255

    np.testing.assert_allclose(intensities(pure), [[0.299, 0.587, 0.114]])
    np.testing.assert_allclose(intensities(np.full((2, 2, 3), 0.25, np.float32)), 0.25)


@pytest.mark.parametrize(("resizing", "peer"), [("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.BILINEAR)])
@pytest.mark.parametrize("size", [(128, 100), (20, 11)])
def test_resizes_as_image_programs_do(resizing, peer, size):
    """Away from the rim, where Pillow cuts its kernel off and we go on with the last pixel."""
    values = 0.3 + 0.4 * np.random.default_rng(1).random((40, 32))
    expected = np.asarray(Image.fromarray(values.astype(np.float32)).resize(size[::-1], peer))
    rows, columns = (size[0] // 4, size[1] // 4)

    ours = resized(values, size, resizing)
    assert ours.shape == size
    inside = np.s_[rows:-rows, columns:-columns]
    np.testing.assert_allclose(ours[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("resizing", ["bicubic", "bilinear"])
def test_resizing_stays_within_black_and_white(resizing):
    checkers = np.indices((9, 7)).sum(axis=0) % 2.0

    picture = resized(checkers, (50, 60), resizing)
    assert 0 <= picture.min() <= picture.max() <= 1
    np.testing.assert_allclose(resized(np.full((3, 5), 0.7), (20, 2), resizing), 0.7)
    np.testing.assert_allclose(resized(checkers, (9, 7), resizing), checkers, atol=1e-12)


def test_reads_image_files(tmp_path):
    for mode in ("RGB", "RGBA", "L", "1", "P"):
        image = Image.fromarray(COLOURS).convert(mode)
        image.save(tmp_path / f"{mode}.png")
        expected = image.convert("L" if mode in ("L", "1") else "RGB")
        np.testing.assert_array_equal(read_picture(tmp_path / f"{mode}.png"), np.asarray(expected))


def test_pictures_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(COLOURS).save(tmp_path / "turned.png", exif=exif)

    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png"), np.rot90(COLOURS, -1))


def test_what_is_no_image_says_so(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(COLOURS).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-20])
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")

    for name, message in (("text.png", "cannot be read as an image"), ("cut.jpg", "truncated"), ("deep.png", "8 bits")):
        with pytest.raises(RecordingError, match=message):
            read_picture(tmp_path / name)
