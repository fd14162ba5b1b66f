"""Facts about recordings and frame caches as texts for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocessing.events import sensor_text
from preprocessing.inspection.facts import CacheFacts, Facts, RecordingFacts, SampleFacts, Spread, Unreadable
from preprocessing.terminal import paragraph, shown

if TYPE_CHECKING:
    from preprocessing.cache import FrameCache

_SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched"),
    (b"<!DOCTYPE", "a web page, as a failed download leaves it"),
    (b"<html", "a web page, as a failed download leaves it"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"#!AER-DAT", "AEDAT"),
    (b"#ROSBAG", "a ROS 1 bag"),
    (b"\x89MCAP", "MCAP"),
    (b"SQLite format 3", "a SQLite database, as in ROS 2 bags"),
    (b"Event Stream", "an Event Stream"),
    (b"% ", "of Prophesee's, by its header of text"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"MATLAB", "a MATLAB file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"RIFF", "a RIFF file (AVI, WAV)"),
    (b"%PDF", "a PDF"),
)
_BARS = "▁▂▃▄▅▆▇█"


def signature(data: bytes) -> str:
    """What a file is by its first bytes, e.g. ``"is a ZIP archive (starts with …)"``."""
    known = (name for start, name in _SIGNATURES if data.startswith(start))
    shown = f"starts with {data[:16]!r}" if data else "is empty"
    return next((f"is {name} ({shown})" for name in known), shown)


def recording_text(facts: RecordingFacts) -> str:
    """Everything about one recording, a line each."""
    (width, height), (x, y) = facts.sensor, facts.hottest
    lines = {
        "format": facts.format,
        "sensor": sensor_text(facts.sensor, facts.sensor_from),
        "events": f"{facts.num_events:,}",
        "span": span(facts.duration_us),
        "rate": f"{amount(facts.rate)} events/s, at most {amount(facts.peak_rate)} in {span(facts.peak_us)}",
        "polarity": f"{facts.on_share:.1%} ON, {1 - facts.on_share:.1%} OFF",
        "pixels": f"{facts.num_active:,} of {width * height:,} have events",
        "hottest": f"pixel ({x}, {y}) with {facts.hottest_share:.2%} of all events",
        "special": f"{facts.num_special:,} records that are no events of the sensor, not used",
        "backward": f"{facts.num_backward:,} places where time ran backwards, put in order",
        "dropped": f"{facts.num_dropped:,} bad events: outside the sensor, late, or damaged",
        "clock": f"set back {facts.num_resets:,} times, jumped forward {facts.num_forward:,} times",
    }
    for i, (spec, num) in enumerate(facts.filtered):
        lines["filters" if i == 0 else " " * i] = f"{num:,} events ({num / facts.num_events:.1%}) left by {spec}"
    steps, width, height = facts.frames
    how = f"{steps} × 2 × {height} × {width} by {facts.resize}"
    lines["frames"] = f"{how}, {facts.fed_share:.1%} of the events feed them{_advice(facts)}"
    lines["unused"] = f"{facts.num_unused:,} events behind the last slice"
    return paragraph([*_titled(facts.path, lines), *(f"WARNING: {text}" for text in facts.warnings)])


def recording_title(facts: RecordingFacts) -> str:
    """What a picture of a recording shows, in two lines."""
    steps, width, height = facts.frames
    sensor, fed = "{}×{}".format(*facts.sensor), f"{facts.fed_share:.1%} of the events{_advice(facts)}"
    left = (
        f", {facts.filtered[-1][1]:,} left by {', '.join(spec for spec, _ in facts.filtered)}" if facts.filtered else ""
    )
    return (
        f"{Path(facts.path).name}: {facts.num_events:,} events in {span(facts.duration_us)} on {sensor}{left}\n"
        f"{steps} frames of {width}×{height} by {facts.resize}, fed by {fed}"
    )


def cache_title(cache: FrameCache) -> str:
    """What a picture of a cache shows."""
    what = f"{cache.path.name}: {len(cache):,} samples of {len(cache.classes)} classes"
    return what if cache.kind == "images" else f"{what}, {_slicing(cache.config)} a step"


def sample_title(facts: SampleFacts) -> str:
    """What a picture of a sample shows."""
    where = f"{Path(facts.path).name}, sample {facts.index} ({facts.split}): {facts.label}"
    events = f", {facts.num_events:,} events in {span(facts.duration_us)}" if "ON" in facts.channels else ""
    return f"{where}\n{facts.source}{events}"


def _advice(facts: RecordingFacts) -> str:
    """What to do where resizing leaves most events unused."""
    return "; --resize area would use all" if 0 < facts.fed_share < 0.5 else ""


def table(found: Sequence[Facts]) -> str:
    """A line for each file, in columns."""
    head = ("", "format", "sensor", "events", "span", "events/s", "peak", "ON", "hottest", "special", "backward")
    has_filters = any(isinstance(facts, RecordingFacts) and facts.filtered for facts in found)
    rows = [[*head, "filtered"] if has_filters else [*head], *([*map(shown, _row(each))] for each in found)]
    columns = zip_longest(*(row for row in rows if len(row) > 2), fillvalue="")
    widths = [max(map(len, column)) for column in columns]
    widths[0] = max(len(row[0]) for row in rows)
    warnings = (
        f"WARNING: {facts.path}: {text}"
        for facts in found
        if isinstance(facts, RecordingFacts)
        for text in _doubts(facts)
    )
    return paragraph([*(_line(row, widths) for row in rows), *warnings])


def _doubts(facts: RecordingFacts) -> list[str]:
    dropped = f"{facts.num_dropped:,} bad events were dropped"
    return [*facts.warnings, dropped] if facts.num_dropped else [*facts.warnings]


def _line(row: list[str], widths: list[int]) -> str:
    if len(row) == 2:
        return f"{row[0]:<{widths[0]}}  {row[1]}"
    names = [f"{cell:<{width}}" for cell, width in zip(row[:2], widths[:2], strict=True)]
    numbers = [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=False)]
    return "  ".join([*names, *numbers])


def _row(facts: Facts) -> list[str]:
    if isinstance(facts, RecordingFacts):
        guessed = "?" if facts.sensor_from == "guess" else ""
        row = [facts.path, facts.format, "{}×{}".format(*facts.sensor) + guessed, f"{facts.num_events:,}"]
        row += [span(facts.duration_us), amount(facts.rate), amount(facts.peak_rate), f"{facts.on_share:.1%}"]
        row += [f"{facts.hottest_share:.2%}", f"{facts.num_special:,}", f"{facts.num_backward:,}"]
        return row + [f"{num:,}" for _, num in facts.filtered[-1:]]
    if isinstance(facts, CacheFacts):
        return [facts.path, f"frame cache: {facts.num_samples:,} samples of {len(facts.balance)} classes"]
    if isinstance(facts, Unreadable):
        return [facts.path, f"UNREADABLE: {facts.error}"]
    return [facts.path, f"sample {facts.index}: {facts.source}"]


def unreadable_text(facts: Unreadable) -> str:
    """Why a file could not be read."""
    lines = {"unreadable": facts.error, "the file": facts.signature}
    return paragraph(_titled(facts.path, {name: text for name, text in lines.items() if text}))


def sample_text(facts: SampleFacts) -> str:
    """Everything about one sample of a cache."""
    lines = {
        "source": facts.source,
        "class": facts.label,
        "split": facts.split,
    }
    if "ON" in facts.channels:
        on, off = facts.channels["ON"], facts.channels["OFF"]
        lines |= {"events": f"{facts.num_events:,}", "span": span(facts.duration_us)}
        lines["frames"] = f"sum {on:,.6g} ON, {off:,.6g} OFF; the largest bin {facts.most:.4g}"
    else:
        lines["mean"] = ", ".join(f"{name} {value:.4f}" for name, value in facts.channels.items())
    return paragraph(_titled(f"{facts.path}, sample {facts.index}", lines))


def cache_text(cache: FrameCache, facts: CacheFacts) -> str:
    """Everything about a cache: how it was made, what is in it, and all that is not."""
    from preprocessing.cache.balance import balance, gaps

    size = cache.path.stat().st_size + sum(shard.path.stat().st_size for shard in cache.shards)
    lines = {
        **(_made_of_images(facts) if facts.samples == "images" else _configuration(facts)),
        "file": f"{size / 1e6:,.1f} MB" + (f" in {len(cache.shards)} shards" if cache.shards else ""),
        "fingerprint": facts.fingerprint,
        **(_of_images(facts) if facts.samples == "images" else _of_events(facts)),
        "left out": f"{len(facts.left_out):,}",
    }
    parts = [*_titled(facts.path, lines), *(f"  {source}: {reason}" for source, reason in facts.left_out)]
    parts += ["", *balance(cache), *(f"WARNING: {source}: {text}" for source, text in facts.warnings)]
    return paragraph([*parts, *(f"WARNING: {gap}" for gap in gaps(cache))])


def _of_images(facts: CacheFacts) -> dict[str, str]:
    from preprocessing.cache.balance import rounded

    return {"mean": f"{rounded(facts.mean)} of the training images, per channel", "std": rounded(facts.std)}


def _of_events(facts: CacheFacts) -> dict[str, str]:
    counts = facts.counts
    return {
        "events": _spread(facts.num_events, lambda value: f"{value:,.0f}"),
        "durations": _spread(facts.duration_us, span),
        "short": f"{facts.num_short:,} samples with fewer events than the {facts.shape[0]} time steps",
        "saturated": f"{counts['num_saturated']:,} bins",
        "special": f"{counts['num_special']:,} records that are no events of the sensor, not used",
        "backward": f"{counts['num_backward']:,} places where time ran backwards, put in order",
        "dropped": f"{counts['num_dropped']:,} bad events: outside the sensor, late, or damaged",
        "clock": f"set back {counts['num_resets']:,} times, jumped forward {counts['num_forward']:,} times",
        "filtered": f"{counts['num_filtered']:,} events dropped by the filters",
        "unused": f"{counts['num_unused']:,} events behind the last slice",
    }


def _made_of_images(facts: CacheFacts) -> dict[str, str]:
    """How a cache of images was made, in words."""
    config, (steps, channels, height, width) = facts.config, facts.shape
    shorter = f"shorter side to {config['shorter_side']} px, " if config.get("shorter_side") else ""
    return {
        "data set": _data_set(config),
        "images": f"{facts.num_samples:,}, cut from the middle where they are not of that size",
        "frames": f"{steps} × {channels} × {height} × {width}, value = stored × {facts.scale:.6g}",
        "size": f"{shorter}{config.get('resizing')}",
    }


def _data_set(config: dict[str, Any]) -> str:
    options = ", ".join(f"{name} {value}" for name, value in config.get("options", {}).items() if value is not None)
    return f"{config.get('dataset', 'unknown')}" + (f" ({options})" if options else "")


def _configuration(facts: CacheFacts) -> dict[str, str]:
    """How a cache was made, in words."""
    config, (steps, _, height, width) = facts.config, facts.shape
    recordings = config.get("recordings", {})
    window, hop = config.get("window_us"), config.get("hop_us")
    return {
        "data set": _data_set(config),
        "recordings": f"{recordings.get('count', 0):,} of {recordings.get('bytes', 0) / 1e6:,.1f} MB",
        "samples": f"{facts.num_samples:,}, "
        + (f"windows of {span(window)} every {span(hop)}" if window and hop else "not cut"),
        "sensor": sensor_text(facts.sensor, facts.sensor_from, facts.sensor_of),
        "filters": ", ".join(config.get("filters", ())) or "none",
        "frames": f"{steps} × 2 × {height} × {width}, value = stored × {facts.scale:.6g}",
        "steps": f"{_slicing(config)} each",
        "bins": f"{config.get('value', 'count')}, from {facts.sensor[0]}×{facts.sensor[1]} by {config.get('resize')}"
        + (", turned by 180°" if config.get("half_turn") else "")
        + (", x and y swapped" if config.get("transpose") else ""),
    }


def _slicing(config: dict[str, Any]) -> str:
    kind, _, each = str(config.get("slicing")).partition(":")
    texts = {
        "count": "equal numbers of events",
        "time": "equal durations",
        "duration": each,
        "events": f"{each} events",
    }
    return texts.get(kind, kind)


def _spread(spread: Spread, text: Any) -> str:
    most = max(spread.histogram)
    bars = "".join(_BARS[-(-num * (len(_BARS) - 1) // most)] if num else " " for num in spread.histogram)
    return f"{text(spread.least)} to {text(spread.most)}, median {text(spread.median)}  |{bars}|"


def _titled(title: str, lines: dict[str, str]) -> list[str]:
    width = max(map(len, lines)) + 2
    return [title, *(f"  {name:<{width}}{text}" for name, text in lines.items())]


def amount(value: float) -> str:
    """A number with three digits and k, M or G."""
    for factor, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def span(duration_us: float) -> str:
    """A duration in the unit that suits it."""
    for unit, us in (("s", 1e6), ("ms", 1e3)):
        if duration_us >= us:
            return f"{duration_us / us:.4g} {unit}"
    return f"{duration_us:.4g} µs"
