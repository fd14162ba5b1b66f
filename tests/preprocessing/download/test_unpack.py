import io
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.download.unpack import ArchiveError, unpack
from preprocessing.files import is_inside

FILES = {"set/train/1.bin": b"one" * 1000, "set/test/2.bin": b"", "readme": b"about"}


def tarred(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


ARCHIVES = {
    "tar": tarred,
    "tar.gz": lambda path, files: tarred(path, files, "w:gz"),
    "tar.bz2": lambda path, files: tarred(path, files, "w:bz2"),
    "tar.xz": lambda path, files: tarred(path, files, "w:xz"),
    "zip": zipped,
    "stored zip": lambda path, files: zipped(path, files, zipfile.ZIP_STORED),
}


@pytest.fixture(params=ARCHIVES)
def make(request, tmp_path):
    """An archive of one of the kinds; its name doesn't tell which."""
    return lambda files: ARCHIVES[request.param](tmp_path / "archive", files)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "unpacked"


@pytest.fixture
def special(tmp_path):
    """A tar archive with one entry of the given kind."""

    def special(kind, name="entry", target=""):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        with tarfile.open(tmp_path / "archive", "w") as archive:
            archive.addfile(info)
        return tmp_path / "archive"

    return special


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_kind_gives_its_files(make, folder):
    assert unpack(make(FILES), folder) == ("readme", "set")
    assert contents(folder) == FILES


def test_archive_of_nothing(make, folder):
    assert unpack(make({}), folder) == ()
    assert contents(folder) == {}


def test_empty_folders_and_the_folder_itself(tmp_path, folder):
    (tmp_path / "made/empty").mkdir(parents=True)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "made", ".")  # as `tar -c .` does
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("hollow")
    assert unpack(tmp_path / "a.tar", folder) == ("empty",)
    assert unpack(tmp_path / "a.zip", folder) == ("hollow",)
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "hollow"]


def test_archives_share_folders_and_replace_files(tmp_path, folder):
    unpack(zipped(tmp_path / "1.zip", {"set/1": b"1", "set/both": b"first"}), folder)
    unpack(zipped(tmp_path / "2.zip", {"set/2": b"2", "set/both": b"second"}), folder)
    assert contents(folder) == {"set/1": b"1", "set/2": b"2", "set/both": b"second"}


def test_what_a_killed_process_left_is_taken_over(make, folder):
    (folder / ".archive.unpacking").mkdir(parents=True)
    (folder / ".archive.unpacking/half").write_bytes(b"?")
    unpack(make(FILES), folder)
    assert contents(folder) == FILES


def test_permissions_and_owners_are_not_taken_from_the_archive(tmp_path, folder):
    info = tarfile.TarInfo("tool")
    info.mode, info.uid = 0o6777, 12345
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(info)
    unpack(tmp_path / "a.tar", folder)
    status = (folder / "tool").stat()
    assert (status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR), status.st_uid) == (0, os.getuid())


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/tmp/x", "..\\x", "C:\\x", ".."])
def test_names_that_lead_out(make, folder, tmp_path, name):
    archive = make({"harmless": b"1", name: b"2"})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=r"archive: '.*' leads out of the folder"):
        unpack(archive, folder)
    assert set(tmp_path.rglob("*")) - before == {folder}
    assert not Path("/tmp/x").exists()


@pytest.mark.parametrize("target", ["../../outside", "/etc/passwd", "inside"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
def test_links(special, folder, kind, target):
    with pytest.raises(ArchiveError, match="'entry' is a link or a device, expected files and folders only"):
        unpack(special(kind, target=target), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"], ids=["chr", "blk", "fifo", "?"]
)
def test_devices_and_the_unknown(special, folder, kind):
    with pytest.raises(ArchiveError, match="'entry' is a link or a device"):
        unpack(special(kind), folder)
    assert list(folder.iterdir()) == []


def test_writing_through_a_link(tmp_path, folder):
    (tmp_path / "outside").mkdir()
    link = tarfile.TarInfo("way")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
    with tarfile.open(tmp_path / "archive", "w") as archive:
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("way/out"))
    with pytest.raises(ArchiveError, match="'way' is a link"):
        unpack(tmp_path / "archive", folder)
    assert list((tmp_path / "outside").iterdir()) == []


def test_link_in_a_zip_archive(tmp_path, folder):
    info = zipfile.ZipInfo("way")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr(info, "/etc")
    with pytest.raises(ArchiveError, match="'way' is a link"):
        unpack(tmp_path / "archive", folder)


def test_one_name_for_a_file_and_a_folder(make, folder):
    with pytest.raises(OSError, match=r"archive: cannot be unpacked into .*unpacked \("):
        unpack(make({"a": b"1", "a/b": b"2"}), folder)
    assert list(folder.iterdir()) == []


def test_more_than_the_disk_takes(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("EVGLIF_MEMORY", "2000000TB")
    info = tarfile.TarInfo("zeros")
    info.size = 10**18
    (tmp_path / "archive").write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(OSError, match=r"unpacking zeros takes 1,000,.* bytes, the disk of .* has"):
        unpack(tmp_path / "archive", folder)
    assert list(folder.iterdir()) == []


def test_zip_archive_of_more_than_the_disk_takes_is_not_begun(tmp_path, folder, monkeypatch):
    archive = zipped(tmp_path / "archive", {str(number): bytes(60_000) for number in range(10)})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=599_999))
    with pytest.raises(OSError, match=r"takes 600,000 bytes, the disk of .* has 599,999 left: make room"):
        unpack(archive, folder)


