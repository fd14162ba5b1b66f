"""Pictures of runs, evaluations and samples, drawn by matplotlib straight to files: no display, no global state."""

from evglif.plots.accuracy import plot_reliability, plot_steps
from evglif.plots.confusion import plot_confusion
from evglif.plots.curves import plot_curves
from evglif.plots.frames import plot_frames
from evglif.plots.neurons import plot_firing, plot_values

__all__ = [
    "plot_confusion",
    "plot_curves",
    "plot_firing",
    "plot_frames",
    "plot_reliability",
    "plot_steps",
    "plot_values",
]
