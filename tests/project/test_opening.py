import json
import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from threading import Timer

import numpy as np
import pytest

from napari_semimoe.core.errors import (
    ProjectError,
    ProjectFormatError,
    ProjectLockedError,
    SettingsError,
    StorageError,
)
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.project.arrays import read_array
from napari_semimoe.project.project import Project
from napari_semimoe.project.schema import FORMAT
from napari_semimoe.project.store import sqlite_uri
from tests.project.making import add_images, mask

HOLD = """
import sys
from napari_semimoe.project.project import Project
project = Project.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Start real processes that hold a project open until they are told or killed."""
    started = []

    def hold(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "open\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_new_project_keeps_name_classes_and_author(tmp_path):
    Project.create(
        tmp_path / "p", name="Colon", classes=("background", "benign", "malignant"), author="Ada"
    ).close()
    with Project.open(tmp_path / "p") as project:
        assert project.name == "Colon"
        assert project.classes == ("background", "benign", "malignant")
        assert project.author == "Ada"
        assert project.path == tmp_path / "p"
        assert project.tiles() == []


def test_an_empty_folder_becomes_a_project(tmp_path):
    (tmp_path / "p").mkdir()
    with Project.create(tmp_path / "p") as project:
        assert project.name == "p"


def test_a_folder_with_files_is_not_made_a_project(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ProjectError, match=r"needs a new or empty folder.*holds files"):
        Project.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_files_that_file_managers_make_by_themselves_are_no_files_of_anybody(tmp_path):
    own = [".DS_Store", "Thumbs.db", "desktop.ini", "._a.zarr"]
    for name in own:
        (tmp_path / name).touch()
    with Project.create(tmp_path) as project:
        for name in own:
            (project.path / "images" / name).touch()
    Project.open(tmp_path).close()
    assert sorted(os.listdir(tmp_path / "images")) == sorted(own)
    assert not (tmp_path / "unreferenced").exists()


def test_a_project_whose_empty_folders_were_left_out_by_a_copy_is_whole_again(tmp_path):
    with Project.create(tmp_path / "p") as project:
        (tile,) = add_images(project, tmp_path / "in", 1).added
    for part in ("annotations", "predictions", "rounds", "models", "logs"):
        (tmp_path / "p" / part).rmdir()
    with Project.open(tmp_path / "p") as project:
        project.accept(tile, mask(1))
        assert project.new_prediction_path().parent.is_dir()


def test_what_a_killed_attempt_left_is_no_hindrance_for_a_new_project(tmp_path):
    Project.create(tmp_path / "p", classes=("background", "a")).close()
    (tmp_path / "p" / "project.json").unlink()
    (tmp_path / "p" / "lock-holder").unlink()
    (tmp_path / "p" / "lock").unlink(missing_ok=True)
    with Project.create(tmp_path / "p", classes=("background", "b")) as project:
        add_images(project, tmp_path / "in", 1)
        assert project.classes == ("background", "b")
    (tmp_path / "p" / "project.json").unlink()  # of a project with images, it is a loss
    with pytest.raises(ProjectError, match="holds files"):
        Project.create(tmp_path / "p")


def test_classes_are_added_and_renamed_and_masks_keep_theirs(tmp_path):
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        (tile,) = add_images(project, tmp_path / "in", 1).added
        labels = np.zeros((40, 56), np.uint16)
        labels[:9, :9] = 4
        project.accept(tile, labels, classes={4: 2})
        project.add_class(" stroma ")
        project.rename_class("MALIGNANT", "cancer")
    names = ("background", "benign", "cancer", "stroma")
    with Project.open(tmp_path / "p") as project:
        assert project.classes == names
        assert project.annotations(tile)[-1].classes == {4: 2}
        project.accept(tile, labels, classes={4: 3})
        assert [line["detail"]["now"] for line in project.audit() if line["what"] == "classes"] == [
            ["background", "benign", "malignant", "stroma"],
            list(names),
        ]


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.add_class("Gland"),
        lambda project: project.add_class(" "),
        lambda project: project.add_class("ignore*"),
        lambda project: project.add_class("a=b"),
        lambda project: project.rename_class("gland", "a=b"),
        lambda project: project.rename_class("background", "glass"),
        lambda project: project.rename_class("stroma", "tumour"),
        lambda project: project.rename_class("gland", "Background"),
    ],
)
def test_names_of_classes_that_cannot_be_are_refused(tmp_path, change):
    with Project.create(tmp_path / "p") as project:
        with pytest.raises(SettingsError):
            change(project)
        assert project.classes == ("background", "gland")
    with Project.open(tmp_path / "p", read_only=True) as project:
        assert project.classes == ("background", "gland")
        with pytest.raises(ProjectError, match="reading only"):
            project.add_class("stroma")


def test_a_project_needs_two_classes(tmp_path):
    with pytest.raises(SettingsError, match="classes"):
        Project.create(tmp_path / "p", classes=("background",))
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("second", ["Gland", " gland ", "ignore*", "Region*", " "])
def test_classes_that_other_programs_could_not_tell_apart_are_refused(tmp_path, second):
    with pytest.raises(SettingsError, match="Every class needs a name of its own"):
        Project.create(tmp_path / "p", classes=("background", "gland", second))
    assert not (tmp_path / "p").exists()


