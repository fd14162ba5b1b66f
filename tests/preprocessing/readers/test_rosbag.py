import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError
from preprocessing.readers import decode_recording, ros_messages, rosbag

pytest.importorskip("rosbags", reason="bags are written and read with rosbags: pip install 'evglif[ros]'")

from rosbags import rosbag1, rosbag2
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

EVENT = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n"
ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\nEvent[] events\n"
PACKET = (
    "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
    "bool is_bigendian\nuint8[] events\n"
)
DVS, PROPHESEE, PACKETS = ros_messages.MD5_OF
EPOCH = 1_600_000_000_000_000
EVENTS = [(EPOCH + i * 37, i * 7 % 240, i * 5 % 180, i % 3 == 0) for i in range(30)]


def typestore(kind):
    store = get_typestore(kind)
    time = "time" if kind is Stores.ROS1_NOETIC else "builtin_interfaces/Time"
    for array in (DVS, PROPHESEE):
        store.register(get_types_from_msg(EVENT.replace("builtin_interfaces/Time", time), array.replace("Array", "")))
        store.register(get_types_from_msg(ARRAY, array))
    store.register(get_types_from_msg(PACKET, PACKETS))
    return store


ROS1, ROS2 = typestore(Stores.ROS1_NOETIC), typestore(Stores.ROS2_HUMBLE)


def header(store, frame="camera"):
    time = store.types["builtin_interfaces/msg/Time"](1, 2)
    number = {"seq": 7} if store is ROS1 else {}
    return store.types["std_msgs/msg/Header"](**number, stamp=time, frame_id=frame)


