"""The demo walks through the loop by itself and leaves a report."""

import re
import shutil
import subprocess
import sys

import pytest
from skimage.data import immunohistochemistry

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.settings import PredictSettings
from napari_semimoe.core.starter import starter_weights
from napari_semimoe.project.export import export_ome_zarr
from napari_semimoe.project.project import Project
from napari_semimoe.session.demo import (
    IMMUNOHISTOCHEMISTRY_UM_PER_PX,
    NAME,
    WALKER,
    find_glas,
)
from napari_semimoe.session.lineage import name_round
from napari_semimoe.training.predict import load_predictor
from tests.cli.conftest import environment
from tests.project.making import add_images, mask


def pictures_of(report):
    return re.findall(r"!\[.*?\]\((.*?)\)", report.read_text())


@pytest.fixture(scope="module")
def walked(semimoe, tmp_path_factory):
    """The folder of a demo that needed no window; read it, do not change it."""
    out = tmp_path_factory.mktemp("headless")
    with Project.create(out / "project", classes=("background", "gland"), name=NAME) as earlier:
        (tile,) = add_images(earlier, out.parent / "in", 1).added
        earlier.accept(tile, mask(), author=WALKER)  # so it makes way
        export_ome_zarr(earlier, out / "export")
    (out / "export" / "mine.txt").write_text("mine")
    ended = semimoe("demo", "--headless", "--out", out, "--minutes", "0.02")
    assert str(out / "report.md") in ended.out
    return out


def test_headless_demo_does_the_whole_loop(semimoe, walked):
    report = walked / "report.md"
    text = report.read_text()
    for title in ("Predict", "Correct and accept", "Retrain", "Export"):
        assert f"## {title}" in text
    assert all((walked / name).stat().st_size > 1000 for name in pictures_of(report))
    assert len(pictures_of(report)) == 3
    assert len(list((walked / "export").glob("*.zarr"))) == 13
    assert (walked / "export" / "mine.txt").read_text() == "mine"
    assert semimoe("info", walked / "project", "--json").json["pools"]["curated"] == 1


def test_brown_glands_are_marked_as_before_when_the_round_was_a_few_steps_long(walked):
    picture = immunohistochemistry()

    def marked_by(weights):
        predictor = load_predictor(weights, PredictSettings(device="cpu"))
        return predictor.predict(picture, IMMUNOHISTOCHEMISTRY_UM_PER_PX).instances > 0

    before = marked_by(starter_weights())
    after = marked_by(walked / "project" / "rounds" / "1" / "model.safetensors")
    assert before.mean() > 0.3
    assert (before == after).mean() > 0.85


def test_demo_never_removes_a_project_that_is_not_its_own(semimoe, tmp_path):
    semimoe("new", tmp_path / "d" / "project")
    ended = semimoe("demo", "--headless", "--out", tmp_path / "d", code=1)
    assert "not a demo" in ended.err
    assert (tmp_path / "d" / "project" / "project.json").exists()


def test_demo_never_removes_masks_that_a_person_accepted(semimoe, tmp_path):
    folder = tmp_path / "d" / "project"
    with Project.create(folder, classes=("background", "gland"), name=NAME) as project:
        tile, walked = add_images(project, tmp_path / "in", 2).added
        project.accept(tile, mask())
        project.accept(walked, mask(), author=WALKER)
    ended = semimoe("demo", "--headless", "--out", tmp_path / "d", code=1)
    assert "what a person accepted" in ended.err
    with Project.open(folder, read_only=True) as project:
        assert len(project.annotations(tile)) == 1


@pytest.mark.parametrize("of", ["an image", "a round's name"])
def test_demo_never_removes_what_a_person_added_or_named(semimoe, walked, tmp_path, of):
    shutil.copytree(walked, tmp_path / "d")
    with Project.open(tmp_path / "d" / "project") as project:
        if of == "an image":
            add_images(project, tmp_path / "in", 1)
        else:
            name_round(project, 1, "mine")
        tiles = len(project.tiles())
    ended = semimoe("demo", "--headless", "--out", tmp_path / "d", code=1)
    assert "added, trained or named" in ended.err
    assert semimoe("info", tmp_path / "d" / "project", "--json").json["images"] == tiles


@pytest.mark.parametrize("name", ["report.md", "01-mine.png"])
def test_demo_never_replaces_another_s_report_or_pictures(semimoe, tmp_path, name):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).write_text("mine")
    ended = semimoe("demo", "--headless", "--out", tmp_path / "d", code=1)
    assert "in the way" in ended.err
    assert (tmp_path / "d" / name).read_text() == "mine"


def test_demo_never_removes_a_project_that_is_open_elsewhere(semimoe, tmp_path):
    with Project.create(tmp_path / "d" / "project", classes=("background", "gland"), name=NAME):
        ended = semimoe("demo", "--headless", "--out", tmp_path / "d", code=1)
    assert "already open for writing" in ended.err
    assert (tmp_path / "d" / "project" / "project.json").exists()


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("Xvfb"), reason="needs Xvfb")
def test_demo_without_a_screen_walks_through_a_real_window(home, walked, tmp_path):
    shutil.copytree(walked, tmp_path / "d")  # an earlier demo makes way
    command = [sys.executable, "-m", "napari_semimoe.cli", "demo", "--minutes", "0.02"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "d")],
        env=environment(home) | {"NAPARI_CONFIG": str(tmp_path / "napari.yaml")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = pictures_of(tmp_path / "d" / "report.md")
    assert [name.partition("-")[2] for name in names] == [
        *("open.png", "segmentation.png", "distance.png", "boundary.png", "disagreement.png"),
        *("brush.png", "next.png", "retrain.png", "better.png", "export.png"),
    ]
    assert all((tmp_path / "d" / name).stat().st_size > 20_000 for name in names)


class TestFindGlas:
    def test_both_layouts_are_found(self, tmp_path):
        folder = tmp_path / "glas" / "train"
        folder.mkdir(parents=True)
        (folder / "train_1_anno.bmp").touch()
        assert find_glas({"SEMIMOE_DATA": str(tmp_path)}) == folder
        assert find_glas({"SEMIMOE_DATA": str(tmp_path / "glas")}) == folder

    def test_unset_means_packaged_tissue(self):
        assert find_glas({}) is None
        assert find_glas({"SEMIMOE_DATA": ""}) is None

    def test_folder_without_glas_is_refused_in_words(self, tmp_path):
        with pytest.raises(ImageReadError, match="SEMIMOE_DATA must name a folder"):
            find_glas({"SEMIMOE_DATA": str(tmp_path)})
