"""Pictures of runs, evaluations and samples, drawn by matplotlib straight to files: no display, no global state."""

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