def array(store, events, kind=DVS, size=(240, 180), **header_fields):
    """A message of events (t in µs, x, y, p)."""
    time, event = store.types["builtin_interfaces/msg/Time"], store.types[kind.replace("Array", "")]
    parts = [event(x=x, y=y, ts=time(t // 10**6, t % 10**6 * 1000 + 999), polarity=p) for t, x, y, p in events]
    return store.types[kind](header=header(store, **header_fields), width=size[0], height=size[1], events=parts)


def packet(store, encoding, packed, time_base=0, size=(240, 180), bigendian=False):
    return store.types[PACKETS](
        header=header(store),
        width=size[0],
        height=size[1],
        seq=3,
        time_base=time_base,
        encoding=encoding,
        is_bigendian=bigendian,
        events=np.frombuffer(packed, np.uint8),
    )


def in_messages(store, kind=DVS, **fields):
    return [array(store, EVENTS[i : i + 10], kind, **fields) for i in range(0, len(EVENTS), 10)]


def kind_of(message):
    return message.__msgtype__


def bag1(path, topics, compression=None, store=ROS1):
    """Write a ROS 1 bag with the messages of each topic."""
    writer = rosbag1.Writer(path)
    if compression:
        writer.set_compression(compression)
    with writer:
        for topic, messages in topics.items():
            connection = writer.add_connection(topic, kind_of(messages[0]), typestore=store)
            for i, message in enumerate(messages):
                writer.write(connection, i, store.serialize_ros1(message, kind_of(message)))
    return path


def bag2(path, topics, storage=StoragePlugin.SQLITE3, compression=None, little_endian=True):
    """Write a ROS 2 bag with the messages of each topic."""
    writer = rosbag2.Writer(path, version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        for topic, messages in topics.items():
            connection = writer.add_connection(topic, kind_of(messages[0]), typestore=ROS2)
            for i, message in enumerate(messages):
                data = ROS2.serialize_cdr(message, kind_of(message), little_endian=little_endian)
                writer.write(connection, i, data)
    return path


@pytest.mark.parametrize("kind", [DVS, PROPHESEE])
def test_the_versions_of_the_types_are_those_of_their_definitions(kind):
    assert ROS1.generate_msgdef(kind)[1] == ros_messages.MD5_OF[kind]
    assert ROS1.generate_msgdef(PACKETS)[1] == ros_messages.MD5_OF[PACKETS]


@pytest.mark.parametrize("compression", [None, *rosbag1.Writer.CompressionFormat])
@pytest.mark.parametrize("kind", [DVS, PROPHESEE])
def test_a_ros_1_bag(tmp_path, kind, compression):
    recording = read_recording(bag1(tmp_path / "r.bag", {"/dvs/events": in_messages(ROS1, kind)}, compression))

    assert recording.events.tolist() == EVENTS
    assert (recording.sensor, recording.format, recording.source) == ((240, 180), "rosbag", str(tmp_path / "r.bag"))


@pytest.mark.parametrize("compression", [None, CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("storage", StoragePlugin)
def test_the_folder_of_a_ros_2_bag(tmp_path, storage, compression):
    recording = read_recording(bag2(tmp_path / "r", {"/events": in_messages(ROS2)}, storage, compression))

    assert recording.events.tolist() == EVENTS
    assert (recording.sensor, recording.format, recording.source) == ((240, 180), "rosbag", str(tmp_path / "r"))


@pytest.mark.parametrize("storage", StoragePlugin)
def test_the_file_of_a_ros_2_bag(tmp_path, storage):
    folder = bag2(tmp_path / "r", {"/events": in_messages(ROS2, PROPHESEE)}, storage)
    (path,) = (path for path in folder.iterdir() if path.name != "metadata.yaml")

    assert read_recording(path).events.tolist() == EVENTS


@given(
    st.lists(st.tuples(st.integers(0, 2**31 * 10**6 - 1), st.integers(0, 65535), st.integers(0, 65535), st.booleans())),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
    st.booleans(),
    st.integers(0, 7),
)
def test_a_message_is_read_at_any_alignment(events, frame, little_endian, padding):
    ros1, ros2 = (array(store, events, frame=frame, size=(640, 480)) for store in (ROS1, ROS2))
    cdr = bytes(ROS2.serialize_cdr(ros2, DVS, little_endian=little_endian)) + bytes(padding)

    for message in (
        ros_messages.decode(bytes(ROS1.serialize_ros1(ros1, DVS)), DVS, False, "it"),
        ros_messages.decode(cdr, DVS, True, "it"),
    ):
        assert message.events.tolist() == events
        assert message.sensor == (640, 480)


@pytest.mark.parametrize(("store", "write"), [(ROS1, bag1), (ROS2, bag2)])
def test_packets_of_mono(tmp_path, store, write):
    words = struct.pack("<2Q", 1 << 63 | 5 << 48 | 9 << 32 | 1999, 0x7 << 48 | 0x8 << 32 | 0xFFFFFFFF)
    messages = [packet(store, "mono", words, 3_000_000_000), packet(store, "mono", words, 9_000_000_000)]
    recording = read_recording(write(tmp_path / "r.bag", {"/events": messages}))

    first, last = 3_000_001, 3_000_000 + 4_294_967
    assert recording.events.tolist() == [
        (first, 9, 5, True),
        (last, 8, 7, False),
        (first + 6_000_000, 9, 5, True),
        (last + 6_000_000, 8, 7, False),
    ]


def test_packets_of_evt3_are_one_stream(tmp_path):
    time, row = struct.pack("<2H", 0x8001, 0x6005), struct.pack("<H", 7)
    event, other = struct.pack("<H", 0x2000 | 1 << 11 | 9), struct.pack("<H", 0x2000 | 10)
    messages = [packet(ROS1, "evt3", time + row + event), packet(ROS1, "evt3", other)]
    recording = read_recording(bag1(tmp_path / "r.bag", {"/events": messages}))

    assert recording.events.tolist() == [(4096 + 5, 9, 7, True), (4096 + 5, 10, 7, False)]
    assert (recording.sensor, recording.format) == ((240, 180), "rosbag")


def test_other_topics_and_topics_without_events_are_left_alone(tmp_path):
    topics = {"/a": [header(ROS1)], "/b": [array(ROS1, [])], "/c": in_messages(ROS1), "/d": [packet(ROS1, "mono", b"")]}

    assert read_recording(bag1(tmp_path / "r.bag", topics)).events.tolist() == EVENTS


def test_a_sensor_that_the_messages_do_not_state(tmp_path):
    path = bag1(tmp_path / "r.bag", {"/c": in_messages(ROS1, size=(0, 0))})

    assert read_recording(path).sensor == (240, 180)
    assert read_recording(path, (346, 260)).sensor == (346, 260)


def older(tmp_path):
    """A bag with the first version of the type, whose times were one number."""
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("uint16 x\nuint16 y\nuint64 time\nbool polarity\n", DVS.replace("Array", "")))
    store.register(get_types_from_msg("Event[] events\n", DVS))
    return bag1(tmp_path / "r.bag", {"/dvs": [store.types[DVS](events=[])]}, store=store)


@pytest.mark.parametrize(
    ("topics", "sensor", "message"),
    [
        ({"/a": [header(ROS1)]}, None, r"no topic of events, but /a \(std_msgs/msg/Header\); expected one of dvs_msgs"),
        ({"/a": [array(ROS1, [])]}, None, "holds no events"),
        (
            {"/right": in_messages(ROS1), "/left": in_messages(ROS1)},
            None,
            "on the topics /left, /right; .* rosbags-convert --src r.bag --dst one.bag --include-topic /left",
        ),
        ({"/a": in_messages(ROS1)}, (346, 260), "240×180.* but 346×260 was asked for"),
        ({"/a": [*in_messages(ROS1), *in_messages(ROS1, size=(9, 9))]}, None, "more than one sensor"),
        ({"/a": in_messages(ROS1, size=(100, 180))}, None, "lies outside the 100×180 sensor"),
        (
            {"/a": in_messages(ROS1, size=(2**31, 1))},
            None,
            "message 0 of events, on /a, cannot be read: states a",
        ),
        (
            {"/a": [packet(ROS1, "libcaer_cmp", b"12")]},
            None,
            "its encoding is 'libcaer_cmp'.* only 'mono' and .* 'evt3'",
        ),
        ({"/a": [packet(ROS1, "evt3", b"12", bigendian=True)]}, None, "byte order >"),
        ({"/a": [packet(ROS1, "mono", b"123456789")]}, None, "message 0 of events, on /a, cannot be read"),
        ({"/a": [packet(ROS1, "mono", bytes(8)), packet(ROS1, "evt3", bytes(8))]}, None, "encodings mono and evt3"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, topics, sensor, message):
    data = bag1(tmp_path / "r.bag", topics).read_bytes()

    with pytest.raises(RecordingError, match=message) as refusal:
        decode_recording(data, "r.bag", sensor)
    assert str(refusal.value).startswith("r.bag: ")


def test_an_older_version_of_a_type_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"/dvs holds another version of dvs_msgs/msg/EventArray \(MD5"):
        read_recording(older(tmp_path))


def test_a_folder_that_lost_its_files_is_refused(tmp_path):
    folder = bag2(tmp_path / "r", {"/events": in_messages(ROS2)})
    (folder / "r.db3").unlink()

    with pytest.raises(RecordingError, match=r"r: cannot be read as a bag, it may be damaged \(.*r\.db3"):
        read_recording(folder)


def test_fewer_messages_than_announced_are_refused(tmp_path):
    folder = bag2(tmp_path / "r", {"/events": in_messages(ROS2)})
    metadata = folder / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 3", "message_count: 4"))

    with pytest.raises(RecordingError, match="announces 4 messages of events, but holds 3"):
        read_recording(folder)


def test_the_library_that_is_missing_is_named(tmp_path, monkeypatch):
    path = bag1(tmp_path / "r.bag", {"/a": in_messages(ROS1)})
    monkeypatch.setitem(sys.modules, "rosbags", None)

    with pytest.raises(RecordingError, match=r"pip install 'evglif\[ros\]'"):
        read_recording(path)


@given(st.data())
def test_a_damaged_message_raises_nothing_else(data):
    message, mono = array(ROS2, EVENTS[:3]), packet(ROS2, "mono", bytes(16))
    for whole, kind, cdr in (
        (ROS1.serialize_ros1(array(ROS1, EVENTS[:3]), DVS), DVS, False),
        (ROS2.serialize_cdr(message, DVS), DVS, True),
        (ROS2.serialize_cdr(mono, PACKETS), PACKETS, True),
    ):
        damaged = bytearray(whole)
        damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        for part in bytes(damaged), bytes(whole)[: data.draw(st.integers(0, len(whole) - 1))]:
            try:
                decoded = ros_messages.decode(part, kind, cdr, "it")
            except RecordingError as error:
                assert str(error).startswith("it cannot be read: ")  # noqa: PT017
            else:
                assert len(decoded.events) <= 3


@pytest.fixture(scope="module")
def small_bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    bags = [bag1(folder / "r.bag", {"/a": in_messages(ROS1)})]
    for storage in StoragePlugin:
        bags += bag2(folder / storage.name, {"/a": in_messages(ROS2)}, storage).glob("*.[dm][bc]*")
    return [(path.suffix, path.read_bytes()) for path in bags]


@settings(max_examples=30)
@given(st.data())
def test_a_damaged_bag_raises_nothing_else(small_bags, data):
    for suffix, whole in small_bags:
        damaged = bytearray(whole)
        damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        start = next(signature for signature, s in rosbag._SIGNATURES.items() if s == suffix)
        kept = data.draw(st.integers(1, len(whole) - 1))
        for part in bytes(damaged), whole[:kept], start + data.draw(st.binary(max_size=60)):
            try:
                decoded = decode_recording(part, f"r{suffix}")
            except RecordingError as error:
                assert str(error).startswith(f"r{suffix}: ")  # noqa: PT017
            else:
                assert len(decoded.events) > 0
