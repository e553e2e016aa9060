import errno
import sqlite3
import threading
from contextlib import suppress
from threading import Thread

import numpy as np
import pytest

from napari_semimoe.core.errors import ProjectError, ProjectFormatError, ShapeError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.annotations import pack, unpack
from napari_semimoe.project.arrays import content_hash, read_array, write_array
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, mask, pixels, save


def test_an_accepted_mask_reads_back_identical(project, tile_id):
    labels = mask(1)
    labels[3, :7] = IGNORE
    record = project.accept(tile_id, labels)
    np.testing.assert_array_equal(project.read_labels(tile_id), labels)
    assert project.read_labels(tile_id).dtype == np.uint16
    assert project.tile(tile_id).annotation_id == record.id
    assert project.tile(tile_id).pool is Pool.CURATED


def test_a_version_says_who_when_and_from_what(project, tile_id):
    record = project.accept(
        tile_id, mask(1), baseline=mask(0), author="Grace", model="round 3", round=3, seconds=12.5
    )
    assert (record.version, record.author, record.model, record.round) == (1, "Grace", "round 3", 3)
    assert record.origin == "corrected"
    assert record.seconds == project.tile(tile_id).seconds_of_effort == 12.5
    assert record.created.endswith("+00:00")
    assert record == project.annotation(record.id)


def test_every_version_stays_readable(project, tile_id):
    records = [project.accept(tile_id, mask(seed), seconds=1) for seed in range(4)]
    assert project.annotations(tile_id) == records
    assert [record.version for record in records] == [1, 2, 3, 4]
    for seed, record in enumerate(records):
        np.testing.assert_array_equal(project.read_annotation(record.id), mask(seed))
    assert project.tile(tile_id).seconds_of_effort == 4


def test_changed_pixels_are_those_that_differ_from_what_was_shown(project, tile_id):
    shown, labels = mask(0), mask(0)
    labels[10:20, 10:20] += 3
    labels[0, 0] = 9
    record = project.accept(tile_id, labels, baseline=shown)
    np.testing.assert_array_equal(project.read_changed(record.id), labels != shown)
    assert record.changed_px == int((labels != shown).sum())


def test_a_mask_accepted_as_it_was_shown_says_so(project, tile_id):
    record = project.accept(tile_id, mask(0), baseline=mask(0))
    assert (record.origin, record.changed_px) == ("accepted as is", 0)
    assert not project.read_changed(record.id).any()


def test_without_a_baseline_the_version_before_is_compared(project, tile_id):
    first = project.accept(tile_id, mask(0))
    second = project.accept(tile_id, mask(1))
    np.testing.assert_array_equal(project.read_changed(first.id), mask(0) != 0)
    np.testing.assert_array_equal(project.read_changed(second.id), mask(0) != mask(1))


def test_empty_and_full_masks_are_ordinary(project, tile_id):
    for labels in (np.zeros((40, 56), np.uint16), np.full((40, 56), 1, np.uint16)):
        project.accept(tile_id, labels)
        np.testing.assert_array_equal(project.read_labels(tile_id), labels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 33), (513, 511), (2049, 3)])
def test_masks_of_odd_sizes_are_kept(project, tmp_path, shape):
    file = save(tmp_path / "a.png", pixels(0, shape))
    (tile_id,) = project.add_files([file], um_per_px=UM, tile_px=None).added
    labels = np.random.default_rng(0).integers(0, 9, shape).astype(np.uint16)
    record = project.accept(tile_id, labels)
    np.testing.assert_array_equal(project.read_labels(tile_id), labels)
    np.testing.assert_array_equal(project.read_changed(record.id), labels != 0)
    np.testing.assert_array_equal(project.read_image(tile_id), pixels(0, shape))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64])
def test_whole_numbers_of_any_type_are_taken(project, tile_id, dtype):
    labels = (mask(1) > 0).astype(dtype)
    project.accept(tile_id, labels)
    np.testing.assert_array_equal(project.read_labels(tile_id), labels)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((40, 55), np.uint16), "must have the tile's size"),
        (np.zeros((40, 56, 1), np.uint16), "must have the tile's size"),
        (np.zeros((40, 56), np.float32), "must hold whole numbers, got float32"),
        (np.full((40, 56), -1), "ids from 0 to 65535, got -1"),
        (np.full((40, 56), 70000), "ids from 0 to 65535, got 70000"),
    ],
)
def test_what_is_no_mask_of_the_tile_is_refused_in_words(project, tile_id, labels, sentence):
    with pytest.raises(ShapeError, match=sentence):
        project.accept(tile_id, labels)
    assert project.annotations(tile_id) == []


def test_a_baseline_of_another_size_is_refused_in_words(project, tile_id):
    with pytest.raises(ShapeError, match="The baseline must have the mask's size"):
        project.accept(tile_id, mask(0), baseline=mask(0)[:-1])


def test_an_unknown_tile_is_refused_in_words(project):
    with pytest.raises(ProjectError, match="has no tile 99"):
        project.accept(99, mask(0))
    with pytest.raises(ProjectError, match="has no mask 99"):
        project.annotation(99)


def test_classes_of_objects_that_are_there_are_kept(tmp_path):
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        (tile_id,) = add_images(project, tmp_path / "in", 1).added
        record = project.accept(tile_id, mask(0), classes={1: 2, 2: 1, 500: 2, 0: 1, IGNORE: 1})
        assert record.classes == {1: 2, 2: 1}
        assert project.annotation(record.id).classes == {1: 2, 2: 1}


def test_a_class_that_the_project_lacks_is_refused_in_words(project, tile_id):
    for wrong in (0, 2, -1):
        with pytest.raises(ShapeError, match=r"must be 1 to 1 \(gland\)"):
            project.accept(tile_id, mask(0), classes={1: wrong})


