import pytest

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.pools import choose_validation
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, image_folder, mask


def in_pool(project, pool):
    return {tile.id for tile in project.tiles(pool)}


def add(project, folder, count, *, patient_of=None, **kinds):
    folder = image_folder(folder, count, **{"masks": True, **kinds})
    return project.add_folder(folder, um_per_px=UM, patient_of=patient_of)


@pytest.mark.parametrize(
    ("tiles", "validating"), [(0, 0), (1, 0), (4, 0), (5, 1), (9, 1), (10, 2), (85, 17)]
)
def test_one_tile_in_five_validates(tiles, validating):
    new = {f"{number:03}": 1 for number in range(tiles)}
    assert len(choose_validation(new, 0, 0)) == validating


def test_groups_are_taken_in_hash_order_as_long_as_they_fit():
    assert choose_validation({"a": 3, "b": 1, "c": 1, "d": 5}, 0, 0) == {"b", "c"}


def test_decided_tiles_count():
    assert choose_validation({"a": 1}, 4, 0) == {"a"}
    assert choose_validation({"a": 1}, 5, 1) == set()


def test_the_same_files_choose_the_same_tiles_in_any_order(tmp_path):
    chosen = []
    for name, order in (("p", 1), ("q", -1)):
        files = sorted(image_folder(tmp_path / "in", 10, masks=True).iterdir())[::order]
        with Project.create(tmp_path / name) as project:
            project.add_files(files, um_per_px=UM)
            chosen.append({tile.name for tile in project.tiles(Pool.VALIDATION)})
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 2


def test_a_patient_is_wholly_on_one_side(project, tmp_path):
    report = add(project, tmp_path / "in", 20, patient_of=lambda path: path.stem[-1])
    sides = {}
    for tile in project.tiles():
        sides.setdefault(tile.patient, set()).add(tile.pool)
    assert all(len(pools) == 1 for pools in sides.values())
    assert report.validation == len(in_pool(project, Pool.VALIDATION)) == 4


def test_a_patient_who_validates_goes_on_validating(project, tmp_path):
    add(project, tmp_path / "in", 10, patient_of=lambda path: path.stem[-1])
    validating = project.tiles(Pool.VALIDATION)[0].patient
    report = add(project, tmp_path / "more", 1, first=70, patient_of=lambda _: validating)
    assert project.tile(report.added[0]).pool is Pool.VALIDATION
    assert report.validation == 1


def test_accepting_joins_the_pool_and_the_fifth_validates(project, tmp_path):
    added = add_images(project, tmp_path / "in", 5).added
    for tile_id in added:
        project.accept(tile_id, mask())
    assert len(in_pool(project, Pool.CURATED)) == 4
    assert in_pool(project, Pool.VALIDATION) == {added[-1]}


def test_a_tile_that_validates_stays_there_when_it_is_corrected(project, tmp_path):
    add(project, tmp_path / "in", 5)
    (tile,) = project.tiles(Pool.VALIDATION)
    project.accept(tile.id, mask(9))
    assert project.tile(tile.id).pool is Pool.VALIDATION
    assert len(project.annotations(tile.id)) == 2


def test_a_labelled_tile_that_is_corrected_becomes_curated(project, tmp_path):
    (tile_id,) = add(project, tmp_path / "in", 1).added
    project.accept(tile_id, mask(9))
    assert project.tile(tile_id).pool is Pool.CURATED


def test_a_decision_survives_reopening(project, tmp_path):
    add(project, tmp_path / "in", 10)
    before = {tile.id: tile.pool for tile in project.tiles()}
    project.close()
    with Project.open(project.path) as again:
        add(again, tmp_path / "more", 10, first=30)
        assert {tile.id: tile.pool for tile in again.tiles() if tile.id in before} == before
        assert len(in_pool(again, Pool.VALIDATION)) == 4


def test_an_interrupted_import_is_settled_at_opening(project, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_semimoe.project.pools.settle", lambda *_: set())
    add(project, tmp_path / "in", 5)
    monkeypatch.undo()
    assert in_pool(project, Pool.VALIDATION) == set()
    project.close()
    with Project.open(project.path) as again:
        assert len(in_pool(again, Pool.VALIDATION)) == 1


@pytest.mark.parametrize("pool", [Pool.LABELLED, Pool.VALIDATION, Pool.UNLABELLED, Pool.EXCLUDED])
def test_a_person_decides_the_pool_of_what_is_added(project, tmp_path, pool):
    folder = image_folder(tmp_path / "in", 10, masks=True)
    project.add_folder(folder, um_per_px=UM, pool=pool)
    assert len(in_pool(project, pool)) == 10


@pytest.mark.parametrize("pool", [Pool.VALIDATION, Pool.LABELLED])
def test_a_patient_follows_when_another_image_is_added_to_a_pool(project, tmp_path, pool):
    other = Pool.LABELLED if pool is Pool.VALIDATION else Pool.VALIDATION
    for wanted, first in ((other, 0), (pool, 5)):
        folder = image_folder(tmp_path / wanted, 2, masks=True, first=first)
        project.add_folder(folder, um_per_px=UM, pool=wanted, patient_of=lambda _: "A")
    assert {tile.pool for tile in project.tiles()} == {pool}


def test_without_a_mask_a_tile_cannot_teach_whatever_was_asked(project, tmp_path):
    project.add_folder(image_folder(tmp_path / "in", 1), um_per_px=UM, pool=Pool.LABELLED)
    assert [tile.pool for tile in project.tiles()] == [Pool.UNLABELLED]


def test_a_person_moves_a_tile_and_its_patient_follows(project, tmp_path):
    add(project, tmp_path / "in", 4, patient_of=lambda path: "A" if path.stem[-1] < "3" else "B")
    project.accept(2, mask(9))
    assert set(project.set_pool(1, Pool.VALIDATION)) == {1, 2, 3}
    assert in_pool(project, Pool.VALIDATION) == {1, 2, 3}
    assert set(project.set_pool(3, Pool.LABELLED)) == {1, 2, 3}
    assert [project.tile(number).pool for number in (1, 2, 3)] == [
        Pool.LABELLED,
        Pool.CURATED,
        Pool.LABELLED,
    ]


def test_a_person_s_move_is_not_undone_by_the_rule(project, tmp_path):
    add(project, tmp_path / "in", 5)
    (validating,) = in_pool(project, Pool.VALIDATION)
    project.set_pool(validating, Pool.LABELLED)
    project.accept(validating, mask(9))
    assert project.tile(validating).pool is Pool.CURATED


def test_moving_leaves_a_line_in_the_audit_trail(project, tile_id):
    project.set_pool(tile_id, Pool.EXCLUDED)
    line = project.audit()[-1]
    assert (line["what"], line["tile_id"], line["author"]) == ("pool", tile_id, "Ada")
    assert line["detail"]["was"] == "unlabelled"
    assert line["detail"]["now"] == "excluded"


def test_a_tile_without_a_mask_cannot_be_moved_where_masks_are_used(project, tile_id):
    for pool in (Pool.LABELLED, Pool.CURATED, Pool.VALIDATION):
        with pytest.raises(ProjectError, match=r"Only a tile with a mask.*Accept a mask first"):
            project.set_pool(tile_id, pool)
    assert project.tile(tile_id).pool is Pool.UNLABELLED


def test_an_excluded_tile_comes_back_when_it_is_accepted(project, tile_id):
    project.set_pool(tile_id, Pool.EXCLUDED)
    project.accept(tile_id, mask())
    assert project.tile(tile_id).pool is Pool.CURATED