def test_cut_anywhere_it_is_refused_and_leaves_nothing(make, folder):
    archive = make({"set/1": os.urandom(3000), "set/2": os.urandom(3000)})
    data = archive.read_bytes()
    for length in range(0, 6000, 97):
        archive.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match=r"archive: cannot be unpacked \(.*\); remove it and fetch it again"):
            unpack(archive, folder)
        assert list(folder.iterdir()) == []


def test_broken_header_in_the_middle(tmp_path, folder):
    archive = tarred(tmp_path / "archive", FILES)
    data = bytearray(archive.read_bytes())
    data[512 + 3072] ^= 1  # the first byte of the second header
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="it breaks off"):
        unpack(archive, folder)


@pytest.mark.parametrize("make", ["tar.gz", "zip", "tar.xz"], indirect=True)
def test_flipped_bits_are_found(make, folder):
    archive = make({"1": b"events" * 500})
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 16
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        unpack(archive, folder)
    assert list(folder.iterdir()) == []


def test_checksum_at_the_end_of_a_compressed_archive(tmp_path, folder):
    archive = tarred(tmp_path / "archive", FILES, "w:gz")
    data = bytearray(archive.read_bytes())
    data[-8] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="CRC"):
        unpack(archive, folder)


def test_something_else(tmp_path, folder):
    (tmp_path / "archive").write_bytes(b"<html>please log in</html>" * 100)
    with pytest.raises(ArchiveError, match=r"cannot be unpacked \(file could not be opened successfully\); remove it"):
        unpack(tmp_path / "archive", folder)


def test_encrypted_zip_archive(tmp_path, folder):
    archive = zipped(tmp_path / "archive", {"secret": b"1"}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[6] |= 1  # the flag in the file's own header
    data[data.index(b"PK\1\2") + 8] |= 1  # and in the table
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="encrypted"):
        unpack(archive, folder)


def test_tar_archive_that_ends_with_a_zip_archive(tmp_path, folder):
    inner = zipped(tmp_path / "inner", {"a": b"1"}).read_bytes()
    assert zipfile.is_zipfile(tarred(tmp_path / "archive", {"inner.zip": inner}))
    assert unpack(tmp_path / "archive", folder) == ("inner.zip",)


@given(st.lists(st.sampled_from(["..", ".", "a", "", "...", "a..", "/", "\\", "C:"])).map("/".join))
def test_names_that_pass_stay_inside(name):
    if is_inside(name):
        assert os.path.normpath(f"/data/set/{name}").startswith("/data/set/")
        assert os.path.normpath(f"/data/set/{name.replace(chr(92), '/')}").startswith("/data/set/")


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path, folder):
    for made in (zipped(tmp_path / "zip", {"zeros": bytes(100_000_000)}, zipfile.ZIP_DEFLATED), tmp_path / "tar"):
        if made.name == "tar":
            with tarfile.open(made, "w:gz", compresslevel=1) as archive:
                info = tarfile.TarInfo("zeros")
                info.size = 100_000_000
                archive.addfile(info, io.BytesIO(bytes(info.size)))
        with pytest.raises(ArchiveError, match=r"would take 100 MB, and is .* EVGLIF_MEMORY=1\d\dMB and run again"):
            unpack(made, folder)
        assert list(folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_of_two_members_of_one_name_the_last_is_taken_with_a_line(tmp_path, folder, capsys):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        for content in ("first", "last"):
            archive.writestr("a/b", content)
    assert unpack(tmp_path / "archive", folder) == ("a",)
    assert (folder / "a/b").read_text() == "last"
    assert "archive: holds a/b twice; the last one is taken\n" in capsys.readouterr().err


def test_bzip2_in_a_zip_is_refused(tmp_path, folder):
    with pytest.raises(ArchiveError, match="a is packed by method 12 of zip; expected deflate"):
        unpack(zipped(tmp_path / "archive", {"a": b"1"}, zipfile.ZIP_BZIP2), folder)
