"""Every command on a small project, with its result for people and for programs."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_semimoe.cli.main import main
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.states import RoundState
from napari_semimoe.project.mask_png import PREDICTED, save_png
from napari_semimoe.project.project import Project
from tests.cli.conftest import SMALL


class TestProjects:
    def test_new_add_and_info_tell_the_same_numbers(self, semimoe, tissue, tmp_path):
        project = tmp_path / "p"
        assert semimoe("new", project, "--class", "benign", "--class", "tumour", "--json").json == {
            "project": str(project),
            "classes": ["background", "benign", "tumour"],
        }
        added = semimoe("add", project, tissue / "labelled", "--json").json
        assert (len(added["added"]), added["labelled"], added["validation"]) == (5, 5, 1)
        again = semimoe("add", project, tissue / "labelled", "--json").json
        assert (len(again["added"]), len(again["skipped_duplicates"])) == (0, 5)
        info = semimoe("info", project, "--json").json
        assert info["pools"] == {
            **dict.fromkeys(("unlabelled", "curated", "excluded"), 0),
            "labelled": 4,
            "validation": 1,
        }
        assert [tile["size"] for tile in info["tiles"]] == [[70, 90]] * 5
        for tile in info["tiles"]:
            assert tile["source"] == str(tissue / "labelled" / f"{tile['name']}.png")
        assert all(tile["um_per_px"] == pytest.approx(0.62, rel=0.01) for tile in info["tiles"])

    def test_add_takes_masks_from_another_folder(self, semimoe, tissue, tmp_path):
        masks = tmp_path / "annotations"
        masks.mkdir()
        size = (80, 60)
        Image.new("L", size, 255).save(masks / "more_1.png")
        semimoe("new", tmp_path / "p")
        options = ("--masks", masks, "--pool", "labelled", "--json")
        semimoe("add", tmp_path / "p", tissue / "unlabelled" / "..", *options, code=1)
        added = semimoe("add", tmp_path / "p", tissue / "unlabelled", "--masks", masks, "--json")
        assert added.json["labelled"] == 1

    def test_masks_that_are_not_there_and_images_named_like_masks_are_told(
        self, semimoe, tissue, tmp_path
    ):
        (tmp_path / "empty").mkdir()
        semimoe("new", tmp_path / "p")
        given = ("add", tmp_path / "p", tissue / "unlabelled")
        assert "holds no mask" in semimoe(*given, "--masks", tmp_path / "empty", code=1).err
        assert "; 0 images; " in semimoe("info", tmp_path / "p").out
        (tmp_path / "odd").mkdir()
        shutil.copy(tissue / "unlabelled" / "more_1.png", tmp_path / "odd" / "x_anno.png")
        assert "(first: x_anno.png)" in semimoe("add", tmp_path / "p", tmp_path / "odd").err
        again = semimoe("add", tmp_path / "p", tmp_path / "odd", "--pool", "excluded")
        assert "--pool counts for new images and first masks" in again.err

    def test_a_table_names_patients_of_new_images_and_of_those_there(
        self, semimoe, tissue, tmp_path
    ):
        project, table = tmp_path / "study", tmp_path / "who.csv"
        semimoe("new", project)
        add = ("add", project, tissue / "labelled", "--um-per-px", 0.5)
        semimoe(*add)
        names = [tile["name"] for tile in semimoe("info", project, "--json").json["tiles"]]
        table.write_text("\n".join(["name;patient", *(f"{name};A" for name in names[:2])]))
        ended = semimoe(*add, "--patients", table)
        assert "The patient of 2 images was set" in ended.err
        assert f"who.csv names no patient of {names[2]}.png and 2 more." in ended.err
        tiles = semimoe("info", project, "--json").json["tiles"]
        assert [tile["patient"] for tile in tiles] == ["A", "A", None, None, None]
        assert len({tile["pool"] for tile in tiles[:2]}) == 1
        table.write_text("who,what\n")
        ended = semimoe(*add, "--patients", table, code=1)
        assert "needs a column 'name' and a column 'patient', got 'who', 'what'" in ended.err

    def test_pool_of_images_without_masks_and_whole_tables_for_programs(
        self, semimoe, tissue, tmp_path, monkeypatch
    ):
        project, folder = tmp_path / "study", tmp_path / "in"
        folder.mkdir()
        long = "section_of_the_sigmoid_colon_" + 5 * "of_a_patient_with_a_long_name_"
        shutil.copy(next((tissue / "unlabelled").iterdir()), folder / f"{long}.png")
        semimoe("new", project)
        given = ("add", project, folder, "--um-per-px", 0.5, "--pool", "labelled")
        ended = semimoe(*given)
        assert "1 tile without a mask can only be unlabelled, not labelled." in ended.err
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setattr("tests.cli.conftest.WIDTH", {})
        assert long in semimoe("info", project, "--tiles").out

    def test_the_next_command_can_be_pasted(self, semimoe, tmp_path):
        quote = '"' if os.name == "nt" else "'"
        typed = f"{quote}{tmp_path / 'a b'}{quote}"
        assert f"{typed} FOLDER" in semimoe("new", tmp_path / "a b").out

    def test_info_works_while_another_process_has_the_project_open(self, semimoe, copy):
        from napari_semimoe.project.project import Project

        with Project.open(copy):
            assert semimoe("info", copy, "--json").json["images"] == 7
            refused = semimoe("rounds", "promote", copy, 1, code=1)
        assert "open" in refused.err
        assert refused.err.count("\n") == 1


class TestTrain:
    def test_round_is_recorded_and_its_model_takes_over(self, semimoe, trained):
        (entry,) = semimoe("rounds", "list", trained, "--json").json["rounds"]
        assert (entry["number"], entry["state"]) == (1, "promoted")
        assert entry["report"]["steps"] == 4
        assert entry["settings"]["crop_px"] == 32
        assert read_info(trained / "rounds" / "1" / "model.safetensors").model.width == 4
        assert semimoe("info", trained, "--json").json["weights"] == "rounds/1/model.safetensors"

    def test_what_was_changed_in_suggestions_is_told_by_model(self, semimoe, copy):
        assert semimoe("rounds", "list", copy, "--json").json["corrections"] == {}
        with Project.open(copy) as project:
            tile = project.tiles()[0]
            shown = np.zeros(tile.box.shape, np.uint16)
            labels = shown.copy()
            labels[:7] = 1
            project.accept(tile.id, labels, baseline=shown, model="round 1", seconds=7)
        told = {"tiles": 1, "as_is": 0, "changed": 7 / tile.box.shape[0], "seconds": 7}
        assert semimoe("rounds", "list", copy, "--json").json["corrections"] == {"round 1": told}
        assert "What you changed in suggestions" in semimoe("rounds", "list", copy).out
        assert "of a tile changed in 7 s (medians)" in semimoe("rounds", "show", copy, 1).out
        assert semimoe("rounds", "show", copy, 1, "--json").json["corrections"] == told

    def test_no_round_begins_where_no_image_could_be_added(self, semimoe, copy, tmp_path):
        Image.new("RGB", (20, 20)).save(tmp_path / "silent.png")
        ended = semimoe("train", copy, "--images", tmp_path, *SMALL, code=1)
        assert "so no round was begun" in ended.err
        assert len(semimoe("rounds", "list", copy, "--json").json["rounds"]) == 1
        semimoe("train", tmp_path / "new", "--images", tmp_path / "typo", *SMALL, code=1)
        assert not (tmp_path / "new").exists()

    def test_one_command_makes_a_project_of_a_folder_and_trains_on_it(
        self, semimoe, tissue, tmp_path
    ):
        project = tmp_path / "study"
        given = ("train", project, "--images", tissue / "labelled", "--um-per-px", 0.7, *SMALL)
        ended = semimoe(*given, "--json")
        assert "5 tiles and 5 masks added (1 kept for validation)." in ended.err
        assert ended.json["report"]["labelled"] == 4  # one in five checks
        tile = semimoe("info", project, "--tiles", "--json").json["tiles"][0]
        assert tile["um_per_px"] == 0.7
        again = semimoe(*given, "--json")  # the same images are not added twice
        assert again.json["number"] == 2
        assert semimoe("info", project, "--json").json["images"] == 5

    def test_second_round_starts_from_the_first(self, semimoe, copy):
        options = [value for value in SMALL if value not in ("--network", "width=4")]
        ended = semimoe("train", copy, *options, "--json")
        assert "from round 1" in ended.err
        record = ended.json
        assert record["number"] == 2
        assert record["base"] == "rounds/1/model.safetensors"
        assert read_info(copy / "rounds" / "2" / "model.safetensors").model.width == 4
        assert record["state"] in ("promoted", "kept beside")

    def test_plan_and_end_of_a_round_say_its_steps_and_what_it_was_compared_with(
        self, semimoe, copy
    ):
        ended = semimoe("train", copy, *SMALL)  # from nothing, so against the model in charge
        assert re.search(r", 1 tile to check it, 4 steps on CPU\n", ended.err)
        dice = r"Dice 0\.(\d{3}) on 1 tile, compared with 0\.(\d{3}) of round 1\.\n"
        told = re.fullmatch(rf"Round 2: (promoted|kept beside), validation {dice}", ended.out)
        assert told, ended.out
        assert (told[2] >= told[3]) is (told[1] == "promoted")
        small = [value for value in SMALL if value not in ("--network", "width=4")]
        ended = semimoe("train", copy, *small, "--from", "1", "--set", "measure=object_f1")
        assert re.search(r"object F1 \S+ on 1 tile, compared with \S+ of round 1", ended.out)

    def test_round_without_validation_tiles_says_that_nothing_was_compared(
        self, semimoe, tissue, tmp_path
    ):
        semimoe("new", tmp_path / "p")
        semimoe("add", tmp_path / "p", tissue / "labelled", "--pool", "labelled")
        ended = semimoe("train", tmp_path / "p", *SMALL)
        assert "promoted; no validation tile, so nothing was compared.\n" in ended.out

    def test_same_seed_gives_the_same_numbers(self, semimoe, twice):
        rounds = semimoe("rounds", "list", twice, "--json").json["rounds"]
        one, two = (entry["report"] for entry in rounds)
        assert len(one["final_losses"]) == 6
        assert one["final_losses"] == two["final_losses"]

    def test_older_model_can_be_put_in_charge_again(self, semimoe, twice, tmp_path):
        copy = shutil.copytree(twice, tmp_path / "copy")
        semimoe("rounds", "promote", copy, 2)
        assert semimoe("info", copy, "--json").json["weights"] == "rounds/2/model.safetensors"
        semimoe("rounds", "promote", copy, 1)
        assert semimoe("info", copy, "--json").json["weights"] == "rounds/1/model.safetensors"

    def test_lost_weights_of_the_model_in_charge_are_told(self, semimoe, twice, tmp_path):
        copy = shutil.copytree(twice, tmp_path / "copy")
        semimoe("rounds", "promote", copy, 2)
        (copy / "rounds/2/model.safetensors").unlink()
        for command in (("info",), ("rounds", "rollback")):
            ended = semimoe(*command, copy)
            assert "The weights of round 2, which was in charge, are gone" in ended.err
            assert "Now round 1 predicts." in ended.err

    def test_starter_can_be_put_in_charge_again_and_taken_back(self, semimoe, copy):
        semimoe("rounds", "promote", copy, "starter")
        listed = semimoe("rounds", "list", copy)
        assert "In charge: starter" in listed.out
        assert "nothing" in listed.out  # what round 1 started from
        assert semimoe("info", copy, "--json").json["weights"] is None
        assert semimoe("rounds", "rollback", copy, "--json").json == {"in_charge": "round 1"}
        back = semimoe("rounds", "rollback", copy, "--json").json
        assert back["in_charge"].startswith("starter")
        refused = semimoe("rounds", "promote", copy, "last", code=2)
        assert "a round's number or 'starter', got 'last'" in " ".join(refused.err.split())

    def test_round_starts_from_what_from_names(self, semimoe, copy, weights, tmp_path):
        small = [value for value in SMALL if value not in ("--network", "width=4")]
        elsewhere = shutil.copy(weights, tmp_path / "gland.safetensors")
        ended = semimoe("train", copy, *small, "--from", elsewhere, "--json")
        assert "Round 2: from gland.safetensors, 4 labelled tiles" in ended.err
        assert ended.json["base"].startswith("models/")
        ended = semimoe("train", copy, *small, "--from", "1", "--json")
        assert "Round 3: from round 1, 4 labelled tiles + 2 unlabelled" in ended.err
        assert ended.json["base"] == "rounds/1/model.safetensors"
        refused = semimoe("train", copy, *small, "--from", "lats", code=2)
        assert "got 'lats'" in refused.err
        both = semimoe("train", copy, *small, "--from", "1", "--network", "width=4", code=2)
        assert "give one of them" in " ".join(both.err.split())

    def test_round_starts_from_the_encoder_that_is_installed_and_it_learns(self, semimoe, copy):
        import torch
        from safetensors.torch import load_file

        small = [value for value in SMALL if value not in ("--network", "width=4")]
        refused = semimoe("train", copy, *small, "--from", "imagenet", code=1)
        assert "Set crop_px to 64" in " ".join(refused.err.split())
        small += ["--set", "crop_px=64", "--set", "learning_rate=0.001"]
        ended = semimoe("train", copy, *small, "--from", "imagenet", "--json")
        assert "Round 3: from the ImageNet encoder, 4 labelled tiles" in ended.err
        (file,) = (copy / "models").rglob("efficientnet-lite0*.pth")
        before = torch.load(file, weights_only=True)["_conv_stem.weight"]
        learned = load_file(copy / "rounds/3/model.safetensors")
        after = learned["backbone.encoder._conv_stem.weight"].float()
        assert 0 < (after - before).abs().max() < 0.1

    @pytest.mark.parametrize("ending", [".safetensors", ".pth"])
    def test_round_starts_from_a_pretrained_encoder(self, semimoe, copy, tissue, tmp_path, ending):
        import torch
        from safetensors.torch import save_file

        from tests.model.encoder_files import resnet, vit

        file = tmp_path / f"encoder{ending}"
        if ending == ".pth":
            torch.save({"state_dict": {f"backbone.{k}": v for k, v in vit().items()}}, file)
        else:
            save_file(resnet(), file)
        ended = semimoe("train", copy, *SMALL, "--encoder", file, "--json")
        assert f"Round 2: from the encoder {file.name}, 4 labelled tiles" in ended.err
        assert ended.json["base"].startswith("models/")
        assert ended.json["report"]["steps"] == 4
        file.unlink()
        told = json.loads((copy / "rounds/2/model.json").read_text())["model"]
        assert told["architecture"] == "pretrained"
        assert told["width"] == 4
        small = [value for value in SMALL if value not in ("--network", "width=4")]
        again = semimoe("train", copy, *small, "--from", "2", "--json").json
        assert again["report"]["base_validation"] is not None
        weights = copy / "rounds/3/model.safetensors"
        semimoe("predict", tissue / "unlabelled", "--weights", weights, "--out", tmp_path / "out")
        assert len(list((tmp_path / "out").glob("*.png"))) == 2

    def test_encoder_that_contradicts_or_does_not_fit_is_refused_in_words(
        self, semimoe, copy, weights, tmp_path
    ):
        small = [value for value in SMALL if value not in ("--network", "width=4")]
        wide = ("--encoder", weights, "--network", "architecture=compact")
        for wrong, why in (
            (("--encoder", weights, "--from", "1"), "leave --from out"),
            (("--encoder", weights, "--resume", "1"), "leave all other options but --json out"),
            (("--network", "architecture=pretrained"), "belong together"),
            (wide, "belong together"),
        ):
            refused = semimoe("train", copy, *small, *wrong, code=2)
            assert why in " ".join(refused.err.replace("│", " ").split())
        missing = semimoe("train", copy, *small, "--encoder", tmp_path / "no.pth", code=1)
        assert "does not exist" in " ".join(missing.err.split())
        refused = semimoe("train", copy, *small, "--encoder", weights, code=1)
        assert "has none of conv1.weight, _conv_stem.weight" in " ".join(refused.err.split())

    def test_list_shows_when_a_round_began_in_eighty_columns(self, semimoe, twice, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        rounds = semimoe("rounds", "list", twice, "--json").json["rounds"]
        shown = semimoe("rounds", "list", twice).out.splitlines()[2:4]
        for entry, line in zip(rounds, shown, strict=True):
            began = datetime.fromisoformat(entry["created"]).astimezone()
            assert line.endswith(f"{began:%Y-%m-%d %H:%M}")

    def test_rounds_are_named_and_drawn_as_a_tree(self, semimoe, copy):
        assert "'first try' now" in semimoe("rounds", "name", copy, 1, "first try").out
        drawn = semimoe("rounds", "tree", copy).out.splitlines()
        assert drawn[0] == "nothing"
        assert "round 1  first try, in charge, Dice" in drawn[1]
        assert semimoe("rounds", "tree", copy, "--json").json == {"nothing": {"round 1": {}}}
        assert "first try" in semimoe("rounds", "list", copy).out
        semimoe("rounds", "name", copy, 1, "")
        assert semimoe("rounds", "list", copy, "--json").json["names"] == {}
        assert "has no round 7" in semimoe("rounds", "name", copy, 7, "x", code=1).err

    def test_note_on_a_round_is_drawn_below_it_and_shown_with_it(self, semimoe, copy):
        semimoe("rounds", "name", copy, 1, "[/] bracket")
        told = semimoe("rounds", "note", copy, 1, "misses [small] glands\nask Dr B")
        assert "note on round 1 is kept" in told.out
        drawn = semimoe("rounds", "tree", copy).out.splitlines()
        assert [line.strip() for line in drawn[2:]] == ["misses [small] glands", "ask Dr B"]
        assert "misses [small] glands" in semimoe("rounds", "show", copy, 1).out
        assert "[/] bracket" in semimoe("rounds", "list", copy).out
        shown = semimoe("rounds", "show", copy, 1, "--json").json
        assert (shown["called"], shown["your_note"][-8:]) == ("[/] bracket", "ask Dr B")
        assert "has no note now" in semimoe("rounds", "note", copy, 1, " ").out
        assert semimoe("rounds", "list", copy, "--json").json["notes"] == {}
        assert "has no round 7" in semimoe("rounds", "note", copy, 7, "x", code=1).err

    def test_compare_lists_every_validation_tile_of_two_rounds(self, semimoe, twice):
        compared = semimoe("rounds", "compare", twice, 1, 2, "--json").json
        (tile,) = compared["tiles"]
        assert (compared["before_name"], compared["after_name"]) == ("round 1", "round 2")
        assert tile["before"] == tile["after"] == pytest.approx(compared["after"])
        told = semimoe("rounds", "compare", twice, 1, 2).out
        assert f"{tile['name']}" in told
        assert "+0.000" in told
        assert "has no round 9" in semimoe("rounds", "compare", twice, 1, 9, code=1).err
        assert tile["name"] in semimoe("rounds", "show", twice, 1).out

    def test_output_to_a_file_may_have_the_few_letters_of_windows(
        self, semimoe, twice, monkeypatch
    ):
        monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # as with > on Windows
        assert "against round 1: Dice" in semimoe("rounds", "compare", twice, 1, 2).out

    def test_show_tells_state_and_settings(self, semimoe, trained):
        assert "promoted" in semimoe("rounds", "show", trained, 1).out
        assert semimoe("rounds", "show", trained, 1, "--json").json["settings"]["seed"] == 8

    def test_small_numbers_of_settings_are_shown_as_they_are(self, semimoe, trained):
        shown = [line.split() for line in semimoe("rounds", "show", trained, 1).out.splitlines()]
        assert ["weight", "decay", "0.0001"] in shown
        assert ["learning", "rate", "0.300"] in shown


class TestPredict:
    def test_images_become_native_16_bit_masks_of_the_same_name(
        self, semimoe, tissue, weights, tmp_path
    ):
        out = tmp_path / "masks"
        given = ("predict", tissue / "labelled", tissue / "unlabelled" / "more_1.png")
        ended = semimoe(*given, "--weights", weights, "--out", out, "--json")
        assert len(ended.json["written"]) == 6
        assert sorted(path.name for path in out.iterdir()) == [
            "more_1.png",
            *(f"tissue_{number}.png" for number in range(1, 6)),
        ]
        with Image.open(out / "tissue_1.png") as mask:
            assert mask.size == (90, 70)
            assert mask.mode == "I;16"

    def test_images_named_one_by_one_are_predicted_once_and_without_their_masks(
        self, semimoe, tissue, weights, tmp_path
    ):
        images = sorted((tissue / "labelled").glob("tissue_1*"))
        given = ("predict", *images, images[0], "--weights", weights, "--out", tmp_path, "--json")
        ended = semimoe(*given)
        assert [name.rpartition("/")[2] for name in ended.json["written"]] == ["tissue_1.png"]
        assert "tissue_1_anno.png is no image but a mask" in ended.err

    def test_masks_and_pictures_of_other_programs_named_one_by_one_are_no_images(
        self, semimoe, tissue, weights, tmp_path
    ):
        image = shutil.copy(tissue / "unlabelled" / "more_1.png", tmp_path)
        picture = shutil.copy(image, tmp_path / "more_1_cp_output.png")
        labels = np.zeros((60, 80), np.uint16)
        for name in ("more_1_labels.png", "other.png"):
            save_png(tmp_path / name, labels, 0.5, {"kind": PREDICTED, "of_image": "0"})
        given = ("--weights", weights, "--um-per-px", 0.5, "--out", tmp_path / "out", "--json")
        masks = (tmp_path / "more_1_labels.png", tmp_path / "other.png", picture)
        ended = semimoe("predict", image, *masks, *given)
        assert [name.rpartition("/")[2] for name in ended.json["written"]] == ["more_1.png"]
        assert ended.err.count("is no image but a mask, or a picture of one") == 3
        ended = semimoe("predict", *masks[:2], *given, code=1)
        assert "There is no image among the files." in ended.err

    def test_scale_of_the_glas_table_counts_and_conversions_are_told(
        self, semimoe, weights, tmp_path
    ):
        folder = tmp_path / "in"
        folder.mkdir()
        Image.new("RGBA", (60, 50), (200, 90, 140, 128)).save(folder / "train_1.png")
        given = ("predict", folder, "--weights", weights, "--out", tmp_path / "out")
        assert "1 file does not say how large a pixel is" in semimoe(*given, code=1).err
        (folder / "Grade.csv").write_text("name, patient ID, grade\ntrain_1, 3, benign\n")
        telling = Image.new("RGB", (60, 50), (200, 90, 140))
        telling.save(folder / "train_2.png", dpi=(50800, 50800))  # 0.5 um per pixel
        ended = semimoe(*given)
        assert "2 of 2 images predicted" in ended.out
        assert "train_1.png: transparency was laid over white." in ended.err
        for number, um_per_px in ((1, 0.62), (2, 0.5)):
            with Image.open(tmp_path / "out" / f"train_{number}.png") as mask:
                assert mask.info["dpi"][0] == pytest.approx(25400 / um_per_px, rel=1e-3)

    def test_project_stands_alone(self, semimoe, trained, tissue):
        ended = semimoe("predict", trained, tissue / "unlabelled", code=2)
        assert "is a project and must stand alone" in " ".join(ended.err.split())

    def test_the_mask_of_another_image_of_that_name_is_kept(
        self, semimoe, tissue, weights, tmp_path
    ):
        for folder in ("1", "2"):
            (tmp_path / folder).mkdir()
            image = tissue / "unlabelled" / f"more_{folder}.png"
            shutil.copy(image, tmp_path / folder / "x.png")
        given = ("--weights", weights, "--out", tmp_path / "out")
        semimoe("predict", tmp_path / "1", *given)
        before = (tmp_path / "out" / "x.png").read_bytes()
        refused = semimoe("predict", tmp_path / "2", *given, code=1)
        assert "the mask of another image of that name" in refused.err
        assert (tmp_path / "out" / "x.png").read_bytes() == before
        semimoe("predict", tmp_path / "1", *given)

    def test_files_that_do_not_say_their_scale_are_told_once_and_others_by_name(
        self, semimoe, weights, tmp_path
    ):
        for name in ("a", "b"):
            Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.png")
        (tmp_path / "c.png").write_text("no image")
        given = ("predict", tmp_path, "--weights", weights, "--out", tmp_path / "out")
        ended = semimoe(*given, code=1)
        assert ended.out == f"0 of 3 images predicted into {tmp_path / 'out'}.\n"
        assert (
            "2 files do not say how large a pixel is: give --um-per-px, 0.5 for a 20x scan.\n"
        ) in ended.err
        assert "a.png" not in ended.err
        assert "\nc.png is not an image" in ended.err

    def test_an_image_is_fitted_to_unless_told_not_to(self, semimoe, tissue, weights, tmp_path):
        maps = []
        image = tissue / "unlabelled" / "more_1.png"
        for options in ([], ["--adapt"], ["--no-adapt"]):
            semimoe("predict", image, "--weights", weights, "--out", tmp_path, "--all-outputs",
                    *options)  # fmt: skip
            with np.load(tmp_path / "more_1.npz") as found:
                maps.append(found["gated_segmentation"])
        assert np.array_equal(maps[0], maps[1])
        assert not np.array_equal(maps[0], maps[2])

    def test_objects_of_less_confidence_than_asked_for_are_left_out(
        self, semimoe, tissue, weights, tmp_path
    ):
        image = tissue / "unlabelled" / "more_1.png"
        given = ("predict", image, "--weights", weights, "--out", tmp_path, "--min-object", 0)
        marked = []
        for least in (0, 0.99):
            semimoe(*given, "--min-confidence", least)
            with Image.open(tmp_path / "more_1.png") as mask:
                marked.append(np.asarray(mask).max())
        assert marked[0] > marked[1] > 0
        refused = semimoe(*given, "--min-confidence", 1, code=2)
        assert refused.err == "semimoe: --min-confidence must be less than 1, got 1.0.\n"

    def test_all_outputs_hold_every_map_at_native_size(self, semimoe, tissue, weights, tmp_path):
        image = tissue / "unlabelled" / "more_1.png"
        given = ("predict", image, "--weights", weights, "--out", tmp_path, "--min-object", 0)
        semimoe(*given, "--all-outputs")
        with np.load(tmp_path / "more_1.npz") as maps:
            ids = np.unique(maps["instances"])[1:]
            assert len(ids)
            np.testing.assert_array_equal(maps["object_classes"], [(number, 1) for number in ids])
            assert {name: maps[name].shape for name in maps} == {
                "object_classes": (len(ids), 2),
                **{
                    f"{kind}_{task}": (60, 80)
                    for kind in ("expert", "gated")
                    for task in ("segmentation", "distance", "boundary")
                },
                "class_probabilities": (2, 60, 80),
                "instances": (60, 80),
                "disagreement": (60, 80),
                "gates": (3, 3),
                "expert_names": (3,),
            }
            assert maps["gates"].sum(axis=1) == pytest.approx(1, abs=1e-3)

    def test_a_table_has_a_row_for_each_object_of_the_mask(
        self, semimoe, tissue, weights, tmp_path
    ):
        image = tissue / "unlabelled" / "more_1.png"
        given = ("predict", image, "--weights", weights, "--out", tmp_path, "--min-object", 0)
        for _ in range(2):  # its own is replaced
            ended = semimoe(*given, "--table", "--um-per-px", 2)
            assert "more_1.png says 0.62 um per pixel; the given 2 was used." in ended.err
        with Image.open(tmp_path / "more_1.png") as mask:
            ids, areas = np.unique(np.asarray(mask), return_counts=True)
        with (tmp_path / "more_1.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["object"]) for row in rows] == ids[1:].tolist()
        assert [float(row["area_um2"]) for row in rows] == (4.0 * areas[1:]).tolist()
        assert {(row["image"], row["class"]) for row in rows} == {("more_1.png", "gland")}
        (tmp_path / "more_1.csv").write_text("mine")
        refused = semimoe(*given, "--table", code=1)
        assert "more_1.csv is in the way" in refused.err
        assert (tmp_path / "more_1.csv").read_text() == "mine"

    def test_outlines_are_those_of_the_mask_and_never_teach(
        self, semimoe, tissue, weights, tmp_path
    ):
        out = tmp_path / "out"
        given = (tissue / "unlabelled", "--weights", weights, "--out", out, "--min-object", 0)
        for _ in range(2):  # its own are replaced
            semimoe("predict", *given, "--geojson")
        for path in out.glob("*.geojson"):
            with Image.open(path.with_suffix(".png")) as mask:
                labels = np.asarray(mask)
            features = json.loads(path.read_text())["features"]
            ids = [int(feature["properties"]["name"].split()[-1]) for feature in features]
            assert ids == np.unique(labels)[1:].tolist()
            assert {f["properties"]["classification"]["name"] for f in features} <= {"gland"}
            assert all(f["properties"]["name"].startswith(f"{path.stem}.png") for f in features)
        semimoe("new", tmp_path / "p")
        added = semimoe("add", tmp_path / "p", tissue / "unlabelled", "--masks", out)
        assert "nobody corrected were left out" in added.err
        tiles = semimoe("info", tmp_path / "p", "--json").json["tiles"]
        assert {tile["pool"] for tile in tiles} == {"unlabelled"}
        first = sorted(out.glob("*.geojson"))[0]
        first.write_text(first.read_text().replace('"semimoe"', '"of_another"'))
        refused = semimoe("predict", *given, "--geojson", code=1)
        assert f"{first.name} is in the way" in refused.err

    def test_project_is_predicted_once_and_anew_with_other_settings(self, semimoe, copy):
        assert len(semimoe("predict", copy, "--json").json["predicted"]) == 7
        assert semimoe("predict", copy, "--json").json["predicted"] == []
        other = semimoe("predict", copy, "--threshold", "0.3", "--json").json
        assert len(other["predicted"]) == 7
        tiles = semimoe("info", copy, "--json").json["tiles"]
        assert all(tile["disagreement"] is not None for tile in tiles)


class TestEvaluate:
    def test_perfect_masks_score_one_and_a_missing_gland_costs(self, semimoe, tmp_path):
        truth, pred = tmp_path / "truth", tmp_path / "pred"
        labels = np.zeros((40, 60), np.uint16)
        labels[5:15, 5:15], labels[20:30, 30:50] = 1, 2  # 100 and 200 pixels
        for folder in (truth, pred):
            folder.mkdir()
        tifffile.imwrite(truth / "A_anno.tif", labels.astype(np.int64))
        Image.fromarray(labels).save(pred / "A.png")
        given = ("evaluate", "--pred", pred, "--truth", truth, "--json")
        perfect = semimoe(*given).json
        assert perfect["pooled"] == {
            "dice": 1,
            "jaccard": 1,
            "object_f1": 1,
            "object_dice": 1,
            "object_hausdorff_px": 0,
        }
        Image.fromarray(np.where(labels == 2, 2, 0).astype(np.uint16)).save(pred / "A.png")
        scores = semimoe(*given).json["pooled"]
        assert scores["dice"] == pytest.approx(400 / 500)
        assert scores["object_f1"] == pytest.approx(2 / 3)
        assert scores["object_dice"] == pytest.approx((1 + 2 / 3) / 2)

    def test_two_predictions_of_one_image_are_refused(self, semimoe, tmp_path):
        given = ("--pred", tmp_path / "pred", "--truth", tmp_path / "truth")
        for folder in ("truth", "pred"):
            (tmp_path / folder).mkdir()
            Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / folder / "A.png")
        assert semimoe("evaluate", *given, "--json").json["pooled"]["dice"] == 1
        Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "pred" / "A.jpg")  # no mask
        assert semimoe("evaluate", *given, "--json").json["pooled"]["dice"] == 1
        Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "pred" / "A.tif")
        assert "one mask in" in semimoe("evaluate", *given, code=1).err

    @pytest.mark.parametrize("beside", [True, False])
    def test_what_was_predicted_beside_the_truth_is_no_truth(self, semimoe, tmp_path, beside):
        truth, pred = tmp_path / "truth", tmp_path / "pred"
        predicted = truth / ("a.png" if beside else "masks/a.png")
        for folder in (predicted.parent, pred):
            folder.mkdir(parents=True)
        labels = np.zeros((20, 20), np.uint16)
        labels[3:9, 3:9] = 1
        Image.new("RGB", (20, 20), "pink").save(truth / "a.bmp")
        Image.fromarray(labels).save(truth / "a_anno.png")
        Image.fromarray(labels).save(pred / "A.png")
        save_png(predicted, labels[::-1].copy(), 0.5, {"kind": PREDICTED, "of_image": "0"})
        given = ("evaluate", "--pred", pred, "--truth")
        ended = semimoe(*given, truth, "--json")
        (image,) = ended.json["images"]
        assert (image["name"], image["dice"]) == ("a", 1)
        assert "how far both agree" not in ended.err
        ended = semimoe(*given, predicted.parent if not beside else _only(predicted, tmp_path))
        assert "were predicted here: this tells how far both agree." in ended.err

    def test_class_masks_are_cut_into_objects_where_it_is_said(self, semimoe, tmp_path):
        truth, pred = tmp_path / "truth", tmp_path / "pred"
        labels = np.zeros((40, 40), np.uint16)
        for number, (y, x) in enumerate([(2, 2), (2, 20), (20, 2), (20, 20)], start=1):
            labels[y : y + 9, x : x + 9] = number
        for folder, values in ((truth, np.where(labels > 2, 2, labels > 0)), (pred, labels)):
            folder.mkdir()
            Image.fromarray(values.astype(np.uint16)).save(folder / "a.png")
        given = ("evaluate", "--pred", pred, "--truth", truth, "--json")
        assert semimoe(*given).json["pooled"]["object_f1"] < 1
        assert semimoe(*given, "--mask-kind", "classes").json["pooled"]["object_f1"] == 1
        assert "'instances', 'classes'" in semimoe(*given, "--mask-kind", "x", code=2).err

    def test_a_segmentation_that_says_no_background_is_refused(self, semimoe, tmp_path):
        for folder, name in (("truth", "a"), ("pred", "a_Simple Segmentation")):
            (tmp_path / folder).mkdir()
            labels = np.ones((20, 20), np.uint8)
            labels[3:9, 3:9] = 2
            Image.fromarray(labels - (folder == "truth")).save(tmp_path / folder / f"{name}.png")
        given = ("evaluate", "--pred", tmp_path / "pred", "--truth", tmp_path / "truth")
        assert "has no 0, for ilastik numbers classes from 1" in semimoe(*given, code=1).err

    def test_masks_beside_their_images_are_the_truth(self, semimoe, tissue, weights, tmp_path):
        semimoe("predict", tissue / "labelled", "--weights", weights, "--out", tmp_path)
        ended = semimoe("evaluate", "--pred", tmp_path, "--truth", tissue / "labelled", "--json")
        assert [image["name"] for image in ended.json["images"]] == [
            f"tissue_{number}" for number in range(1, 6)
        ]

    def test_truths_are_found_in_the_folder_of_masks_beside_that_of_images(self, semimoe, tmp_path):
        for folder in ("data/images", "data/masks", "p"):
            (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "data/images/a.png")
        Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "data/masks/a.png")
        for name in ("a", "b", "c"):
            shutil.copy(tmp_path / "data/masks/a.png", tmp_path / f"p/{name}.png")
        ended = semimoe(
            "evaluate", "--pred", tmp_path / "p", "--truth", tmp_path / "data", "--json"
        )
        assert ended.json["pooled"]["dice"] == 1
        assert ended.json["without_truth"] == ["b", "c"]
        assert "2 predictions have no truth and are left out: b, c.\n" in ended.err
        (tmp_path / "data/masks").rename(tmp_path / "data/truth")
        given = ("evaluate", "--pred", tmp_path / "p", "--truth", tmp_path / "data")
        assert "Name one of its sub-folders, such as images" in semimoe(*given, code=1).err

    def test_a_drawn_truth_goes_before_that_of_a_program(self, semimoe, tmp_path):
        (tmp_path / "p").mkdir()
        drawn = Image.fromarray(np.eye(20, dtype=np.uint8))
        (tmp_path / "t").mkdir()
        drawn.save(tmp_path / "p" / "a.png")
        drawn.save(tmp_path / "t" / "a_anno.png")
        Image.new("L", (20, 20), 1).save(tmp_path / "t" / "a_cp_masks.png")
        given = ("evaluate", "--pred", tmp_path / "p", "--truth", tmp_path / "t", "--json")
        assert semimoe(*given).json["pooled"]["dice"] == 1
        (tmp_path / "t" / "a_anno.png").unlink()
        corners = [[-1, -1], [99, -1], [99, 99], [-1, 99], [-1, -1]]
        outline = {"geometry": {"type": "Polygon", "coordinates": [corners]}}
        (tmp_path / "t" / "a.geojson").write_text(json.dumps(outline | {"type": "Feature"}))
        Image.new("L", (20, 20), 1).save(tmp_path / "p" / "a.png")
        Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "t" / "a_cp_masks.png")
        assert semimoe(*given).json["pooled"]["dice"] == 1

    @pytest.mark.parametrize("name", ["a.geojson", "a.png.geojson", "a_mask.geojson"])
    def test_outlines_of_qupath_are_a_truth_or_a_prediction(self, semimoe, tmp_path, name):
        drawn, pixels = tmp_path / "t", tmp_path / "p"
        for folder in (drawn, pixels):
            folder.mkdir()
        Image.new("RGB", (20, 20), "pink").save(drawn / "a.png")  # the image that was drawn on
        ring = [[2, 3], [12, 3], [12, 9], [2, 9], [2, 3]]
        kinds = [{"classification": {"name": each}} for each in ("Tumor", "Ignore*")]
        features = [
            {"type": "Feature", "properties": kind, "geometry": {"type": "Polygon"}}
            for kind in kinds
        ]
        for feature, right in zip(features, (0, 10), strict=True):
            feature["geometry"]["coordinates"] = [[[x + right // 2, y + right] for x, y in ring]]
        (drawn / name).write_text(json.dumps(features))
        labels = np.zeros((20, 20), np.uint16)
        labels[3:9, 2:12] = 5
        save_png(pixels / "a.png", labels, 0.5, {"kind": PREDICTED, "of_image": "0"})
        for truth, pred in ((drawn, pixels), (pixels, drawn)):
            given = ("evaluate", "--pred", pred, "--truth", truth, "--json")
            (image,) = semimoe(*given).json["images"]
            assert (image["name"], image["dice"], image["object_f1"]) == ("a", 1, 1)
        (pixels / "a.png").unlink()
        shutil.copy(drawn / name, pixels)
        assert "are both GeoJSON" in semimoe(*given, code=1).err

    def test_predictions_go_by_their_own_names_whatever_lies_beside_them(self, semimoe, tmp_path):
        (tmp_path / "t").mkdir()
        truth = np.eye(20, dtype=np.uint16)
        Image.fromarray(truth).save(tmp_path / "t" / "a_anno.png")
        (tmp_path / "p").mkdir()
        for name, labels in (("a", truth), ("b_anno", truth), ("a_anno", truth * 0)):
            save_png(tmp_path / "p" / f"{name}.png", labels, 0.5, {"kind": PREDICTED})
        given = ("evaluate", "--pred", tmp_path / "p", "--truth", tmp_path / "t", "--json")
        ended = semimoe(*given).json
        assert ended["pooled"]["dice"] == 1
        assert ended["without_truth"] == ["a_anno", "b_anno"]
        for name in ("b_anno", "a_anno"):
            (tmp_path / "p" / f"{name}.png").unlink()
        for folder in ("t", "p"):  # one of another program, not named as a mask
            Image.fromarray(truth).save(tmp_path / folder / "c.png")
        (tmp_path / "t" / "a_anno.png").rename(tmp_path / "t" / "a.png")
        assert [each["name"] for each in semimoe(*given).json["images"]] == ["a", "c"]

    def test_folders_without_a_common_name_are_told_both(self, semimoe, tmp_path):
        for folder, name in (("t", "a"), ("p", "case1")):
            (tmp_path / folder).mkdir()
            save_png(tmp_path / folder / f"{name}.png", np.eye(9, dtype=np.uint16), 0.5, {"a": 1})
        given = ("evaluate", "--pred", tmp_path / "p", "--truth", tmp_path / "t", "--partial")
        assert "there is case1, and here a." in semimoe(*given, code=1).err

    def test_ignored_pixels_of_the_truth_count_nowhere(self, semimoe, tmp_path):
        (tmp_path / "t").mkdir()
        (tmp_path / "p").mkdir()
        truth = np.zeros((20, 20), np.uint16)
        truth[:5, :5], truth[:5, 6:9], truth[10:] = 1, 2, 65535
        Image.fromarray(truth).save(tmp_path / "t" / "a.png")
        Image.fromarray(np.where(truth == 65535, 3, truth)).save(tmp_path / "p" / "a.png")
        given = ("evaluate", "--pred", tmp_path / "p", "--truth", tmp_path / "t", "--json")
        assert semimoe(*given).json["pooled"]["object_f1"] == 1

    def test_project_is_scored_on_its_validation_tiles_by_both_protocols(self, semimoe, copy):
        data = semimoe("evaluate", copy, "--reference", "--json").json
        assert len(data["images"]) == 1
        assert data["protocol"] == "honest"
        assert data["model"] == "round 1"
        assert data["reference"]["optimistic"] is True
        assert 0 <= data["reference"]["dice"] <= 1
        assert "Reference protocol, optimistic" in semimoe("evaluate", copy, "--reference").out

    def test_project_is_scored_as_it_was_predicted_last(self, semimoe, copy):
        semimoe("predict", copy, "--threshold", 0.999999)
        data = semimoe("evaluate", copy, "--json").json
        assert data["pooled"]["dice"] == 0


class TestClasses:
    def test_they_are_shown_added_and_renamed(self, semimoe, tmp_path):
        semimoe("new", tmp_path / "p", "--class", "a", "--class", "b")
        assert "a, b" in semimoe("classes", tmp_path / "p").out
        change = ("--rename", "b=c", "--add", "b", "--json")
        ended = semimoe("classes", tmp_path / "p", *change)
        assert ended.json["classes"] == ["background", "a", "c", "b"]
        assert "no class 'x'" in semimoe("classes", tmp_path / "p", "--rename", "x=y", code=2).err


class TestOthers:
    @pytest.mark.parametrize("kind", ["ome-zarr", "png", "geojson"])
    def test_export_writes_every_mask(self, semimoe, trained, tmp_path, kind):
        ended = semimoe("export", trained, tmp_path / kind, "--kind", kind, "--json")
        assert len(ended.json["written"]) == 5
        assert " 5/5 " in ended.err
        assert any((tmp_path / kind).iterdir())

    def test_export_of_a_project_that_a_window_has_open(self, semimoe, copy, tmp_path):
        with Project.open(copy):
            assert len(semimoe("export", copy, tmp_path / "out", "--json").json["written"]) == 5

    def test_export_puts_a_project_in_order_whose_writer_was_killed(self, semimoe, copy, tmp_path):
        code = (
            "import os, sys; from napari_semimoe.project.project import Project;"
            "store = Project.open(sys.argv[1])._store; connection = store.connection;"
            "connection.execute('PRAGMA cache_size=1'); connection.execute('BEGIN IMMEDIATE');"
            "connection.execute(\"INSERT INTO setting VALUES ('half', hex(zeroblob(99999)))\");"
            "os._exit(9)"
        )
        subprocess.run([sys.executable, "-c", code, copy], check=False)
        assert (copy / "index.sqlite-journal").stat().st_size
        assert len(semimoe("export", copy, tmp_path / "out", "--json").json["written"]) == 5

    def test_a_round_whose_program_was_killed_does_not_run(self, semimoe, copy):
        with Project.open(copy) as project:
            number = project.start_round({}, None, {}).number
            assert semimoe("info", copy, "--json").json["rounds"][-1]["state"] == "running"
            shutil.copy(copy / "index.sqlite", copy / "killed")
            project.finish_round(number, RoundState.CANCELLED)
        os.replace(copy / "killed", copy / "index.sqlite")
        last = semimoe("info", copy, "--json").json["rounds"][-1]
        assert (last["number"], last["state"]) == (number, "interrupted")

    def test_check_names_what_will_be_used(self, semimoe):
        facts = semimoe("check", "--json").json
        assert facts["problems"] == []
        assert facts["libraries"]["torch"]
        assert facts["compute"]["device"]
        assert facts["imagenet_encoder"].endswith(".pth")
        assert "All that is needed is there." in semimoe("check").out

    def test_version_and_help(self, semimoe, capsys):
        assert semimoe("--version").out.startswith("semimoe 0.")
        commands = "new add info predict train rounds evaluate export demo check import-weights"
        assert main(["--help"]) == 0
        text = capsys.readouterr().out
        assert [name for name in commands.split() if name not in text] == []
        for name in commands.split():
            assert main([name, "--help"]) == 0
            assert "Usage: semimoe " + name in capsys.readouterr().out

    @pytest.mark.skipif(os.name == "nt", reason="has no head")
    def test_a_reader_that_has_seen_enough_is_no_error(self, trained):
        command = f"set -o pipefail; '{sys.executable}' -m napari_semimoe.cli info '{trained}' "
        done = subprocess.run(["bash", "-c", command + "--tiles | true"], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_list_of_commands_says_whole_sentences(self, semimoe):
        assert "..." not in semimoe("--help").out.partition("Commands:")[2]
        assert "..." not in semimoe("rounds", "--help").out.partition("Commands:")[2]

    def test_help_shows_the_defaults_in_brackets(self, semimoe):
        told = " ".join(semimoe("train", "--help").out.split())
        assert "auto, cpu, cuda or mps. [auto]" in told
        assert "Time for the round. [4; --protocol paper: 1440]" in told
        assert "this machine only. [a cache folder]" in " ".join(
            semimoe("worker", "--help").out.split()
        )

    def test_command_line_starts_without_what_is_slow_to_import(self, home):
        import subprocess
        import sys

        code = (
            "import sys; from napari_semimoe.cli import entry, main;"
            "slow = {'torch', 'napari', 'qtpy', 'ome_zarr', 'scipy', 'skimage'};"
            "heavy = slow & sys.modules.keys();"
            "sys.exit(', '.join(heavy) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def _only(file, folder):
    """Return a folder with nothing but a copy of a file."""
    alone = folder / "alone"
    alone.mkdir()
    shutil.copy(file, alone)
    return alone
