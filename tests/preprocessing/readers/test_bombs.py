"""Memory follows what a file holds: what reading files takes that announce or unpack to far more."""

import json
import sqlite3
import subprocess
import sys

import pytest

from preprocessing import apart, limits
from preprocessing.events import RecordingError
from preprocessing.readers import read_recording
from tests.helpers import ROOT
from tests.helpers.bombs import BOMBS

PEAK = """
import json, resource, sys
from preprocessing import apart
from preprocessing.readers import decode_recording, read_recording
from preprocessing.events import RecordingError

resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

def peak():
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) << 10

name = sys.argv[1]
data = open(name, "rb").read()
apart.call(abs, 0)
before = peak()
try:
    decode_recording(data, name)
    error = ""
except RecordingError as refusal:
    error = str(refusal)
apart._end_helper()
print(json.dumps({"peak": peak() - before, "error": error}))
"""
LIBRARIES = 150 << 20  # h5py, rosbags, numba and what they load


def peak_of(path):
    command = [sys.executable, "-c", PEAK, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    found = json.loads(done.stdout)
    return found["peak"], found["error"]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_more_than_its_size_allows(tmp_path, name):
    if name.endswith(".bag"):
        pytest.importorskip("rosbags", reason="pip install 'evglif[ros]'")
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    peak, error = peak_of(path)
    assert error.startswith(f"{path}: ")
    assert "please report" not in error
    assert peak < 3 * limits.allowed(path.stat().st_size) + (1 << 27) + LIBRARIES


VIEW = """
CREATE TABLE schema (schema_version INTEGER); INSERT INTO schema VALUES (4);
CREATE TABLE topics (id INTEGER, name TEXT, type TEXT, serialization_format TEXT, offered_qos_profiles TEXT,
                     type_description_hash TEXT);
CREATE TABLE messages (id INTEGER, topic_id INTEGER, timestamp INTEGER, data BLOB);
CREATE VIEW message_definitions AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
    SELECT n AS id, n AS topic_type, n AS encoding, n AS encoded_message_definition, n AS type_description_hash
    FROM r WHERE n < 0;
"""


def test_a_query_without_an_end_is_ended(tmp_path, monkeypatch):
    pytest.importorskip("rosbags", reason="pip install 'evglif[ros]'")
    with sqlite3.connect(tmp_path / "bag.db3") as database:
        database.executescript(VIEW)
    database.close()
    monkeypatch.setattr(limits, "_SECONDS", -1.0)  # with what its size gives, it has a second
    with pytest.raises(RecordingError, match=r"bag\.db3: cannot be read as a bag, .*no end after 1 s of a processor"):
        read_recording(tmp_path / "bag.db3")


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))


def test_a_description_whose_aliases_double_is_refused(tmp_path):
    pytest.importorskip("rosbags", reason="pip install 'evglif[ros]'")
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "metadata.yaml").write_text(f"rosbag2_bagfile_information:\n  version: *a59\n{LAUGHS}")
    with pytest.raises(RecordingError, match="cannot be read as a bag"):
        read_recording(bag)
    (bag / "metadata.yaml").write_text(f"{LAUGHS}rosbag2_bagfile_information:\n  version: *a59\n")
    with pytest.raises(RecordingError, match="cannot be read as a bag"):
        read_recording(bag)


def test_a_packed_bag_fills_neither_memory_nor_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FLOOR", 1 << 20)
    monkeypatch.setattr(apart, "_BESIDE", 1 << 25)
    pytest.importorskip("rosbags", reason="pip install 'evglif[ros]'")
    zstandard = pytest.importorskip("zstandard")
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "bag.db3.zstd").write_bytes(b"".join(zstandard.compress(bytes(1 << 20)) for _ in range(256)))
    (bag / "metadata.yaml").write_text(DESCRIPTION)
    with pytest.raises(RecordingError, match=r"cannot be read as a bag, .*File too large"):
        read_recording(bag)


DESCRIPTION = """rosbag2_bagfile_information:
  version: 5
  storage_identifier: sqlite3
  relative_file_paths: [bag.db3.zstd]
  duration: {nanoseconds: 1}
  starting_time: {nanoseconds_since_epoch: 0}
  message_count: 0
  topics_with_message_count: []
  compression_format: zstd
  compression_mode: FILE
  files: []
"""
