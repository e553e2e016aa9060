import pytest

from napari_semimoe.core.errors import ImageReadError, SettingsError
from napari_semimoe.core.states import Pool
from napari_semimoe.project.patients import beside, patient_of, read_table
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, image_folder, mask, pixels, save
from tests.project.test_discovery import glas_folder


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def add_of(project, folder, **tiles_of):
    """Add so many tiles with masks of each patient, by a table beside them."""
    names = [patient for patient, count in tiles_of.items() for _ in range(count)]
    image_folder(folder, len(names), masks=True)
    rows = [f"image_{number},{patient}" for number, patient in enumerate(names)]
    table(folder / "patients.csv", "\n".join(["name,patient", *rows]))
    return project.add_folder(folder, um_per_px=UM)


def stand(project):
    """Return the pools in which the tiles of each patient stand."""
    found = {}
    for tile in project.tiles():
        found.setdefault(tile.patient, set()).add(tile.pool)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "name,patient\na.png,P1\nb,P2\n",
        "Image;age;Patient ID\na.png;61;P1\nb;;P2\n",  # as a German Excel writes it
        "\ufefffile\tpatient_id\na\tP1\nb.tif\tP2\n",
        "patient,name\n P1 , a \nP2,b\n,c\nP3,\n\n",
    ],
)
def test_tables_are_read_as_programs_write_them(tmp_path, text):
    assert read_table(table(tmp_path / "t.csv", text)) == {"a": "P1", "b": "P2"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a column 'name' and a column 'patient', got none"),
        ("student,grade\nAda,1\n", "got 'student', 'grade'"),
        ("name,patient\na,P1\nA.png,P2\n", r"says of A\.png that it is of the patient P1, and of"),
    ],
)
def test_a_table_that_says_no_patients_is_refused(tmp_path, text, told):
    with pytest.raises(ImageReadError, match=told):
        read_table(table(tmp_path / "t.csv", text))


def test_a_table_in_another_encoding_is_refused_in_words(tmp_path):
    (tmp_path / "t.csv").write_bytes("name,patient\na,Müller\n".encode("cp1252"))
    with pytest.raises(ImageReadError, match="Save it as CSV in UTF-8"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("S1.png", "one"),
        ("s1.TIF", "one"),  # capitals differ between computers
        ("S1 [x=0,y=512,w=512,h=512].png", "one"),
        ("S1.svs [x=0,y=0].png", "one"),
        ("S1_b_3.png", "more"),  # the longest name counts
        ("S12.png", "twelve"),
        ("S123.png", None),  # another number
        ("T.png", None),
    ],
)
def test_a_name_stands_for_the_regions_of_its_slide(tmp_path, name, patient):
    told = {"s1": "one", "s1_b": "more", "s12": "twelve"}
    assert patient_of(tmp_path / name, told) == patient


def test_the_table_lies_beside_the_images_or_one_folder_above(tmp_path):
    images = sorted(image_folder(tmp_path / "images", 2).iterdir())
    table(tmp_path / "patients.csv", "name,patient\nimage_0,above\nimage_1,above\n")
    assert beside(images) == (dict.fromkeys(images, "above"), ())
    table(tmp_path / "images" / "patients.csv", "name,patient\nimage_1,beside\n")
    assert beside(images) == ({images[1]: "beside"}, ())


def test_the_table_of_glas_says_patients_too(tmp_path):
    folder = glas_folder(tmp_path)
    images = [folder / f"train_{seed}.bmp" for seed in range(3)]
    assert beside(images)[0] == dict(zip(images, "001", strict=True))
    grades = folder / "Grade.csv"
    first, *rest = grades.read_text().splitlines()
    table(grades, "\n".join([first, rest[0].replace(",0,", ",,"), *rest[1:]]))
    assert beside(images)[0] == dict(zip(images[1:], "01", strict=True))


def test_a_table_of_something_else_hinders_nobody(project, tmp_path):
    folder = image_folder(tmp_path / "in", 2)
    told = table(tmp_path / "patients.csv", "patient_id,age\nP1,61\n")
    report = project.add_folder(folder, um_per_px=UM)
    assert len(report.added) == 2
    assert report.notes == (
        f"No patients were read. {told} needs a column 'name' and a column 'patient', got "
        "'patient_id', 'age'. Repair or remove it.",
    )
    assert project.add_folder(folder, um_per_px=UM, patient_of={"image_0": " P "}).notes == (
        "The patient of 1 image was set.",
    )


def test_the_same_pixels_under_another_name_do_not_hide_the_patient(project, tmp_path):
    folder = image_folder(tmp_path / "in", 1)
    project.add_folder(folder, um_per_px=UM)
    save(folder / "zz.png", pixels(0))
    project.add_folder(folder, um_per_px=UM, patient_of={"image_0": "P"})
    assert project.tile(1).patient == "P"


def test_names_are_the_same_with_spaces_around_them(project, tmp_path):
    folder = image_folder(tmp_path / "in", 2)
    project.add_folder(folder, um_per_px=UM, patient_of={"image_0": " P ", "image_1": "P"})
    assert {tile.patient for tile in project.tiles()} == {"P"}


def test_where_a_name_without_tiles_stood_counts_no_more(project, tmp_path):
    project.add_folder(image_folder(tmp_path / "in", 10, masks=True), um_per_px=UM)
    judge, teacher = project.tiles(Pool.VALIDATION)[0], project.tiles(Pool.LABELLED)[0]
    project.set_patient([judge.id], "P")
    project.set_patient([judge.id], "Q")
    assert project.set_patient([teacher.id], "P") == (1, 0)
    assert project.tile(teacher.id).pool is Pool.LABELLED


