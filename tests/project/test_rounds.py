import json
from pathlib import Path

import numpy as np
import pytest

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.core.values import Box
from napari_semimoe.project.arrays import read_array
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, image_folder, mask, pixels


def finished(project, state=RoundState.PROMOTED):
    number = project.start_round({"seed": 1}, None).number
    weights = project.round_folder(number) / "model.safetensors"
    weights.write_bytes(b"weights of %d" % number)
    return project.finish_round(number, state, weights=weights, report={"dice": 0.9}, note="good")


def test_a_round_of_an_impossible_number_is_refused_in_words(project):
    with pytest.raises(ProjectError, match="refused"):
        project.round(10**30)


def test_a_round_keeps_what_it_depends_on_and_how_it_ended(project):
    started = project.start_round({"seed": 1, "stages": 2}, "starter")
    assert (started.number, started.state, started.base) == (1, RoundState.RUNNING, "starter")
    weights = project.round_folder(1) / "model.safetensors"
    weights.write_bytes(b"weights")
    ended = project.finish_round(
        1, RoundState.KEPT_BESIDE, weights=weights, report={"dice": 0.5}, note="worse"
    )
    assert ended == project.round(1) == project.rounds()[0]
    assert ended.settings == {"seed": 1, "stages": 2}
    assert ended.weights == "rounds/1/model.safetensors"
    assert (ended.report, ended.note) == ({"dice": 0.5}, "worse")
    assert ended.ended >= ended.created
    assert project.models.weights() is None


def test_a_promoted_round_takes_charge(project):
    record = finished(project)
    assert record.state is RoundState.PROMOTED
    assert project.models.weights() == project.path / "rounds/1/model.safetensors"
    assert project.models.in_charge() == record


def test_the_latest_promotion_counts_and_an_older_one_can_come_back(project):
    finished(project)
    finished(project)
    finished(project, RoundState.KEPT_BESIDE)
    assert project.models.in_charge().number == 2
    assert project.models.promote(3).state is RoundState.PROMOTED
    assert project.models.in_charge().number == 3
    project.models.promote(1)
    assert project.models.weights().read_bytes() == b"weights of 1"
    told = [line["detail"] for line in project.audit() if line["what"] == "promote"]
    assert told == [{"round": number} for number in (1, 2, 3, 1)]


def test_when_weights_are_gone_the_promotion_before_counts(project):
    finished(project)
    finished(project)
    assert project.models.lost() is None
    (project.path / "rounds/2/model.safetensors").unlink()
    assert project.models.in_charge().number == 1
    assert project.models.lost().number == 2
    project.models.promote(1)
    assert project.models.lost() is None


def test_a_round_without_weights_cannot_take_charge(project):
    project.start_round({}, None)
    with pytest.raises(ProjectError, match="Round 1 has no weights"):
        project.finish_round(1, RoundState.PROMOTED)
    project.finish_round(1, RoundState.FAILED, note="out of memory")
    with pytest.raises(ProjectError, match="Round 1 has no weights"):
        project.models.promote(1)


def test_weights_outside_the_project_are_refused_in_words(project, tmp_path):
    project.start_round({}, None)
    (tmp_path / "w.safetensors").write_bytes(b"w")
    for wrong in (tmp_path / "w.safetensors", project.path / "rounds/1/missing.safetensors"):
        with pytest.raises(ProjectError, match="must be a file inside"):
            project.finish_round(1, RoundState.PROMOTED, weights=wrong)
    assert project.round(1).state is RoundState.RUNNING


def test_one_round_runs_at_a_time(project):
    project.start_round({}, None)
    with pytest.raises(ProjectError, match="Round 1 is still running"):
        project.start_round({}, None)
    assert len(project.rounds()) == 1


def test_a_round_ends_in_a_state_that_is_an_end(project):
    project.start_round({}, None)
    with pytest.raises(ProjectError, match="cannot end as running"):
        project.finish_round(1, RoundState.RUNNING)


def test_an_unknown_round_is_refused_in_words(project):
    with pytest.raises(ProjectError, match="has no round 5"):
        project.round(5)


def test_an_interrupted_round_can_go_on(project):
    project.start_round({"seed": 1}, None)
    manifest = (project.round_folder(1) / "manifest.json").read_bytes()
    project.close()
    with Project.open(project.path) as again:
        assert again.resume_round(1).state is RoundState.RUNNING
        assert (again.round_folder(1) / "manifest.json").read_bytes() == manifest


def test_a_base_inside_the_project_is_kept_relative(project):
    base = finished(project)
    record = project.start_round({}, str(project.models.weights()))
    assert record.base == base.weights


