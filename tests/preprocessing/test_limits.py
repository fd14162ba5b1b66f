import zipfile

import pytest

from preprocessing import limits

MB = 10**6


def test_a_file_may_become_a_multiple_of_its_size_and_a_floor():
    assert limits.allowed(0) == 1 << 26
    assert limits.allowed(10 * MB) == 640 * MB + (1 << 26)
    assert limits.problem(limits.allowed(1000), 1000) == ""
    assert limits.problem(limits.allowed(1000) + 1, 1000).endswith("set EVGLIF_MEMORY=68MB and run again")
    assert limits.problem(6_200 * MB, 8_192) == (
        "would take 6.2 GB, and is 8.19 kB itself: more than 67.6 MB, which is 64 times that and 67.1 MB, only on "
        "request; if that is meant, set EVGLIF_MEMORY=7GB and run again"
    )


@pytest.mark.parametrize("text", ["7GB", "7 gb", "7000MB", "7000000000", "7e", "-1", "lots"])
def test_more_is_asked_for_in_one_place(monkeypatch, text):
    monkeypatch.setenv("EVGLIF_MEMORY", text)
    if not text[:1].isdigit() or text == "7e":
        with pytest.raises(ValueError, match=f"EVGLIF_MEMORY is '{text}'; expected a number of bytes such as 8GB"):
            limits.allowed(0)
        return
    assert limits.allowed(0) == limits.allowed_frames(0) == 7000 * MB
    assert limits.problem(7000 * MB, 0) == ""
    assert limits.problem(7000 * MB + 1, 0)
    assert limits.allowed_seconds(0) > 200


def test_frames_may_take_what_a_recording_may_and_at_least_two_gb():
    assert limits.allowed_frames() == 2 << 30
    assert limits.allowed_frames(100 * MB) == limits.allowed(100 * MB)
    assert limits.frames_problem(2 << 30) == ""
    assert "only on request" in limits.frames_problem((2 << 30) + 1)


def test_members_of_archives_are_measured_by_their_own_size():
    info = zipfile.ZipInfo("m")
    info.compress_size, info.file_size, info.compress_type = 1000, limits.allowed(1000), zipfile.ZIP_DEFLATED
    assert limits.member_problem(info) == ""
    info.file_size += 1
    assert "only on request" in limits.member_problem(info)
    info.compress_type = zipfile.ZIP_LZMA
    assert "method 14 of zip; expected deflate" in limits.member_problem(info)
