from argparse import ArgumentParser

import pytest

from preprocessing.arguments import Help, add_frame_options, add_reading_options
from preprocessing.events import Reading
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


def read_options(*arguments, **options):
    parser = ArgumentParser(formatter_class=Help)
    add_reading_options(parser, **options)
    return vars(parser.parse_args(arguments))


def test_options_of_the_reading():
    assert Reading(**read_options()) == Reading()
    assert read_options("--time-unit", "ns", "--drop-bad", "0.5%") == {"time_unit": "ns", "drop_bad": 0.005}
    assert read_options("--drop-bad", "0.02")["drop_bad"] == 0.02
    assert read_options(as_built="as in the training data") == {"time_unit": None, "drop_bad": None}


@pytest.mark.parametrize("share", ["100%", "1", "5 percent", "-1%", "", "nan"])
def test_what_is_no_share_is_named(share, capsys):
    with pytest.raises(SystemExit):
        read_options(f"--drop-bad={share}")
    assert f"expected a share below 100%, such as 0.1% or 0.001, got {share!r}" in capsys.readouterr().err
