"""A stand-in of the library neuromorphic-drivers: what it offers, in its names and types, for recorded packets.

Its interface is that of version 0.18: ``open(…, iterator_timeout, serial)`` gives a device, which is iterated and gives
``(status, packet)``; a packet has ``polarity_events`` and more, or is None where none came in time. A camera that is
unplugged raises RuntimeError from the next packet on. ``test_camera`` holds it to the library where that is installed.
"""

import enum
import time
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np

DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
UNPLUGGED = "No such device (it may have been disconnected)"


class Name(enum.Enum):
    INIVATION_DAVIS346 = "iniVation DAVIS 346"
    INIVATION_DVXPLORER = "iniVation DVXplorer"
    PROPHESEE_EVK4 = "Prophesee EVK4"


SENSORS = {
    Name.INIVATION_DAVIS346: (346, 260),
    Name.INIVATION_DVXPLORER: (640, 480),
    Name.PROPHESEE_EVK4: (1280, 720),
}


@dataclass
class Evt3Packet:
    polarity_events: np.ndarray | None
    trigger_events: np.ndarray | None = None
    polarity_events_overflow_indices: np.ndarray | None = None
    trigger_events_overflow_indices: np.ndarray | None = None


def packet(events, overflows=None):
    """A packet of events ``[N]`` of ours."""
    theirs = np.empty(len(events), DTYPE)
    for mine, field_name in zip("txyp", DTYPE.names, strict=True):
        theirs[field_name] = events[mine]
    return Evt3Packet(theirs, polarity_events_overflow_indices=overflows)


@dataclass
class Device:
    """Gives packets one after the other, then none for ever; with ``unplugged`` it then fails."""

    kind: Name
    packets: list
    unplugged: bool = False
    sensor: tuple[int, int] | None = None
    is_open: bool = field(default=True, init=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        return False

    def close(self):
        self.is_open = False

    def __iter__(self):
        return self

    def __next__(self):
        if not self.is_open:
            raise RuntimeError("__next__ called after __exit__")
        if not self.packets and self.unplugged:
            raise RuntimeError(UNPLUGGED)
        status = SimpleNamespace(system_time=time.time(), ring=None)
        return status, self.packets.pop(0) if self.packets else None

    def name(self):
        return self.kind

    def properties(self):
        width, height = self.sensor or SENSORS[self.kind]
        return SimpleNamespace(width=width, height=height)


def library(devices, error="no device found"):
    """The module, with these devices by their serial numbers connected."""
    module = ModuleType("neuromorphic_drivers")

    def open_device(configuration=None, iterator_timeout=None, raw=False, serial=None, **_):
        assert configuration is None
        assert not raw
        assert iterator_timeout is not None, "else Ctrl-C waits for an event"
        if not devices or (serial is not None and serial not in devices):
            raise RuntimeError(error)
        return devices[serial] if serial else next(iter(devices.values()))

    def list_devices():
        return [SimpleNamespace(name=device.kind, serial=serial, error=None) for serial, device in devices.items()]

    module.open, module.list_devices = open_device, list_devices
    return module
