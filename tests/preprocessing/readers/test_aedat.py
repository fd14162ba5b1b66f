import pytest

from preprocessing.readers.aedat import DAVIS240, DAVIS346, DAVIS640, DVS128, camera_named


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        ("DVS128", DVS128),
        ("Tmpdiff128", DVS128),
        ("DAVIS240C", DAVIS240),
        ("SBret10", DAVIS240),
        ("Davis346B", DAVIS346),
        ("Davis346mini", DAVIS346),
        ("Davis346redColor", DAVIS346),
        ("DAVIS346Cbsi", DAVIS346),
        ("DAVIS640", DAVIS640),
    ],
)
def test_names_of_cameras(name, camera):
    assert camera_named(name) == camera


# the DAVIS208 has its polarity the other way round, the CDAVIS counts in half pixels, pairs have a bit for the side
@pytest.mark.parametrize("name", ["", "Davis208PixelParade", "CDAVIS", "Davis240CStereoPair", "MultiDVS128CameraChip"])
def test_other_cameras_are_not_taken_for_them(name):
    assert camera_named(name) is None


def test_the_davis128_has_the_layout_of_a_davis():
    assert (camera_named("Davis128").layout, camera_named("Davis128").sensor) == ("DAVIS", (128, 128))
