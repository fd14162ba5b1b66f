"""Small files that announce, or unpack to, far more than they hold; what each would take is in GB or without an end."""

from __future__ import annotations

import bz2
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import h5py
from numpy.lib import format as npy

MB = 1 << 20


def hdf5_unallocated() -> bytes:
    """Columns of 4 GB of which nothing is in the file."""
    return _hdf5(4096 * MB)


def hdf5_chunk() -> bytes:
    """One chunk of 128 MB a column, packed to a thousandth."""
    return _hdf5(128 * MB, chunks=(128 * MB,), compression="gzip")


def hdf5_few_in_a_large_chunk() -> bytes:
    """Ten events in a chunk with room for 128 million."""
    return _hdf5(10, chunks=(128 * MB,), maxshape=(None,), compression="gzip")


def hdf5_inflates() -> bytes:
    """Chunks of 4 kB whose packed bytes go on for 1 GB, which HDF5 unpacks without asking."""
    return _hdf5(4096, 1024 * MB, chunks=(4096,), compression="gzip")


def hdf5_in_circles() -> bytes:
    """A local heap whose list of free blocks leads to itself: HDF5 follows it until memory ends."""
    file = io.BytesIO()
    with h5py.File(file, "w", libver="earliest") as made:
        for name in "abc":
            made.create_group(f"group/{name}")
    data = bytearray(file.getvalue())
    at = data.index(b"HEAP")
    while at >= 0:
        size, _, segment = struct.unpack_from("<QQQ", data, at + 8)
        data[at + 16 : at + 24] = (16).to_bytes(8, "little")
        data[segment + 16 : segment + 32] = struct.pack("<QQ", 16, size - 16)
        at = data.find(b"HEAP", at + 4)
    return bytes(data)


def _hdf5(size: int, unpacked: int = 0, **options: Any) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        for name in "txyp":
            column = made.create_dataset(name, (size,), "u1", **options)
            if options:
                column.id.write_direct_chunk((0,), _deflated(unpacked or column.chunks[0]))
    return file.getvalue()


def _deflated(num_bytes: int) -> bytes:
    """So many zeros, whole MB, packed by zlib: one block again and again."""
    packer, zeros = zlib.compressobj(9), bytes(MB)
    first = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.flush()[:-4]
    return first + block * (num_bytes // MB - 1) + end + struct.pack(">HH", num_bytes % 65521, 1)


def npz() -> bytes:
    """A first column of 128 MB zeros; what follows is never looked at."""
    return _npz(zipfile.ZIP_DEFLATED, 128 * MB)


def npz_bzip2() -> bytes:
    """A column packed by bzip2, which Python unpacks a block at once, however many MB that becomes."""
    return _npz(zipfile.ZIP_BZIP2, MB)


def _npz(method: int, num_bytes: int) -> bytes:
    file, zeros = io.BytesIO(), bytes(MB)
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, size in (("t", num_bytes), ("x", 1), ("y", 1), ("p", 1)):
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
                for start in range(0, size, MB):
                    member.write(zeros[: size - start])
    return file.getvalue()


def npy_header() -> bytes:
    """An array of 8 TB, by its header."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 38, 4)})
    return file.getvalue()


def mat() -> bytes:
    """A variable of 512 MB."""
    packed = _deflated(512 * MB)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + struct.pack("<II", 15, len(packed)) + packed


def bag() -> bytes:
    """A chunk of a ROS 1 bag that bzip2 unpacks to 2 GB."""

    def record(fields: dict[str, bytes], data: bytes) -> bytes:
        head = b"".join(struct.pack("<I", len(k) + 1 + len(v)) + k.encode() + b"=" + v for k, v in fields.items())
        return struct.pack("<I", len(head)) + head + struct.pack("<I", len(data)) + data

    packed = bz2.compress(bytes(32 * MB)) * 64
    start = len(b"#ROSBAG V2.0\n") + 4096
    chunk = record({"op": b"\5", "compression": b"bz2", "size": struct.pack("<I", 2048 * MB - 1)}, packed)
    lines = (
        b"topic=/e",
        b"type=dvs_msgs/EventArray",
        b"md5sum=5e8beee5a6c107e504c2e78903c224b8",
        b"message_definition=uint32 x\n",
    )
    topic = b"".join(struct.pack("<I", len(line)) + line for line in lines)
    connection = record({"op": b"\7", "conn": bytes(4), "topic": b"/e"}, topic)
    stamp = struct.pack("<II", 1, 0)
    one = struct.pack("<I", 1)
    times = {"start_time": stamp, "end_time": stamp}
    place = {"chunk_pos": struct.pack("<Q", start)}
    info = record({"op": b"\6", "ver": one, **place, **times, "count": one}, struct.pack("<II", 0, 1))
    index = record({"op": b"\4", "ver": one, "conn": bytes(4), "count": one}, stamp + bytes(4))
    counts = {"conn_count": one, "chunk_count": one}
    position = struct.pack("<Q", start + len(chunk) + len(index))
    head = record({"op": b"\3", "index_pos": position, **counts}, b"")
    padding = 4096 - len(head)
    head = head[:-4] + struct.pack("<I", padding) + b" " * padding
    return b"#ROSBAG V2.0\n" + head + chunk + index + connection + info


def text_blank_lines() -> bytes:
    """Ten million lines without anything."""
    return b"\n" * 10_000_000


def text_comments() -> bytes:
    """A million lines of comment."""
    return b"#\n" * 1_000_000


BOMBS: dict[str, Callable[[], bytes]] = {
    "unallocated.h5": hdf5_unallocated,
    "chunk.h5": hdf5_chunk,
    "few_in_chunk.h5": hdf5_few_in_a_large_chunk,
    "inflates.h5": hdf5_inflates,
    "circles.h5": hdf5_in_circles,
    "columns.npz": npz,
    "bzip2.npz": npz_bzip2,
    "header.npy": npy_header,
    "variable.mat": mat,
    "chunk.bag": bag,
    "blank.txt": text_blank_lines,
    "comments.txt": text_comments,
}
"""By the name of a file."""