def test_versions_cannot_be_changed_or_deleted_even_by_sql(project, tile_id):
    project.accept(tile_id, mask(0))
    project.close()
    connection = sqlite3.connect(project.path / "index.sqlite")
    for attempt in ("DELETE FROM annotation", "UPDATE annotation SET author = 'Mallory'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(attempt)
    connection.close()


def test_a_mask_whose_file_was_altered_is_refused_in_words(project, tile_id):
    from napari_semimoe.core.disk import discard

    record = project.accept(tile_id, mask(0))
    discard(project.path / record.path)
    write_array(project.path / record.path, mask(1))
    with pytest.raises(ProjectFormatError, match=r"is not what was stored.*backup"):
        project.read_labels(tile_id)


@pytest.mark.parametrize("seed", range(5))
def test_a_changed_byte_in_an_array_is_told_and_never_read_as_other_pixels(tmp_path, seed):
    path = tmp_path / "a.zarr"
    write_array(path, mask(seed, (600, 700)))
    (part,) = (each for each in (path / "c").rglob("*") if each.is_file())
    content = bytearray(part.read_bytes())
    content[np.random.default_rng(seed).integers(len(content) // 2)] ^= 0x10
    part.write_bytes(content)
    with pytest.raises(ProjectFormatError, match="missing or damaged"):
        read_array(path)


def test_an_array_whose_description_is_no_description_is_told(tmp_path):
    write_array(tmp_path / "a.zarr", mask())
    (tmp_path / "a.zarr" / "zarr.json").write_text("[]")
    with pytest.raises(ProjectFormatError, match="missing or damaged"):
        read_array(tmp_path / "a.zarr")


def test_a_mask_whose_file_is_gone_is_refused_and_never_read_as_background(project, tile_id):
    record = project.accept(tile_id, mask(0))
    for part in (project.path / record.path / "c").rglob("*"):
        if part.is_file():
            part.unlink()
    with pytest.raises(ProjectFormatError, match=r"missing or damaged.*backup"):
        project.read_labels(tile_id)


def test_files_that_a_mac_leaves_beside_the_parts_of_a_mask_do_no_harm(project, tile_id):
    record = project.accept(tile_id, mask(0))
    for part in list((project.path / record.path / "c").rglob("*")):
        if part.is_file():
            part.with_name(f"._{part.name}").write_bytes(b"mac")
    assert (project.read_labels(tile_id) == mask(0)).all()


def test_threads_may_accept_at_the_same_time(project, tmp_path):
    tile_ids = add_images(project, tmp_path / "in", 3).added
    failures = []

    def work(seed):
        try:
            for step in range(5):
                tile_id = tile_ids[(seed + step) % 3]
                record = project.accept(tile_id, mask(seed * 10 + step))
                if not (project.read_annotation(record.id) == mask(seed * 10 + step)).all():
                    failures.append("another mask came back")
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for tile_id in tile_ids:
        versions = [record.version for record in project.annotations(tile_id)]
        assert versions == list(range(1, len(versions) + 1))
    assert sum(len(project.annotations(tile_id)) for tile_id in tile_ids) == 20


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 64)])
def test_packed_pixels_come_back(shape):
    wanted = np.random.default_rng(0).random(shape) > 0.5
    np.testing.assert_array_equal(unpack(pack(wanted), shape), wanted)


def test_what_other_programs_leave_beside_a_mask_s_parts_does_no_harm(project, tile_id):
    record = project.accept(tile_id, mask(0))
    parts = project.path / record.path / "c"
    (parts / "desktop.ini").write_text("left by a sync tool")
    (parts / "@eaDir").mkdir()
    (parts / "@eaDir" / "0").write_text("left by a server")
    np.testing.assert_array_equal(project.read_labels(tile_id), mask(0))


def test_a_transaction_that_failed_leaves_nothing_and_stands_in_nobodys_way(project, tile_id):
    with suppress(KeyboardInterrupt), project._store.transaction() as connection:
        connection.execute("INSERT INTO setting VALUES ('half', '1')")
        raise KeyboardInterrupt
    assert project.setting("half") is None
    project.accept(tile_id, mask())
    assert (project.read_labels(tile_id) == mask()).all()


@pytest.mark.parametrize("ask", ["audit", "setting"])
def test_another_thread_never_reads_half_of_a_commit(project, ask):
    said = {"audit": project.audit, "setting": lambda: project.setting("half")}[ask]
    before, found = said(), []
    thread = Thread(target=lambda: found.append(said()))
    with suppress(KeyboardInterrupt), project._store.transaction() as connection:
        connection.execute("INSERT INTO setting VALUES ('half', '1')")
        project._store.audit("Ada", "half", None)
        thread.start()
        thread.join(0.2)
        raise KeyboardInterrupt
    thread.join()
    assert found == [before]


def test_the_hash_of_what_is_stored_is_the_same_in_every_version():
    labels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    stored = "9b60da70a7c29a11e53fb53e88b1bcb11483f4461a2d63af59e0bf6a50fd8dbc"
    assert content_hash(labels) == stored
    assert content_hash(labels.astype(">u2")) == content_hash(labels)
    assert content_hash(labels.reshape(3, 2)) != content_hash(labels)


def test_a_computer_that_is_short_of_files_is_not_taken_for_a_damaged_mask(
    project, tile_id, monkeypatch
):
    def no_more(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("napari_semimoe.project.arrays._open", no_more)
    with pytest.raises(ProjectError, match="short of memory") as raised:
        project.read_image(tile_id)
    assert not isinstance(raised.value, ProjectFormatError)