def test_the_manifest_says_what_every_tile_does_and_where_it_lies(project, tmp_path):
    add_images(project, tmp_path / "labelled", 5, masks=True)
    add_images(project, tmp_path / "plain", 3, first=20)
    project.set_pool(8, Pool.EXCLUDED)
    project.accept(6, mask(9), classes={1: 1})
    project.start_round({}, None)
    manifest = json.loads((project.round_folder(1) / "manifest.json").read_text())
    assert manifest["round"] == 1
    assert manifest["classes"] == ["background", "gland"]
    by_id = {entry["tile_id"]: entry for entry in manifest["tiles"]}
    roles = [entry["role"] for entry in manifest["tiles"]]
    assert sorted(by_id) == [1, 2, 3, 4, 5, 6, 7]
    assert (roles.count("labelled"), roles.count("validation"), roles.count("unlabelled")) == (
        5,
        1,
        1,
    )
    assert by_id[7]["role"] == "unlabelled"
    assert by_id[7]["labels"] is None
    np.testing.assert_array_equal(read_array(Path(by_id[6]["labels"]["array"])), mask(9))
    assert by_id[6]["classes"] == {"1": 1}
    source = by_id[7]["image"]
    assert source == project.image_source(7)
    assert (source["um_per_px"], source["name"]) == (UM, "image_21")
    read = read_array(Path(source["array"]), Box(*source["box"]))
    np.testing.assert_array_equal(read, pixels(21))


def test_an_unlabelled_tile_of_a_patient_who_validates_takes_no_part(project, tmp_path):
    folder = image_folder(tmp_path / "in", 2, masks=True)
    project.add_folder(folder, um_per_px=UM, patient_of=lambda _: "A", pool=Pool.VALIDATION)
    more = image_folder(tmp_path / "more", 1, first=5)
    project.add_folder(more, um_per_px=UM, patient_of=lambda _: "A")
    assert project.tile(3).pool is Pool.UNLABELLED
    assert [entry["tile_id"] for entry in project.round_manifest()["tiles"]] == [1, 2]


def test_a_mask_put_aside_by_a_person_does_not_teach(project, tmp_path):
    add_images(project, tmp_path / "in", 1, masks=True)
    project.set_pool(1, Pool.UNLABELLED)
    (entry,) = project.round_manifest()["tiles"]
    assert (entry["role"], entry["labels"]) == ("unlabelled", None)


def test_a_manifest_stays_true_while_people_go_on_correcting(project, tile_id):
    project.accept(tile_id, mask(1))
    project.start_round({}, None)
    project.accept(tile_id, mask(2))
    manifest = json.loads((project.round_folder(1) / "manifest.json").read_text())
    array = Path(manifest["tiles"][0]["labels"]["array"])
    np.testing.assert_array_equal(read_array(array), mask(1))


def test_the_starter_can_come_back_and_stays_after_reopening(project):
    finished(project)
    project.models.promote_starter()
    assert project.models.in_charge() is None
    assert project.models.weights() is None
    project.close()
    with Project.open(project.path) as again:
        assert again.models.in_charge() is None
        assert again.audit()[-1]["detail"] == {"round": None}
        again.models.promote(1)
        assert again.models.in_charge().number == 1


def test_the_model_before_is_known_also_when_that_was_the_starter(project):
    finished(project)
    assert project.models.before() is None
    finished(project)
    assert project.models.before().number == 1
    project.models.promote_starter()
    assert project.models.before().number == 2
    project.models.promote_starter()
    assert project.models.before().number == 2


def test_a_project_without_any_promotion_has_no_model_to_go_back_to(project):
    finished(project, RoundState.KEPT_BESIDE)
    with pytest.raises(ProjectError, match="none to go back to"):
        project.models.before()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_project_whose_promotions_always_name_a_round_is_read_and_upgraded(project, read_only):
    finished(project)
    finished(project)
    connection = project._store.connection
    connection.executescript(
        "ALTER TABLE promotion RENAME TO newer;"
        "CREATE TABLE promotion (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " round INTEGER NOT NULL REFERENCES round (number), created TEXT NOT NULL);"
        "INSERT INTO promotion SELECT * FROM newer; DROP TABLE newer;"
    )
    project.close()
    with Project.open(project.path, read_only=read_only) as again:
        assert again.models.in_charge().number == 2
        assert again.models.before().number == 1
        if not read_only:
            again.models.promote_starter()
            assert again.models.in_charge() is None
            assert again.models.before().number == 2


def test_what_a_start_that_was_cut_off_left_behind_is_removed(project):
    left = project.round_folder(1) / "state.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of no round")
    assert project.start_round({}, None).number == 1
    assert not left.exists()


@pytest.mark.parametrize("state", [RoundState.CANCELLED, RoundState.FAILED])
def test_a_round_that_has_weights_cannot_go_on_however_it_ended(project, state):
    finished(project, state)
    with pytest.raises(ProjectError, match="cannot go on"):
        project.resume_round(1)