def test_the_project_file_itself_opens_the_project(project):
    project.close()
    with Project.open(project.path / "project.json") as again:
        assert again.path == project.path


def test_a_folder_that_is_no_project_is_refused_in_words(tmp_path):
    with pytest.raises(ProjectFormatError, match=r"is not a Semi-MoE project.*project\.json"):
        Project.open(tmp_path)


def test_a_newer_format_is_refused_in_words_and_left_alone(project):
    project.close()
    file = project.path / "project.json"
    newer = json.loads(file.read_text()) | {"format": FORMAT + 1, "brushes": ["unknown key"]}
    file.write_text(json.dumps(newer))
    before = (project.path / "index.sqlite").read_bytes()
    for read_only in (False, True):
        with pytest.raises(ProjectFormatError, match=r"newer version.*format 2.*Update"):
            Project.open(project.path, read_only=read_only)
    assert (project.path / "index.sqlite").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "one"}', '{"format": 1}', "\0"])
def test_a_damaged_project_file_is_refused_in_words(project, text):
    project.close()
    (project.path / "project.json").write_text(text)
    with pytest.raises(ProjectFormatError, match=r"project\.json.*backup"):
        Project.open(project.path)


@pytest.mark.parametrize("damage", ["missing", "garbage", "empty"])
def test_a_damaged_index_is_refused_in_words_and_frees_the_lock(project, damage):
    project.close()
    index = project.path / "index.sqlite"
    good = index.read_bytes()
    index.unlink()
    if damage != "missing":
        index.write_bytes(b"not a database " * 1000 if damage == "garbage" else b"")
    with pytest.raises(ProjectFormatError, match=r"index.*missing or damaged.*backup"):
        Project.open(project.path)
    index.write_bytes(good)
    Project.open(project.path).close()


def test_a_second_process_is_told_who_has_the_project_open(project, holder):
    project.close()
    process = holder(project.path)
    with pytest.raises(ProjectLockedError, match=f"already open for writing.*{process.pid}"):
        Project.open(project.path)


def test_a_second_opening_in_the_same_process_is_refused(project):
    with pytest.raises(ProjectLockedError, match="Close it there first"):
        Project.open(project.path)


def test_reading_beside_a_writer_is_allowed_and_sees_what_is_committed(project, tmp_path):
    added = add_images(project, tmp_path / "images", 2)
    with Project.open(project.path, read_only=True) as reader:
        assert [tile.id for tile in reader.tiles()] == list(added.added)
        project.accept(added.added[0], mask())
        assert (reader.read_labels(added.added[0]) == mask()).all()


def test_a_reader_stores_nothing(project, tile_id, tmp_path):
    with Project.open(project.path, read_only=True) as reader:
        for attempt in (
            lambda: reader.accept(tile_id, mask()),
            lambda: reader.set_pool(tile_id, Pool.EXCLUDED),
            lambda: reader.set_setting("key", 1),
            lambda: reader.start_round({}, None),
            lambda: add_images(reader, tmp_path / "more", 1, first=50),
        ):
            with pytest.raises(ProjectError, match="opened for reading only"):
                attempt()
    assert project.annotations(tile_id) == []
    assert len(list((project.path / "annotations").iterdir())) == 0


def test_a_dead_process_frees_the_project(project, holder):
    project.close()
    process = holder(project.path)
    process.kill()
    process.wait()
    Project.open(project.path).close()


DIE_IN_A_COMMIT = """
import os, sys
from napari_semimoe.project.project import Project
project = Project.open(sys.argv[1])
connection = project._store.connection
connection.execute("PRAGMA cache_size=2")  # so that half of the transaction reaches the disk
connection.execute("BEGIN IMMEDIATE")
for number in range(2000):
    connection.execute("INSERT INTO setting VALUES (?, ?)", (str(number), "x" * 500))
os._exit(1)
"""


def test_a_commit_that_was_cut_off_is_undone_by_the_next_writer(project, tile_id):
    project.accept(tile_id, mask())
    project.close()
    subprocess.run([sys.executable, "-c", DIE_IN_A_COMMIT, str(project.path)], check=False)
    assert (project.path / "index.sqlite-journal").stat().st_size > 0
    with pytest.raises(ProjectError, match=r"was cut off while.*Open it once for writing"):
        Project.open(project.path, read_only=True)
    with Project.open(project.path) as again:
        assert again.setting("7") is None
        assert (again.read_labels(tile_id) == mask()).all()
    Project.open(project.path, read_only=True).close()


def test_closing_twice_is_harmless_and_frees_the_project(project):
    project.close()
    project.close()
    Project.open(project.path).close()


