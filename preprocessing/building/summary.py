"""What a build has made, as a text for people."""

from __future__ import annotations

from shlex import quote

from preprocessing.cache import FrameCache
from preprocessing.cache.balance import balance, class_counts, gaps, rounded
from preprocessing.events import sensor_text
from preprocessing.terminal import paragraph

_SHOWN = 10


def summary(cache: FrameCache, seconds: float, notes: tuple[str, ...] = ()) -> str:
    """The table at the end of a build that took ``seconds``: samples, events, what is missing, what comes next."""
    width, height = cache.size
    facts = {
        "frames": f"{cache.steps} × {cache.channels} × {height} × {width}, value = stored × {cache.scale:.6g}",
        **(_of_images(cache, seconds) if cache.kind == "images" else _of_events(cache, seconds)),
        "left out": f"{len(cache.left_out):,}" + (", all listed in the file" if cache.left_out else ""),
        "file": _file(cache),
        "next": _next(cache),
    }
    lines = balance(cache) + [f"{name:<10}{text}" for name, text in facts.items()]
    at = next(i for i, line in enumerate(lines) if line.startswith("left out")) + 1
    lines[at:at] = [f"  {source}: {reason}" for source, reason in cache.left_out[:_SHOWN]]
    lines += [f"note: {note}" for note in notes] + _doubts(cache)
    return paragraph(lines + [f"WARNING: {gap}" for gap in gaps(cache)])


def _doubts(cache: FrameCache) -> list[str]:
    lines = [f"WARNING: {source}: {text}" for source, text in cache.warnings[:_SHOWN]]
    more = len(cache.warnings) - len(lines)
    return [*lines, f"WARNING: … and {more:,} more doubts, all listed in the file"] if more else lines


def _of_images(cache: FrameCache, seconds: float) -> dict[str, str]:
    return {
        "images": f"{len(cache):,} in {seconds:.1f} s, {len(cache) / max(seconds, 1e-9):,.0f} images/s",
        "mean": f"{rounded(cache.mean)} of the training images, per channel",
        "std": rounded(cache.std),
    }


def _of_events(cache: FrameCache, seconds: float) -> dict[str, str]:
    num_events = int(cache.num_events.sum())
    flagged = int((cache.num_events < cache.steps).sum())
    return {
        "sensor": sensor_text(cache.sensor, cache.sensor_from, cache.sensor_of),
        "events": f"{num_events:,} in {seconds:.1f} s, {num_events / max(seconds, 1e-9) / 1e6:.1f} M events/s",
        "saturated": f"{cache.num_saturated:,} bins",
        "flagged": f"{flagged:,} samples with fewer events than the {cache.steps} time steps",
        "special": f"{cache.num_special:,} records that are no events of the sensor, not used",
        "backward": f"{cache.num_backward:,} places where times were put in order",
        "dropped": f"{cache.num_dropped:,} bad events: outside the sensor, late, or damaged",
        "set back": f"{cache.num_resets:,} places where a clock was set back",
        "forward": f"{cache.num_forward:,} places where a clock jumped forward",
        "filtered": f"{cache.num_filtered:,} events dropped by the filters",
        "unused": f"{cache.num_unused:,} events behind the last time step",
    }


def _next(cache: FrameCache) -> str:
    """The command that trains, or what is missing to it."""
    trained = [name for name, num in zip(cache.classes, class_counts(cache)["train"], strict=True) if num]
    if len(trained) > 1:
        return f"python -m evglif.train --data {quote(str(cache.path))}"
    found = f"of one class, {trained[0]!r}" if trained else "none"
    return f"no training yet: it takes samples of two classes or more, and the training samples here are {found}"


def _file(cache: FrameCache) -> str:
    files = [cache.path, *(shard.path for shard in cache.shards)]
    shards = f" with {len(cache.shards):,} shards" if cache.shards else ""
    return f"{cache.path}{shards}, {sum(path.stat().st_size for path in files) / 1e6:,.1f} MB"
