"""Draw what a network's neurons do: ``python -m evglif.plots KIND CHECKPOINT --data FILE.h5``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocessing.arguments import Help
from preprocessing.commands import command
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.terminal import shown

if TYPE_CHECKING:
    from evglif.checkpoint import Checkpoint
    from preprocessing.cache import FrameCache

KINDS = {
    "spikes": "a raster of the spikes of some neurons of each layer, below the input's events",
    "membranes": "membranes of four neurons of a layer, with threshold and spikes",
    "maps": "input and spikes of some channels at each step, and their firing rates (PLIF, Figures S2, S4, S5)",
    "channels": "firing rates of all channels of a layer (PLIF, Figure S3)",
    "tau": "time constants of every layer over training (PLIF, Figure 7)",
    "dynamics": "how gates shape a membrane (GLIF, Figure 2); takes no checkpoint",
}
MOST_LAYERS = 6
EXAMPLES = """examples:
  python -m evglif.plots spikes runs/digits/best.pt --data data/digits.h5
  python -m evglif.plots membranes runs/digits/best.pt --data data/digits.h5 --layer features.0.neuron --out u.svg
  python -m evglif.plots maps runs/digits/best.pt --data data/digits.h5 --sample 17 --channels 1 4 7
  python -m evglif.plots tau runs/plif --out tau.pdf
  python -m evglif.plots dynamics --out figure2.svg
"""


@command("nothing was drawn")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    options = _parser().parse_args(arguments)
    if options.kind == "dynamics":
        from evglif.evaluation.dynamics import glif_dynamics
        from evglif.plots import plot_dynamics

        out = options.out or Path("dynamics.png")
        plot_dynamics(glif_dynamics(), out, "Neuronal dynamics of GLIF")
    elif options.checkpoint is None:
        raise ValueError(f"give the checkpoint, or the folder of the run: python -m evglif.plots {options.kind} RUN")
    elif options.kind == "tau":
        from evglif.plots import plot_time_constants

        folder = options.checkpoint if options.checkpoint.is_dir() else options.checkpoint.parent
        out = options.out or folder / "tau.png"
        plot_time_constants(folder / "metrics.csv", out, f"{folder.resolve().name}: time constants over training")
    else:
        out = _draw_sample(options)
    print(f"drawn: {shown(out)}")
    return 0


def _parser() -> Parser:
    told = "\n".join(f"  {name:<11}{what}" for name, what in KINDS.items())
    parser = Parser(
        prog="python -m evglif.plots",
        description=f"Draw what the neurons of a network do on a sample, or how they came to.\n\nkinds:\n{told}",
        epilog=EXAMPLES,
        formatter_class=Help,
    )
    parser.add_argument("kind", choices=tuple(KINDS), metavar="KIND", help="what to draw, see above")
    parser.add_argument("checkpoint", nargs="?", type=Path, help="written by python -m evglif.train, or its folder")
    parser.add_argument("--data", type=Path, help="cache with the sample")
    parser.add_argument("--sample", type=int, metavar="N", help="counted from 0; default: the first of the test split")
    parser.add_argument("--layer", nargs="+", default=[], metavar="NAME", help="of neurons; default: the first; of "
                        "spikes: some from the first to the last")  # fmt: skip
    parser.add_argument("--channels", type=int, nargs="+", default=[], metavar="C", help="of maps; default: three")
    parser.add_argument("--out", type=Path, metavar="FILE", help="PNG, SVG or PDF by its suffix; default: a PNG named "
                        "like the kind, beside the checkpoint")  # fmt: skip
    add_import(parser, "the neuron or network of the checkpoint")
    return parser


def _draw_sample(options: argparse.Namespace) -> Path:
    from evglif.checkpoint import read_checkpoint
    from preprocessing.cache import FrameCache

    if options.data is None:
        raise ValueError(f"{options.kind} are drawn of a sample: give its cache as --data FILE.h5")
    path = options.checkpoint
    if path.is_dir():
        path = next((path / name for name in ("best.pt", "last.pt") if (path / name).exists()), path / "last.pt")
    out: Path = options.out or path.with_name(f"{options.kind}.png")
    with FrameCache(options.data) as cache:
        _draw(options, read_checkpoint(path), cache, out)
    return out


def _draw(options: argparse.Namespace, checkpoint: Checkpoint, cache: FrameCache, out: Path) -> None:
    import torch

    from evglif import plots
    from evglif.data import check_checkpoint
    from evglif.evaluation.activity import activity

    check_checkpoint(cache, checkpoint)
    index = _index(options, cache)
    frames = cache[index]
    layers = activity(checkpoint.model, torch.from_numpy(frames), options.layer)
    if not layers:
        raise ValueError("the network has no spiking neurons, and so nothing of theirs to draw")
    name = next(iter(layers))
    title = f"{cache.source(index)}, {cache.classes[cache.labels[index]]}: {checkpoint.model.spec.name} with "
    title += checkpoint.model.spec.neuron.name
    if options.kind == "spikes":
        plots.plot_raster(layers if options.layer else _some(layers), frames, out, title)
    elif options.kind == "membranes":
        plots.plot_membranes(name, layers[name], out, title)
    elif options.kind == "maps":
        plots.plot_maps(name, layers[name], frames, cache.kind, out, title, options.channels)
    else:
        plots.plot_channels(name, layers[name], out, title)


def _index(options: argparse.Namespace, cache: FrameCache) -> int:
    if options.sample is None:
        test = cache.indices("test")
        return int(test[0]) if len(test) else 0
    if not 0 <= options.sample < len(cache):
        raise ValueError(f"--sample counts from 0 to {len(cache) - 1} in {cache.path}, got {options.sample}")
    return int(options.sample)


def _some(layers: dict[str, Any]) -> dict[str, Any]:
    """Layers from the first to the last, evenly spread."""
    names = list(layers)
    step = max(1, (len(names) - 1) / (MOST_LAYERS - 1))
    chosen = {names[round(place * step)] for place in range(MOST_LAYERS) if round(place * step) < len(names)}
    return {name: layer for name, layer in layers.items() if name in chosen}


if __name__ == "__main__":
    sys.exit(main())
