"""The neuron that the docstring of ``evglif.neurons.base`` shows, as it is printed."""

from __future__ import annotations

from textwrap import dedent

import evglif.neurons.base


def printed() -> str:
    """The whole file: what is set in, imports included."""
    lines = (evglif.neurons.base.__doc__ or "").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    import torch"))
    return dedent("\n".join(line for line in lines[first:] if line.startswith("    ") or not line)) + "\n"
