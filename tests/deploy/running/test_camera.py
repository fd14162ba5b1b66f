import inspect
import sys

import numpy as np
import pytest

from deploy.running.camera import camera_packets, open_camera
from deploy.running.sources import LostError, Received
from preprocessing.events import EVENT_DTYPE, make_events
from tests.helpers import cameras
from tests.helpers.cameras import DTYPE, Device, Name, packet


def events_at(*times):
    t = np.array(times)
    return make_events(t, t % 300, t % 200, t % 2 == 0)


@pytest.fixture
def connected(monkeypatch):
    """Have the library see these devices."""
    return lambda **devices: monkeypatch.setitem(sys.modules, "neuromorphic_drivers", cameras.library(devices))


def test_events_come_as_ours_packet_by_packet():
    first, second = events_at(5, 6, 7), events_at(8, 2**33)
    overflow = np.array([1])
    device = Device(Name.INIVATION_DAVIS346, [packet(first), None, packet(events_at()), packet(second, overflow)])
    received = Received()
    packets = list(camera_packets(device, received, idle_s=0.01))
    assert [each.dtype for each in packets] == [EVENT_DTYPE] * 2
    assert all(map(np.array_equal, packets, (first, second)))
    assert str(received) == "5 events, 1 packets lost"
    assert received.ended == "no event came for 0.01 s"


def test_packets_without_events_are_passed_over():
    """A DAVIS sends motion samples and frames, too."""
    silent = cameras.Evt3Packet(None)
    received = Received()
    assert list(camera_packets(Device(Name.PROPHESEE_EVK4, [silent]), received, idle_s=0.01)) == []
    assert received.num_events == 0


def test_a_camera_that_is_unplugged():
    received = Received()
    packets = camera_packets(Device(Name.PROPHESEE_EVK4, [packet(events_at(1, 2))], unplugged=True), received)
    assert len(next(packets)) == 2
    with pytest.raises(LostError, match=r"the camera was lost \(No such device .*\): is it still plugged in\?"):
        next(packets)
    assert received.num_events == 2


def test_a_camera_is_opened_by_its_serial_number(connected):
    one, other = Device(Name.INIVATION_DVXPLORER, []), Device(Name.INIVATION_DVXPLORER, [])
    connected(DXA1=one, DXA2=other)
    assert open_camera("", (640, 480)) is one
    assert open_camera("DXA2", (640, 480)) is other
    with pytest.raises(
        OSError, match=r"cannot open the camera X \(no device found\); connected: iniVation DVXplorer DXA1, "
    ):
        open_camera("X", (640, 480))


def test_no_camera(connected):
    connected()
    with pytest.raises(OSError, match=r"cannot open a camera \(no device found\); none is connected"):
        open_camera("", (640, 480))


def test_a_camera_of_another_sensor_is_closed_again(connected):
    device = Device(Name.PROPHESEE_EVK4, [])
    connected(P1=device)
    with pytest.raises(ValueError, match="Prophesee EVK4 has a sensor of 1280×720, the model is for 128×128"):
        open_camera("", (128, 128))
    assert not device.is_open


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", None)
    with pytest.raises(ImportError, match=r"pip install 'evglif\[camera\]'"):
        open_camera("", (128, 128))


def test_the_stand_in_is_as_the_library():
    """Names, types and errors, as far as they can be seen without a camera."""
    library = pytest.importorskip("neuromorphic_drivers")
    stand_in = cameras.library({})
    assert {"iterator_timeout", "serial"} <= inspect.signature(library.open).parameters.keys()
    with pytest.raises(RuntimeError):
        library.open(serial="none such", iterator_timeout=0.1)
    with pytest.raises(RuntimeError):
        stand_in.open(serial="none such", iterator_timeout=0.1)
    assert set(inspect.get_annotations(library.Evt3Packet)) == set(inspect.get_annotations(cameras.Evt3Packet))
    for kind in Name:
        assert library.Name[kind.name].value == kind.value
        size = library.name_to_properties(library.Name[kind.name])
        assert (size.width, size.height) == cameras.SENSORS[kind]
    offered = [name for name in vars(Device) if not name.startswith("__") and callable(getattr(Device, name))]
    assert {"__enter__", "__exit__", "__next__", "__iter__", *offered} <= set(dir(library.device.Device))
    assert DTYPE.names == ("t", "x", "y", "on")
