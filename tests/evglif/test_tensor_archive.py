"""What ``torch.save`` writes comes back; what announces more than it holds asks for no memory."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict

import pytest
import torch

from evglif.tensor_archive import read_archive
from tests.helpers.fuzzing import apart

GIGABYTE = 1 << 30


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return len(one) == len(other) and all(map(same, one, other)) if isinstance(one, list | tuple) else one == other


def test_plain_values_and_tensors_come_back(tmp_path):
    shared = torch.arange(6.0)
    content = {
        "values": [1, -2.5, None, True, "é", (1, (2,)), {}, [], (), 1 << 40, -(1 << 70)],
        "tensors": OrderedDict(a=shared, b=shared.view(2, 3).t(), c=torch.tensor(3), d=torch.empty(0, 4)),
        **{str(kind): torch.ones(3, dtype=kind) for kind in (torch.bfloat16, torch.half, torch.bool, torch.uint8)},
    }
    torch.save(content, tmp_path / "file.pt")
    found = read_archive(tmp_path / "file.pt")
    assert same(found, content)
    assert same(found, torch.load(tmp_path / "file.pt", weights_only=True))
    assert found["tensors"]["a"].untyped_storage().data_ptr() == found["tensors"]["b"].untyped_storage().data_ptr()


def archive(pickled, compression=zipfile.ZIP_STORED, values=b"\0\0\0\0", **options):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as file:
        file.writestr("a/data.pkl", b"\x80\x02" + pickled + b".")
        file.writestr("a/byteorder", "little")
        file.writestr("a/version", "3\n")
        with file.open("a/data/0", "w", **options) as record:
            for block in [values] if isinstance(values, bytes) else values:
                record.write(block)
    return written.getvalue()


def number(value):
    return b"J" + value.to_bytes(4, "little")


def tensor(num_stored, num_announced, stride=1):
    storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpu" + number(num_stored) + b"tQ"
    shape = b"K\0" + number(num_announced) + b"\x85" + number(stride) + b"\x85\x89)"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"tR"


EIGHTFOLD = 12 * (b"(" + 8 * b"h\0" + b"tq\0")


def packed():
    blocks = [bytes(1 << 20)] * 192
    return archive(tensor(len(blocks) << 18, len(blocks) << 18), zipfile.ZIP_DEFLATED, blocks)


BOMBS = {
    "a call for memory": (archive(b"cbuiltins\nbytearray\n" + number(GIGABYTE) + b"\x85R"), "builtins.bytearray"),
    "a far memo": (archive(b"}r\xff\xff\xff\x1f"), "the instruction LONG_BINPUT at byte 3"),
    "a large tensor of one value": (archive(tensor(1, GIGABYTE)), "has 1 values in the file"),
    "one value, many times": (archive(tensor(1, GIGABYTE, 0)), "has 1 values in the file"),
    "a tensor behind its values": (archive(tensor(1, 1, 1).replace(b"K\0J", b"K\x09J")), "out of bounds"),
    "a large storage": (archive(tensor(GIGABYTE, GIGABYTE)), "values has 4 bytes"),
    "values that double": (archive(b"K\1q\0" + EIGHTFOLD), "are more than"),
    "a list in itself": (archive(b"]q\0h\0a"), "nested more than 32 deep"),
    "the values of torch's own hook": (
        archive(tensor(1, 1) + b"(" + tensor(1, 1) + b"tb"),
        "state is not a dictionary",
    ),
    "code": (archive(b"cposix\nsystem\nX\4\0\0\0trueq\0\x85R"), "it asks for posix.system"),
    "another protocol": (archive(pickle.dumps({"a": b"bytes"}, 4)[2:-1]), "the instruction"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_an_archive_that_is_not_what_torch_writes_is_refused(tmp_path, what):
    data, said = BOMBS[what]
    (tmp_path / "bomb.pt").write_bytes(data)
    with pytest.raises(Exception, match=said):
        read_archive(tmp_path / "bomb.pt")


def test_an_archive_that_is_packed_is_refused(tmp_path):
    (tmp_path / "bomb.pt").write_bytes(archive(b"}", zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="it is packed or encrypted"):
        read_archive(tmp_path / "bomb.pt")


def read_all(folder):
    from pathlib import Path

    found = Counter()
    for path in Path(folder).iterdir():
        try:
            read_archive(path)
        except Exception:
            found["refused"] += 1
    return found


def test_what_announces_gigabytes_asks_for_no_memory(tmp_path):
    for place, data in enumerate([packed(), *(data for data, _ in BOMBS.values())]):
        (tmp_path / f"{place}.pt").write_bytes(data)
    found = apart(f"tests.evglif.test_tensor_archive:read_all({str(tmp_path)!r})")
    assert found["refused"] == 1 + len(BOMBS)
    assert found["megabytes"] < 100
