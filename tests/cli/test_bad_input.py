"""Each wrong input ends with its exit code and one sentence on stderr."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from napari_semimoe.cli.main import main
from napari_semimoe.project import export_geojson, export_ome_zarr, export_png
from napari_semimoe.project.exporting import read_curated
from napari_semimoe.project.mask_png import save_png
from tests.cli.conftest import environment
from tests.jobs.clusters import wait_until
from tests.patience import PATIENCE


def refusal(ended):
    """Return the sentence, after making sure that it is one line and no traceback."""
    lines = [line for line in ended.err.splitlines() if line.startswith("semimoe: ")]
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err
    return lines[0]


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["fly"],
            ["new"],
            ["train", "p", "--steps", "many"],
            ["train", "p", "--set", "crop_px"],
            ["evaluate"],
            ["evaluate", "--pred", "x"],
            ["predict", "image.png"],
            ["train", "p", "--um-per-px", "0.5"],
            ["train", "p", "--resume", "1", "--seed", "0"],
            ["train", "p", "--resume", "1", "--protocol", "paper"],
            ["evaluate", "p", "--partial"],
            ["import-weights", "a.pth", "--out", "w.json"],
            ["export", "p", "out", "--kind", "docx"],
        ],
    )
    def test_wrong_usage_ends_with_two(self, semimoe, arguments):
        assert "Usage: semimoe" in semimoe(*arguments, code=2).err


class TestProjects:
    def test_folder_that_is_no_project(self, semimoe, tmp_path):
        assert "project" in refusal(semimoe("info", tmp_path, code=1))

    def test_new_in_a_folder_that_holds_something(self, semimoe, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        assert "empty" in refusal(semimoe("new", tmp_path, code=1))
        assert (tmp_path / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("classes", [["gland", "gland"], [" "], ["background"]])
    def test_classes_without_a_name_of_their_own(self, semimoe, tmp_path, classes):
        given = [part for name in classes for part in ("--class", name)]
        assert "name of its own" in refusal(semimoe("new", tmp_path / "p", *given, code=2))
        assert not (tmp_path / "p").exists()

    def test_newer_project_format(self, semimoe, tmp_path):
        semimoe("new", tmp_path / "p")
        path = tmp_path / "p" / "project.json"
        description = json.loads(path.read_text()) | {"format": 999}
        path.write_text(json.dumps(description))
        assert "newer" in refusal(semimoe("info", tmp_path / "p", code=1)).lower()

    def test_empty_folder_of_images(self, semimoe, tmp_path):
        (tmp_path / "none").mkdir()
        semimoe("new", tmp_path / "p")
        assert "holds no image" in refusal(
            semimoe("add", tmp_path / "p", tmp_path / "none", code=1)
        )

    def test_missing_folder_of_images(self, semimoe, tmp_path):
        semimoe("new", tmp_path / "p")
        sentence = refusal(semimoe("add", tmp_path / "p", tmp_path / "gone", code=1))
        assert "does not exist" in sentence

    def test_bad_files_are_named_and_the_good_ones_added(self, semimoe, tissue, tmp_path):
        folder = tmp_path / "mixed"
        folder.mkdir()
        good = (tissue / "labelled" / "tissue_1.png").read_bytes()
        (folder / "good.png").write_bytes(good)
        (folder / "cut.png").write_bytes(good[: len(good) // 2])
        (folder / "text.png").write_text("not an image")
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "small.png", dpi=(40000, 40000))
        Image.fromarray(np.ones((6, 6), np.uint8)).save(folder / "small_mask.png")
        semimoe("new", tmp_path / "p")
        ended = semimoe("add", tmp_path / "p", folder, "--json", code=1)
        assert len(ended.json["added"]) == 1
        refused = dict(ended.json["refused"])
        assert refused.keys() == {"cut.png", "text.png", "small.png"}
        assert "cut off or damaged" in refused["cut.png"]
        assert "not an image" in refused["text.png"]
        assert all(name in ended.err for name in refused)

    def test_unknown_scale_asks_for_it(self, semimoe, tmp_path):
        for name in ("a", "b"):
            Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.png")
        semimoe("new", tmp_path / "p")
        assert semimoe("add", tmp_path / "p", tmp_path, code=1).err.endswith(
            "2 files do not say how large a pixel is: give --um-per-px, 0.5 for a 20x scan.\n"
        )
        semimoe("add", tmp_path / "p", tmp_path, "--um-per-px", "0.5")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
    def test_unreadable_folder(self, semimoe, tmp_path):
        (tmp_path / "closed").mkdir(mode=0)
        semimoe("new", tmp_path / "p")
        sentence = refusal(semimoe("add", tmp_path / "p", tmp_path / "closed", code=1))
        assert "cannot be read" in sentence


class TestTraining:
    def test_project_without_masks(self, semimoe, tissue, tmp_path):
        semimoe("new", tmp_path / "p")
        semimoe("add", tmp_path / "p", tissue / "unlabelled")
        assert "at least one tile with a mask" in refusal(semimoe("train", tmp_path / "p", code=1))

    def test_unknown_and_impossible_settings_are_named(self, semimoe, copy):
        def told(*options):
            return refusal(semimoe("train", copy, *options, code=2)).removeprefix("semimoe: ")

        assert told("--set", "crop=9") == "--set crop is no setting; the closest is crop_px."
        assert told("--set", "foo=3").startswith("--set foo is no setting; there are seed, device")
        assert told("--set", "crop_px=33") == "--set crop_px must be a multiple of 16, got 33."
        assert told("--set", "seed=x") == "--set seed must be a valid integer, got 'x'."
        assert told("--minutes", "0") == "--minutes must be greater than 0, got 0.0."
        both = told("--device", "gpu", "--seed", "-1")
        assert both == (
            "--seed must be greater than or equal to 0, got -1; "
            "--device must be 'auto', 'cpu', 'cuda' or 'mps', got 'gpu'."
        )
        assert told("--set", "agreement=0.9", "--set", "pseudo_labels=step") == (
            "agreement needs pseudo_labels 'stage': those of every step do not measure it."
        )
        for text in ("9" * 5000, "[" * 99_999):
            assert told("--set", f"stages={text}").startswith("--set stages ")
        assert told("--set", "min_object_um2=Infinity") == (
            "--set min_object_um2 must be a finite number, got inf."
        )
        assert told("--network", "mean=[NaN,0,0]").startswith("--network mean.0 must be a finite")
        assert told("--network", "architecture=[]").startswith("--network architecture must be")
        narrow = told("--network", "width=1")
        assert narrow == "--network width must be greater than or equal to 4, got 1."

    def test_environment_is_named_in_full(self, semimoe, copy, monkeypatch, tmp_path):
        monkeypatch.setenv("SEMIMOE_SCHEDULER", "tcp://gpu:8786")
        sentence = refusal(semimoe("predict", copy, code=2))
        assert "SEMIMOE_SCHEDULER must start with tls://" in sentence
        monkeypatch.setenv("SEMIMOE_SCHEDULER", "tls://gpu:8786")
        sentence = refusal(semimoe("predict", copy, code=2))
        assert "SEMIMOE_TLS_CA must name a file that exists" in sentence
        given = ("--tls-ca", tmp_path, "--tls-cert", tmp_path, "--tls-key", tmp_path)
        sentence = refusal(semimoe("worker", *given, code=2))
        assert "--tls-ca (SEMIMOE_TLS_CA) must name a file that exists" in sentence

    def test_round_that_does_not_exist(self, semimoe, copy):
        assert "99" in refusal(semimoe("rounds", "promote", copy, 99, code=1))
        assert "99" in refusal(semimoe("rounds", "show", copy, 99, code=1))
        assert "99" in refusal(semimoe("train", copy, "--resume", 99, code=1))

    def test_prediction_needs_a_model(self, semimoe, tissue, tmp_path):
        from napari_semimoe.core.starter import starter_weights

        if starter_weights() is not None:
            pytest.skip("this build ships weights")
        semimoe("new", tmp_path / "p")
        semimoe("add", tmp_path / "p", tissue / "labelled")
        assert "no model yet" in refusal(semimoe("predict", tmp_path / "p", code=1))

    def test_evaluation_needs_validation_tiles(self, semimoe, tissue, tmp_path):
        semimoe("new", tmp_path / "p")
        semimoe("add", tmp_path / "p", tissue / "unlabelled")
        assert "validation tiles" in refusal(semimoe("evaluate", tmp_path / "p", code=1))


class TestWeights:
    @pytest.fixture
    def image(self, tissue):
        return tissue / "unlabelled" / "more_1.png"

    def predict(self, semimoe, image, weights, out):
        return refusal(semimoe("predict", image, "--weights", weights, "--out", out, code=1))

    def test_missing(self, semimoe, image, tmp_path):
        sentence = self.predict(semimoe, image, tmp_path / "gone.safetensors", tmp_path)
        assert "does not exist" in sentence

    def test_what_never_was_a_weights_file(self, semimoe, image, tmp_path):
        assert "more_1.png is no weights file" in self.predict(semimoe, image, image, tmp_path)
        assert "is a folder" in self.predict(semimoe, image, tmp_path, tmp_path)

    def test_folder_for_masks_that_cannot_be_one_is_refused_before_any_is_predicted(
        self, semimoe, image, weights, tmp_path
    ):
        (tmp_path / "out").write_text("mine")
        sentence = self.predict(semimoe, image, weights, tmp_path / "out")
        assert f"{tmp_path / 'out'} is a file, and a folder is wanted" in sentence
        assert (tmp_path / "out").read_text() == "mine"

    def test_cut_short(self, semimoe, image, weights, tmp_path):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(weights.read_bytes()[:-100])
        assert "damaged or cut short" in self.predict(semimoe, image, broken, tmp_path)

    def test_pickle_is_refused_and_never_opened(self, semimoe, image, tmp_path):
        trace = tmp_path / "was-run"

        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(trace),)

        path = tmp_path / "model.safetensors"
        path.write_bytes(pickle.dumps(Trap()))
        assert "pickled" in self.predict(semimoe, image, path, tmp_path)
        ended = semimoe("import-weights", path, "--out", tmp_path / "w.safetensors", code=1)
        assert refusal(ended)
        assert not trace.exists()

    def test_import_does_not_overwrite(self, semimoe, weights, tmp_path):
        out = tmp_path / "mine.safetensors"
        out.write_text("mine")
        assert "exists already" in refusal(semimoe("import-weights", weights, "--out", out, code=1))
        assert out.read_text() == "mine"
        out.rename(out.with_suffix(".json"))
        assert "exists already" in refusal(semimoe("import-weights", weights, "--out", out, code=1))
        assert out.with_suffix(".json").read_text() == "mine"

    def test_bad_image_is_refused_and_the_others_are_predicted(
        self, semimoe, image, weights, tmp_path
    ):
        bad = tmp_path / "bad.png"
        bad.write_text("no image")
        out = tmp_path / "out"
        given = ("predict", bad, image, "--weights", weights, "--out", out, "--json")
        ended = semimoe(*given, code=1)
        assert [os.path.basename(path) for path in ended.json["written"]] == ["more_1.png"]
        assert "bad.png" in ended.err

    @pytest.mark.parametrize("name", ["more_1.png", "more_1.npz"])
    def test_a_mask_never_replaces_the_image_or_what_else_is_not_predicted(
        self, semimoe, image, weights, tmp_path, name
    ):
        copy = tmp_path / "more_1.png"
        (tmp_path / "in").mkdir()
        source = shutil.copy(image, copy if name.endswith("png") else tmp_path / "in")
        (tmp_path / "more_1.npz").write_text("mine")
        before = {path: path.read_bytes() for path in tmp_path.glob("more_1.*")}
        given = ("predict", source, "--weights", weights, "--out", tmp_path, "--all-outputs")
        assert f"{name} is in the way" in refusal(semimoe(*given, code=1))
        assert {path: path.read_bytes() for path in tmp_path.glob("more_1.*")} == before

    def test_a_mask_that_is_given_as_an_image_is_not_replaced_by_its_own_prediction(
        self, semimoe, weights, tmp_path
    ):
        mask = tmp_path / "a.png"
        save_png(mask, np.eye(64, dtype=np.uint16), 0.5, {"kind": "predicted"})
        before = mask.read_bytes()
        assert "no image among the files" in self.predict(semimoe, mask, weights, tmp_path)
        assert mask.read_bytes() == before

    @pytest.mark.skipif(os.name == "nt", reason="links need rights there")
    def test_the_mask_of_a_link_is_called_as_the_link_and_never_replaces_what_it_points_to(
        self, semimoe, image, weights, tmp_path
    ):
        scans = tmp_path / "scans"
        scans.mkdir()
        scan = Path(shutil.copy(image, scans / "S-001.png"))
        before = scan.read_bytes()
        link = tmp_path / "patient_a.png"
        link.symlink_to(scan)
        semimoe("predict", link, "--weights", weights, "--out", scans)
        assert {path.name for path in scans.iterdir()} == {"S-001.png", "patient_a.png"}
        assert scan.read_bytes() == before

    def test_a_curated_mask_is_never_replaced_by_a_prediction(
        self, semimoe, image, weights, tmp_path
    ):
        mask = tmp_path / "out" / f"{image.stem}.png"
        mask.parent.mkdir()
        save_png(mask, np.eye(64, dtype=np.uint16), 0.5, {"kind": "curated"})
        before = mask.read_bytes()
        given = ("predict", image, "--weights", weights, "--out", mask.parent)
        assert "is in the way" in refusal(semimoe(*given, code=1))
        assert mask.read_bytes() == before

    def test_a_file_of_maps_is_known_by_what_is_in_it(self, semimoe, image, weights, tmp_path):
        save_png(tmp_path / "more_1.png", np.eye(64, dtype=np.uint16), 0.5, {"kind": "predicted"})
        np.savez(tmp_path / "more_1.npz", mine=np.zeros(3))
        given = ("predict", image, "--weights", weights, "--out", tmp_path, "--all-outputs")
        assert "more_1.npz is in the way" in refusal(semimoe(*given, code=1))

    def test_missing_image(self, semimoe, weights, tmp_path):
        given = ("predict", tmp_path / "gone.png", "--weights", weights, "--out", tmp_path)
        assert "does not exist" in refusal(semimoe(*given, code=1))


class TestMasks:
    def write(self, folder, **masks):
        folder.mkdir()
        for name, shape in masks.items():
            labels = np.zeros(shape, np.uint8)
            labels[:2, :2] = 1
            Image.fromarray(labels).save(folder / f"{name}.png")
        return folder

    def test_missing_predictions_are_named_and_may_be_left_out(self, semimoe, tmp_path):
        truth = self.write(tmp_path / "t", a=(9, 9), b=(9, 9))
        pred = self.write(tmp_path / "p", a=(9, 9))
        given = ("evaluate", "--pred", pred, "--truth", truth)
        assert "missing: b" in refusal(semimoe(*given, code=1))
        ended = semimoe(*given, "--partial", "--json")
        assert ended.json["missing"] == ["b"]
        assert len(ended.json["images"]) == 1

    def test_a_folder_is_not_compared_with_itself(self, semimoe, tmp_path):
        masks = self.write(tmp_path / "t", a=(9, 9))
        ended = semimoe("evaluate", "--pred", masks, "--truth", masks, code=1)
        assert "The predictions and the truth are the same files" in refusal(ended)

    def test_a_project_is_no_folder_of_masks(self, semimoe, trained, tmp_path):
        pred = self.write(tmp_path / "p", a=(9, 9))
        ended = semimoe("evaluate", "--pred", pred, "--truth", trained, code=1)
        assert f"'semimoe evaluate {trained}'" in refusal(ended)

    def test_another_size_is_refused_by_both_names(self, semimoe, tmp_path):
        truth = self.write(tmp_path / "t", a=(9, 9))
        pred = self.write(tmp_path / "p", a=(9, 8))
        sentence = refusal(semimoe("evaluate", "--pred", pred, "--truth", truth, code=1))
        assert f"The prediction {pred / 'a.png'} must have the size of its truth" in sentence
        assert f"{truth / 'a.png'}, 9 x 9 px, got 8 x 9." in sentence

    def test_folder_without_masks(self, semimoe, tmp_path):
        truth = self.write(tmp_path / "t", a=(9, 9))
        pred = self.write(tmp_path / "p")
        assert "holds no mask" in refusal(
            semimoe("evaluate", "--pred", pred, "--truth", truth, code=1)
        )


@pytest.fixture
def interruptible(home):
    """Return a function that starts a command; it hears signals that the tests may not (nohup)."""
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "napari_semimoe.cli", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment(home), **pipes, **options))
        return started[-1]

    usual = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield start
    for number, handler in before.items():
        signal.signal(number, handler)
    for process in started:
        process.kill()  # only a test that failed leaves one
        process.communicate()


#: A round that ends only when it is stopped, and saves nothing by itself before.
LONG = ["--minutes", "30", "--steps", "100000", "--device", "cpu", "--set", "labelled_only=0.9"]
LONG += ["--network", "width=4", "--set", "crop_px=32", "--set", "threads=1"]


def wait_for_steps(project, running):
    log = project / "rounds" / "2" / "log.jsonl"
    wait_until(lambda: log.exists() and '"step"' in log.read_text(), running)
    return log


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C reaches the whole console there")
class TestInterrupted:
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_end_of_the_whole_group_loses_no_step_of_the_round(
        self, semimoe, copy, interruptible, name
    ):
        running = interruptible("train", copy, *LONG, start_new_session=True)
        log = wait_for_steps(copy, running)
        os.killpg(running.pid, getattr(signal, name))
        out, err = running.communicate(timeout=PATIENCE)
        assert running.returncode == 130, err
        assert "cancelled" in out
        steps = semimoe("rounds", "show", copy, "2", "--json").json["report"]["steps"]
        assert steps == len(log.read_text().splitlines())
        with safe_open(copy / "rounds" / "2" / "state.safetensors", "np") as state:
            assert json.loads(state.metadata()["progress"])["step"] == steps

    def test_ctrl_c_stops_the_round_keeps_it_and_ends_with_130(self, semimoe, copy, interruptible):
        running = interruptible("train", copy, *LONG)
        wait_for_steps(copy, running)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE)
        assert running.returncode == 130, err
        assert "cancelled" in out
        assert f"Go on with it: semimoe train {copy} --resume 2\n" in err
        entry = semimoe("rounds", "list", copy, "--json").json["rounds"][1]
        assert entry["state"] == "cancelled"
        assert semimoe("info", copy, "--json").json["weights"] == "rounds/1/model.safetensors"

    @pytest.mark.parametrize("kind", ["png", "ome-zarr", "geojson"])
    def test_export_ends_after_the_file_at_hand_and_leaves_nothing_half(
        self, trained, tmp_path, kind, monkeypatch, capsys
    ):
        asked = []

        def refused(*arguments):  # the first question of each export's file
            asked.append(signal.raise_signal(signal.SIGINT))
            return read_curated(*arguments)

        for module in (export_png, export_ome_zarr, export_geojson):
            monkeypatch.setattr(module, "read_curated", refused)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            assert main(["export", str(trained), str(tmp_path), "--kind", kind, "--json"]) == 130
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)
        told = capsys.readouterr()
        (written,) = json.loads(told.out)["written"]
        assert "Interrupted. The same command exports all of them." in told.err
        table = ["masks.csv"] if kind == "png" else []
        assert sorted(os.listdir(tmp_path)) == sorted([Path(written).name, *table])
        assert len(asked) == 1

    def test_export_that_is_asked_twice_ends_at_once(self, trained, tmp_path, monkeypatch, capsys):
        def twice(*arguments):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(export_png, "read_curated", twice)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            assert main(["export", str(trained), str(tmp_path), "--kind", "png"]) == 130
        finally:
            signal.signal(signal.SIGINT, before)
        assert capsys.readouterr().err.endswith("the same command does the rest.\n")
        assert os.listdir(tmp_path) == []


def run_command_that(home, does):
    """Run a command of our own that only does one thing, in a process of its own."""
    code = (
        "import napari_semimoe.cli.main as command\n"
        f"def fail(): {does}\n"
        "command.app.command('fail')(fail)\n"
        "raise SystemExit(command.main(['fail']))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


def test_interrupted_command_says_that_what_was_done_is_kept(home):
    done = run_command_that(home, "raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == (
        "semimoe: Interrupted. What was done is kept; the same command does the rest.\n"
    )


def test_fault_of_our_own_is_one_sentence_with_the_whole_story_in_a_log(home, tmp_path):
    done = run_command_that(home, "raise RuntimeError('unforeseen')")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    log = done.stderr.rsplit(" in ", 1)[1].strip().rstrip(".")
    assert "RuntimeError: unforeseen" in Path(log).read_text()
