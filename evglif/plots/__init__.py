"""Pictures of runs, evaluations and samples, drawn by matplotlib straight to files: no display, no global state."""

from typing import TYPE_CHECKING

from preprocessing.later import later

if TYPE_CHECKING:
    from evglif.plots.accuracy import plot_reliability, plot_steps
    from evglif.plots.activity import plot_channels, plot_maps, plot_membranes, plot_raster
    from evglif.plots.confusion import plot_confusion
    from evglif.plots.curves import plot_curves
    from evglif.plots.dynamics import plot_dynamics, plot_time_constants
    from evglif.plots.frames import plot_frames
    from evglif.plots.neurons import plot_firing, plot_values

__all__ = [
    "plot_channels",
    "plot_confusion",
    "plot_curves",
    "plot_dynamics",
    "plot_firing",
    "plot_frames",
    "plot_maps",
    "plot_membranes",
    "plot_raster",
    "plot_reliability",
    "plot_steps",
    "plot_time_constants",
    "plot_values",
]

__getattr__ = later(
    __name__,
    {
        **dict.fromkeys(("plot_reliability", "plot_steps"), "evglif.plots.accuracy"),
        **dict.fromkeys(("plot_channels", "plot_maps", "plot_membranes", "plot_raster"), "evglif.plots.activity"),
        "plot_confusion": "evglif.plots.confusion",
        "plot_curves": "evglif.plots.curves",
        **dict.fromkeys(("plot_dynamics", "plot_time_constants"), "evglif.plots.dynamics"),
        "plot_frames": "evglif.plots.frames",
        **dict.fromkeys(("plot_firing", "plot_values"), "evglif.plots.neurons"),
    },
)
