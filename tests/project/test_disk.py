"""Writing where the system refuses for a moment, or in its own numbers."""

import errno
import os
import stat
from contextlib import nullcontext

import pytest

from napari_semimoe.core import disk
from napari_semimoe.core.disk import remove, storage_error, write_text


@pytest.fixture
def busy(monkeypatch):
    """Return a function that lets a call be refused some times, as a scanner does on Windows."""
    monkeypatch.setattr(disk, "_PAUSES", (0.001, 0.001, 0.001))

    def make(owner, name, times):
        do, refused = getattr(owner, name), []

        def call(*arguments, **options):
            if len(refused) < times:
                refused.append(arguments)
                raise PermissionError(errno.EACCES, "in use")
            return do(*arguments, **options)

        monkeypatch.setattr(owner, name, call)
        return refused

    return make


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_file_that_is_open_elsewhere_for_a_moment_is_stored_all_the_same(tmp_path, busy, name):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    refused = busy(os, name, 3)
    write_text(path, "new")
    assert len(refused) == 3
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_stays_open_elsewhere_is_refused_and_the_old_one_is_whole(tmp_path, busy):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    refused = busy(os, "replace", 9)
    with pytest.raises(PermissionError):
        write_text(path, "new")
    assert len(refused) == 4
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_is_removed_as_soon_as_it_is_let_go(tmp_path, busy):
    path = tmp_path / "a.txt"
    path.touch()
    busy(type(path), "unlink", 2)
    remove(path)
    assert not path.exists()
    remove(path)


@pytest.mark.parametrize(
    ("number", "length", "reason"),
    [
        (32, 9, "another program has the file open; close it there and try again"),
        (3, 280, "the path is too long for Windows; choose a folder with a shorter path"),
        (206, 280, "the path is too long for Windows; choose a folder with a shorter path"),
        (3, 9, "the folder is gone; reconnect the disk or reopen the project"),
        (
            5,
            9,
            "another program may have it open, or writing is not permitted there; try again, or "
            "choose another place",
        ),
    ],
)
def test_numbers_of_windows_are_put_in_words(number, length, reason):
    error = OSError(errno.ENOENT if number in (3, 206) else errno.EACCES, "refused", "x" * length)
    error.winerror = number
    assert str(storage_error("The mask", error)) == (
        f"The mask could not be stored: {reason}. What was stored before is safe."
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows flushes no folders")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_network_disk_that_cannot_flush_folders_is_used_all_the_same(
    tmp_path, monkeypatch, number
):
    do = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        do(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with nullcontext() if number != errno.EIO else pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_all_parts_are_flushed_before_they_get_their_name_and_the_name_after(tmp_path, monkeypatch):
    target, flushed = tmp_path / "a", []
    monkeypatch.setattr(disk, "flush", lambda path: flushed.append((path.name, target.exists())))
    with disk.written_whole(target) as temporary:
        (temporary / "c").mkdir(parents=True)
        (temporary / "c" / "0").write_text("x")
    assert {("0", False), ("c", False), (temporary.name, False)} <= set(flushed)
    assert flushed[-1] == (tmp_path.name, True)