def test_left_over_files_are_swept_and_nothing_else(project, tile_id):
    record = project.accept(tile_id, mask())
    project.close()
    kept = {path for path in project.path.rglob("*") if "lock" not in path.name}
    for folder in ("annotations", "predictions", "images", "rounds"):
        for name in ("left-over.zarr", ".half.zarr.tmp-1234"):
            (project.path / folder / name).mkdir()
            (project.path / folder / name / "c").write_bytes(b"1")
    (project.path / ".project.json.tmp-1234").write_text("half")
    (project.path / "predictions" / f"{'0a' * 16}.zarr").mkdir()
    with Project.open(project.path) as again:
        assert len(again.swept) == 10
        assert (again.read_annotation(record.id) == mask()).all()
    aside = project.path / "unreferenced"
    found = {path for path in project.path.rglob("*") if "lock" not in path.name}
    assert {path for path in found if not path.is_relative_to(aside)} == kept
    assert {path.relative_to(aside).as_posix() for path in aside.rglob("c")} == {
        f"{folder}/left-over.zarr/c"
        for folder in ("annotations", "predictions", "images", "rounds")
    }


def test_masks_newer_than_a_restored_index_are_set_aside_and_not_removed(project, tile_id):
    older = (project.path / "index.sqlite").read_bytes()
    for restored in (1, 2):
        record = project.accept(tile_id, mask())
        project.start_round({}, None)
        project.close()
        (project.path / "index.sqlite").write_bytes(older)
        project = Project.open(project.path)
        assert project.annotations(tile_id) == []
        aside = project.path / "unreferenced"
        assert (read_array(aside / record.path) == mask()).all()
        assert len(list((aside / "rounds").iterdir())) == restored
    project.close()


def test_ctrl_c_just_after_a_commit_takes_nothing_away(project, tile_id, monkeypatch):
    transaction = type(project._store).transaction

    @contextmanager
    def interrupted(store):
        with transaction(store) as connection:
            yield connection
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(project._store), "transaction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            project.accept(tile_id, mask())
    assert (project.read_labels(tile_id) == mask()).all()


def test_the_index_of_a_project_on_a_server_has_an_address_that_sqlite_takes():
    share = PureWindowsPath(r"\\server\share\a b\index.sqlite")
    assert sqlite_uri(share) == "file:////server/share/a%20b/index.sqlite"
    assert sqlite_uri(PureWindowsPath(r"C:\p\i")) == "file:///C:/p/i"
    assert sqlite_uri(PurePosixPath("/p/i")) == "file:///p/i"


def test_a_reader_sweeps_nothing(project):
    left_over = project.path / "annotations" / "being-written.zarr"
    left_over.mkdir()
    Project.open(project.path, read_only=True).close()
    assert left_over.exists()


def test_a_round_left_running_is_interrupted_at_opening(project):
    project.start_round({"seed": 1}, None)
    project.close()
    with Project.open(project.path, read_only=True) as reader:
        assert reader.round(1).state is RoundState.RUNNING
    with Project.open(project.path) as again:
        assert again.round(1).state is RoundState.INTERRUPTED
        assert again.round(1).ended is not None
        assert again.round_folder(1).is_dir()


@pytest.mark.skipif(os.name == "nt", reason="rights of folders are another matter on Windows")
def test_a_project_that_cannot_be_written_says_so(public_folder, unprivileged):
    Project.create(public_folder / "study").close()
    (public_folder / "study" / "lock").chmod(0o444)
    with unprivileged(), pytest.raises(StorageError, match="writing is not permitted"):
        Project.open(public_folder / "study")


def test_the_index_is_flushed_at_every_commit(project):
    connection = project._store.connection
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 3  # EXTRA, above FULL
    assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_nothing_in_the_project_knows_its_own_place(project, tile_id):
    project.accept(tile_id, mask())
    project.start_round({}, str(project.path / "models" / "base.safetensors"))
    rows = sqlite3.connect(project.path / "index.sqlite")
    dump = "\n".join(line for line in rows.iterdump() if "INSERT INTO" in line)
    rows.close()
    assert str(project.path) not in dump


def test_the_project_module_stays_light():
    code = (
        "import sys, napari_semimoe.project.project;"
        "print([name for name in ('zarr','ome_zarr','tifffile','PIL','skimage','scipy','torch',"
        "'napari','qtpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reader_waits_for_a_commit_that_is_being_written(project, tile_id):
    with Project.open(project.path, read_only=True) as reader:
        writer = sqlite3.connect(
            project.path / "index.sqlite", isolation_level=None, check_same_thread=False
        )
        writer.execute("BEGIN EXCLUSIVE")
        commit = Timer(0.3, writer.rollback)
        commit.start()
        assert reader.tile(tile_id).id == tile_id
        commit.join()
        writer.close()


@pytest.mark.parametrize("table", ["promotion", "round", "annotation", "prediction"])
def test_an_index_without_one_of_its_tables_is_refused_in_words(project, table):
    project.close()
    with sqlite3.connect(project.path / "index.sqlite") as connection:
        connection.execute(f"DROP TABLE {table}")
    connection.close()
    with pytest.raises(ProjectFormatError, match="missing or damaged"):
        Project.open(project.path)
