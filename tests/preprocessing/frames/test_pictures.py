import subprocess

import numpy as np
import pytest
from PIL import Image

from preprocessing.events import RecordingError
from preprocessing.frames.pictures import PictureSettings, framed, intensities, read_picture, resized

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


def test_frames_of_the_picture_s_own_size_are_untouched():
    np.testing.assert_array_equal(framed(COLOURS, PictureSettings((4, 6))), COLOURS.transpose(2, 0, 1))
    np.testing.assert_array_equal(framed(COLOURS[..., 0], PictureSettings((4, 6), channels=1)), COLOURS[None, ..., 0])


def test_grey_and_colour_become_each_other():
    grey = framed(COLOURS, PictureSettings((4, 6), channels=1))
    np.testing.assert_allclose(grey[0], intensities(COLOURS) * 255, atol=1)
    colour = framed(COLOURS[..., 0], PictureSettings((4, 6)))
    np.testing.assert_array_equal(colour, np.broadcast_to(COLOURS[..., 0], (3, 6, 4)))


@pytest.mark.parametrize("size", [(4, 4), (2, 6), (9, 9), (1, 1), (8, 3)])
@pytest.mark.parametrize("shape", [(6, 4), (4, 7), (5, 5)])
def test_a_frame_is_the_middle_of_what_covers_it(size, shape):
    ramp = np.broadcast_to(np.linspace(0, 255, shape[1]), shape).astype(np.uint8)
    frame = framed(ramp, PictureSettings(size, channels=1))
    assert frame.shape == (1, size[1], size[0])
    assert frame.mean() == pytest.approx(ramp.mean(), abs=255 * 0.3)  # half a pixel of the frame to a side
    assert (np.diff(frame[0].astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (0, 4)}, r"size is \(width, height\), each at least 1 px, got \(0, 4\)"),
        ({"channels": 2}, "got 2"),
        ({"shorter_side": 3}, "a shorter side of 3 px cannot hold a frame of 4×4; raise it"),
        ({"resizing": "lanczos"}, "unknown resizing 'lanczos'; choose one of bicubic, bilinear"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        PictureSettings(**{"size": (4, 4), **wrong})


def test_a_format_that_takes_an_outside_program_is_not_opened(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.eps")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.eps").read_bytes())
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(RecordingError, match="cannot be read as an image"):
        read_picture(tmp_path / "a.png")
