"""Write recordings in another format, event for event.

An event is a time in whole µs, which readers round finer ones to, a place and a polarity. What else a file holds, such
as frames, triggers and motion samples, is left out and counted. What a format cannot hold is refused.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.arguments import Help, add_reading_options, size
from preprocessing.commands import command
from preprocessing.events import Events, Reading, Recording, sensor_text
from preprocessing.files import BusyError, require_file
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.progress import byte_progress, patience, progress
from preprocessing.readers import SUFFIXES, read_recording
from preprocessing.readers.rosbag import is_folder_of_bag
from preprocessing.terminal import shown, tell
from preprocessing.writers import WRITERS, Writer, write_recording, writer_for

EXAMPLES = """examples:
  python -m preprocessing.convert recording.aedat recording.raw
  python -m preprocessing.convert recording.aedat4 recording.aedat --from-zero
  python -m preprocessing.convert recording.raw recording_evt2.raw --format evt2
  python -m preprocessing.convert recordings converted --format hdf5
"""


@command("what is named above was written whole, and nothing else")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: everything was converted, 1: something could not be, 2: wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.source.is_dir() and not is_folder_of_bag(options.source):
        if options.format is None:
            parser.error(f"{options.source} is a folder: name the format of the files with --format")
        return _convert_folder(options)
    if not options.source.exists():
        raise FileNotFoundError(f"{options.source}: no such file or folder")
    job = Job(options.source, options.target, writer_for(options.target, options.format))
    _check_target(job, options.force)
    print(_converted(job, options))
    return 0


@dataclass(frozen=True)
class Job:
    """One recording to write: from where, to where, and as what."""

    source: Path
    target: Path
    writer: Writer


def _parser() -> Parser:
    program = "python -m preprocessing.convert"
    parser = Parser(prog=program, description=__doc__, epilog=EXAMPLES, formatter_class=Help)
    add = parser.add_argument
    add("source", type=Path, metavar="IN", help="a recording, or a folder with recordings at any depth")
    add("target", type=Path, metavar="OUT", help="the file to write, or the folder to write the same tree in")
    add("--format", choices=WRITERS, help="of OUT; of a file told by its suffix (.raw is evt3)")
    add("--from-zero", action="store_true", help="take the time of the first event from all times")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace files that are there")
    existing.add_argument("--skip-existing", action="store_true", help="of a folder: leave out what was written before")
    add("--sensor", type=size, metavar="WxH", help="width and height of the camera, where IN doesn't say it")
    add_import(parser, "readers")
    add_reading_options(parser)
    return parser


def _convert_folder(options: Namespace) -> int:
    """Convert all recordings of a folder; one that cannot be is named, and the others go on."""
    jobs = _jobs(options.source, options.target, WRITERS[options.format])
    done = [job for job in jobs if options.skip_existing and job.target.exists()]
    to_do = [job for job in jobs if job not in done]
    num_failed = 0
    for job in progress(to_do, len(to_do), "converting", "recordings"):
        try:
            _check_target(job, options.force)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            print(_converted(job, options), flush=True)
        except (ValueError, OSError, ImportError, BusyError) as error:
            tell(f"error: {error}")
            num_failed += 1
    left = f", {len(done)} were there" if done else ""
    print(f"{len(to_do) - num_failed} of {len(jobs)} recordings converted{left}, {num_failed} could not be")
    return int(num_failed > 0)


def _jobs(source: Path, target: Path, writer: Writer) -> list[Job]:
    """What there is to do in a folder.

    Raises:
        FileNotFoundError: it holds no recordings.
        ValueError: the target is a file, or one of the folders lies in the other, or two recordings would become one.
    """
    inner, outer = target.resolve(), source.resolve()
    if target.is_file():
        raise ValueError(f"{target} is a file, and {source} a folder: name a folder to write in")
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"{target} and {source} lie in one another: name a folder apart to write in")
    found = list(_recordings(source))
    if not found:
        raise FileNotFoundError(f"{source}: holds no recordings ({', '.join(sorted(SUFFIXES))})")
    jobs = [Job(path, target / path.relative_to(source).with_suffix(writer.SUFFIXES[0]), writer) for path in found]
    by_target: dict[Path, Path] = {}
    for job in jobs:
        other = by_target.setdefault(job.target, job.source)
        if other is not job.source:
            raise ValueError(f"{other} and {job.source} would both become {job.target}: rename one of them")
    return jobs


def _recordings(folder: Path) -> Iterator[Path]:
    """Files with the suffix of a recording and ROS 2 bags in a folder, at any depth, in order."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not is_folder_of_bag(path):
            yield from _recordings(path)
        elif path.is_dir() or (path.suffix.lower() in SUFFIXES and path.is_file()):
            yield path


def _check_target(job: Job, replace: bool) -> None:
    """Make sure that nothing is lost by writing a file.

    Raises:
        ValueError: it is the recording itself, or no place for a file.
        FileExistsError: it is there and may not be replaced.
    """
    if job.target.exists() and job.target.samefile(job.source):
        raise ValueError(f"{job.target} is the recording itself, which would be lost: name another file to write")
    require_file(job.target)
    if job.target.exists() and not replace:
        raise FileExistsError(f"{job.target} is there already: name another file, or replace it with --force")


def _converted(job: Job, options: Namespace) -> str:
    """Convert one recording; what was written, for people.

    Raises:
        ValueError: it cannot be read, or the format cannot hold it; the message begins with its name.
    """
    reading = Reading(options.time_unit, options.drop_bad)
    with patience(f"reading {job.source}"):
        recording = read_recording(job.source, options.sensor, reading)
    for doubt in recording.doubts:
        tell(f"warning: {job.source}: {doubt}")
    events = _from_zero(recording.events) if options.from_zero else recording.events
    try:
        job.writer.check(events, recording.sensor)
    except ValueError as error:
        raise ValueError(f"{job.source}: {error}") from error
    with byte_progress(f"writing {job.target}", None) as moved_on:
        num_bytes = write_recording(job.target, events, recording.sensor, job.writer, moved_on)
    return shown(f"{job.target}: {_summary(recording, job.writer)}, {num_bytes:,} bytes")


def _from_zero(events: Events) -> Events:
    moved = events.copy()
    moved["t"] -= events["t"][0]
    return moved


def _summary(recording: Recording, writer: Writer) -> str:
    """What was written, and what of the recording was not."""
    parts = [f"{writer.TITLE}, {len(recording.events):,} events"]
    if recording.num_special:
        parts.append(f"without {recording.num_special:,} records that are no events")
    if recording.num_backward:
        parts.append(f"put in order at {recording.num_backward:,} places")
    return ", ".join([*parts, sensor_text(recording.sensor, recording.sensor_from)])


if __name__ == "__main__":
    sys.exit(main())
