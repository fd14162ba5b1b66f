"""onnxruntime, imported so that it tells nobody anything: the only place where it is imported.

Its wheels write a device's number and a queue of events under ``~/.cache/Microsoft`` as soon as they are imported, and
look for a host to send them to some seconds later. ``disable_telemetry_events()`` stops neither; this variable does, if
it is set before the import. Who sets it to 0 has it back.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