def test_files_chosen_one_by_one_have_their_patients_too(project, tmp_path):
    files = sorted(image_folder(tmp_path, 1).iterdir())
    table(tmp_path / "patients.csv", "name,patient\nimage_0,P\n")
    project.add_files(files, um_per_px=UM)
    assert [image.patient for image in project.images()] == ["P"]


def test_patients_of_a_table_stand_on_one_side(project, tmp_path):
    add_of(project, tmp_path / "in", A=2, B=3, C=2, D=3, E=2)
    assert all(len(pools) == 1 for pools in stand(project).values())
    assert project.tiles(Pool.VALIDATION)


def test_a_patient_validates_where_few_have_many_tiles(project, tmp_path):
    report = add_of(project, tmp_path / "in", A=5, B=4, C=5)
    assert report.validation == 4
    assert stand(project)["B"] == {Pool.VALIDATION}


def test_of_two_patients_none_validates(project, tmp_path):
    assert add_of(project, tmp_path / "in", A=5, B=5).validation == 0


def test_adding_again_names_the_patients_of_what_is_there(project, tmp_path):
    folder = image_folder(tmp_path / "in", 10, masks=True)
    project.add_folder(folder, um_per_px=UM)
    assert len(project.tiles(Pool.VALIDATION)) == 2
    rows = [f"image_{number},{'ABCDE'[number // 2]}" for number in range(10)]
    table(folder / "patients.csv", "\n".join(["name,patient", *rows]))
    report = project.add_folder(folder, um_per_px=UM)
    assert report.notes[0].startswith("The patient of 10 images was set")
    assert all(len(pools) == 1 for pools in stand(project).values())
    assert len(project.tiles(Pool.VALIDATION)) == 2
    assert project.add_folder(folder, um_per_px=UM).notes == ()


def test_a_table_beside_images_does_not_undo_what_a_person_said(project, tmp_path):
    folder = tmp_path / "in"
    add_of(project, folder, A=1)
    project.set_patient([1], "B")
    project.add_folder(folder, um_per_px=UM)
    assert project.tile(1).patient == "B"
    project.add_folder(folder, um_per_px=UM, patient_of={"image_0": "C"})
    assert project.tile(1).patient == "C"


def test_a_patient_whose_tiles_stood_on_both_sides_gets_one(project, tmp_path):
    folder = image_folder(tmp_path / "in", 20, masks=True)
    project.add_folder(folder, um_per_px=UM)
    validating = {tile.id for tile in project.tiles(Pool.VALIDATION)}
    mixed = [min(validating), *sorted({tile.id for tile in project.tiles()} - validating)[:2]]
    named = project.set_patient(mixed, "P")
    assert named.images == 3
    (pool,) = stand(project)["P"]
    assert named.moved == (2 if pool is Pool.VALIDATION else 1)
    assert pool is not Pool.VALIDATION or len(project.tiles(Pool.VALIDATION)) == 6


@pytest.mark.parametrize("pool", [Pool.LABELLED, Pool.VALIDATION])
def test_tiles_that_stand_on_one_side_stay_there(project, tmp_path, pool):
    project.add_folder(image_folder(tmp_path / "in", 20, masks=True), um_per_px=UM)
    chosen = [tile.id for tile in project.tiles(pool)]
    assert project.set_patient(chosen, "P") == (len(chosen), 0)
    assert project.set_patient(chosen, "Q") == (len(chosen), 0)  # the name was mistyped
    assert project.set_patient(chosen, "Q") == (0, 0)
    assert project.set_patient(chosen, None) == (len(chosen), 0)
    assert {tile.id for tile in project.tiles(pool)} == set(chosen)


def test_tiles_go_where_their_patient_stands(project, tmp_path):
    add_of(project, tmp_path / "in", A=1, B=1, C=1, D=1, E=1)
    (judge,) = {tile.patient for tile in project.tiles(Pool.VALIDATION)}
    other = next(tile for tile in project.tiles() if tile.patient != judge)
    assert project.set_patient([other.id], judge) == (1, 1)
    assert project.tile(other.id).pool is Pool.VALIDATION
    third = next(tile for tile in project.tiles(Pool.LABELLED))
    assert project.set_patient([other.id], third.patient) == (1, 1)
    assert project.tile(other.id).pool is Pool.LABELLED


def test_the_next_tile_of_a_named_patient_follows(project, tmp_path):
    first, *rest = add_images(project, tmp_path / "in", 6).added
    for tile_id in (first, *rest[:3]):
        project.accept(tile_id, mask())
    project.set_patient([rest[3], rest[4]], "P")
    project.accept(rest[3], mask())
    project.accept(rest[4], mask())
    assert len(stand(project)["P"]) == 1


def test_all_tiles_of_a_cut_image_get_the_patient(project, tmp_path):
    folder = image_folder(tmp_path / "in", 1, shape=(100, 140))
    project.add_folder(folder, um_per_px=UM, tile_px=70)
    assert project.set_patient([1], " P ") == (1, 0)
    assert {tile.patient for tile in project.tiles()} == {"P"}
    assert len(project.tiles()) == 4


def test_naming_is_in_the_audit_trail_and_survives_reopening(project, tmp_path):
    add_images(project, tmp_path / "in", 1)
    project.set_patient([1], "P")
    line = project.audit()[-1]
    assert (line["what"], line["detail"]) == (
        "patient",
        {"image": "image_0", "before": None, "now": "P"},
    )
    project.close()
    with Project.open(project.path) as again:
        assert again.tile(1).patient == "P"


def test_an_empty_name_is_refused(project, tile_id):
    with pytest.raises(SettingsError, match="A patient needs a name"):
        project.set_patient([tile_id], "  ")
    assert project.tile(tile_id).patient is None


def test_a_table_that_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(ImageReadError, match=r"none\.csv does not exist\. Check its path"):
        read_table(tmp_path / "none.csv")
