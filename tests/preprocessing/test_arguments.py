from argparse import ArgumentParser

import pytest

from preprocessing.arguments import Help, add_frame_options
from preprocessing.frames.settings import FrameSettings


def parse(*arguments):
    parser = ArgumentParser(formatter_class=Help)
    add_frame_options(parser)
    return vars(parser.parse_args(arguments))


def test_without_options_frames_are_the_default_ones():
    options = parse()
    assert FrameSettings(**{**options, "filters": tuple(options["filters"])}) == FrameSettings()


def test_options_of_the_frames():
    options = parse(
        *("--steps", "8", "--size", "64x48", "--slicing", "duration:50ms", "--resize", "sum", "--value", "binary"),
        *("--filter", "crop:-1s", "--filter", "noise:10ms"),
    )
    assert options == {
        "steps": 8,
        "size": (64, 48),
        "slicing": "duration:50ms",
        "resize": "sum",
        "value": "binary",
        "filters": ["crop:-1s", "noise:10ms"],
    }


def test_filters_do_not_pile_up_between_calls():
    assert parse("--filter", "hot:3")["filters"] == ["hot:3"]
    assert parse("--filter", "hot:4")["filters"] == ["hot:4"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--steps", "0"], "expected a whole number from 1, got '0'"),
        (["--steps", "1.5"], "expected a whole number from 1, got '1.5'"),
        (["--size", "0x5"], "48 or 64x48, got '0x5'"),
        (["--slicing", "duration:"], "unknown slicing 'duration:'"),
        (["--filter", "hot"], "cannot read the filter 'hot'"),
    ],
)
def test_wrong_options_are_named(arguments, why, capsys):
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert why in capsys.readouterr().err
