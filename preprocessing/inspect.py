"""Say what is in recordings or in a frame cache, and draw it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from preprocessing.arguments import Help, add_frame_options, add_reading_options, size
from preprocessing.commands import command
from preprocessing.events import Reading, Recording
from preprocessing.frames.settings import FrameSettings
from preprocessing.inspection.facts import Facts, Unreadable, cache_facts, recording_facts, sample_facts
from preprocessing.inspection.text import (
    cache_text,
    cache_title,
    recording_text,
    recording_title,
    sample_text,
    sample_title,
    signature,
    table,
    unreadable_text,
)
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.plain import json_text
from preprocessing.progress import patience, progress
from preprocessing.readers import read_recording
from preprocessing.terminal import shown

if TYPE_CHECKING:
    from preprocessing.cache import FrameCache

EXAMPLES = """examples:
  python -m preprocessing.inspect recording.aedat
  python -m preprocessing.inspect recordings/*/*.raw
  python -m preprocessing.inspect recording.raw --picture recording.png --slicing time --resize area
  python -m preprocessing.inspect recording.aedat --filter noise:10ms --filter hot:3 --gif recording.gif
  python -m preprocessing.inspect data/digits.h5 --picture digits.png
  python -m preprocessing.inspect data/digits.h5 --sample 17 --picture sample.png
  python -m preprocessing.inspect data/cifar10.h5 --picture cifar10.png
"""

_HDF5 = b"\x89HDF\r\n\x1a\n"


class _UsageError(ValueError):
    """Options that don't go with what the path turned out to be."""


@command("nothing was written but what is named above")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: everything could be read, 1: something could not, or not be drawn, 2: wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    alone = [name for name in ("picture", "gif", "sample") if getattr(options, name) is not None]
    if alone and len(options.paths) > 1:
        parser.error(f"--{alone[0]} takes one PATH, got {len(options.paths)}")
    try:
        return _show_one(options.paths[0], options) if len(options.paths) == 1 else _show_table(options)
    except _UsageError as error:
        parser.error(str(error))


def _parser() -> Parser:
    program = "python -m preprocessing.inspect"
    parser = Parser(program, description=__doc__, epilog=EXAMPLES, formatter_class=Help)
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="recordings or frame caches; more than one: a line each")
    add("--json", action="store_true", help="print a list of JSON objects, one for each PATH")
    add("--picture", type=Path, metavar="FILE", help="draw the frames, the rate and the sensor, e.g. as .png")
    add("--gif", type=Path, metavar="FILE", help="draw the frames of a recording as an animation")
    add("--sample", type=int, metavar="N", help="of a cache this sample only, counted from 0")
    add("--sensor", type=size, metavar="WxH", help="width and height of the camera, where the format doesn't say it")
    add_reading_options(parser)
    add_frame_options(parser)
    add_import(parser, "a reader of recordings or a filter of events")
    return parser


def _show_table(options: Namespace) -> int:
    """A line for each path."""
    found: list[Facts] = []
    for path in progress(options.paths, len(options.paths), "reading", "files"):
        opened = _opened(path, options)
        if isinstance(opened, Recording):
            found.append(recording_facts(opened, _settings(options))[0])
        else:
            found.append(opened if isinstance(opened, Unreadable) else cache_facts(opened))
    print(_json(found) if options.json else table(found))
    return int(any(isinstance(facts, Unreadable) for facts in found))


def _show_one(path: Path, options: Namespace) -> int:
    """Everything about one path, and its pictures."""
    with patience(f"reading {path}"):
        opened = _opened(path, options)
    if isinstance(opened, Unreadable):
        print(_json([opened]) if options.json else unreadable_text(opened))
        return 1
    if isinstance(opened, Recording):
        _show_recording(opened, options)
    else:
        _show_cache(opened, options)
    return 0


def _opened(path: Path, options: Namespace) -> Recording | FrameCache | Unreadable:
    start = b""
    try:
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(64)
        if start.startswith(_HDF5):  # a recording can be HDF5, too
            from preprocessing.cache import FrameCache, NotACacheError

            with suppress(NotACacheError):
                return FrameCache(path)
        return read_recording(path, options.sensor, Reading(options.time_unit, options.drop_bad))
    except (ValueError, OSError, ImportError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Unreadable(str(path), reason, signature(start) if path.is_file() else "")


def _show_recording(recording: Recording, options: Namespace) -> None:
    if options.sample is not None:
        raise _UsageError(f"--sample is for frame caches; {recording.source} is a recording")
    facts, events = recording_facts(recording, _settings(options))
    print(_json([facts]) if options.json else recording_text(facts))
    if not (options.picture or options.gif):
        return
    if len(events) == 0:
        raise ValueError(f"{recording.source}: no event passes {', '.join(options.filters)}; nothing to draw")
    from preprocessing.inspection.plots import animate, draw_recording

    rasterizer = _settings(options).rasterizer(recording.sensor)
    if options.picture:
        with _drawing(options.picture, options):
            draw_recording(options.picture, events, rasterizer, recording_title(facts))
    if options.gif:
        with _drawing(options.gif, options):
            animate(options.gif, events, rasterizer, Path(recording.source).name)


def _settings(options: Namespace) -> FrameSettings:
    return FrameSettings(
        options.steps,
        options.size,
        options.slicing,
        options.resize,
        value=options.value,
        filters=tuple(options.filters),
    )


def _show_cache(cache: FrameCache, options: Namespace) -> None:
    if options.gif:
        raise _UsageError(
            f"--gif is for recordings; {cache.path} is a frame cache: take --picture, or --sample N with it"
        )
    if options.sample is None:
        facts = cache_facts(cache)
        print(_json([facts]) if options.json else cache_text(cache, facts))
    elif not 0 <= options.sample < len(cache):
        raise _UsageError(f"--sample counts from 0 to {len(cache) - 1} in {cache.path}, got {options.sample}")
    else:
        sample = sample_facts(cache, options.sample)
        print(_json([sample]) if options.json else sample_text(sample))
    if options.picture:
        from preprocessing.inspection.plots import draw_cache, draw_sample

        with _drawing(options.picture, options):
            if options.sample is None:
                draw_cache(options.picture, cache, cache_title(cache))
            else:
                draw_sample(options.picture, cache, options.sample, sample_title(sample))


def _json(found: Sequence[Facts]) -> str:
    """In ASCII, which every terminal takes and which stands for the same names."""
    return json_text([facts.as_json() for facts in found], indent=2, ascii_only=True)


@contextmanager
def _drawing(picture: Path, options: Namespace) -> Iterator[None]:
    """Say where a picture is once it is drawn; what goes wrong is an error of ours, whatever the library calls it."""
    try:
        with patience(f"drawing {picture}"):
            yield
    except (ValueError, OSError):
        raise
    except Exception as error:  # a drawing library may raise anything
        raise ValueError(f"{picture} could not be drawn: {error}") from error
    told = f"drawn: {shown(picture)}"
    print(told, file=sys.stderr if options.json else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
