"""A round: repeatable, resumable, stoppable, with any mix of tiles."""

import itertools
import json
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.errors import SettingsError, StorageError
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.data.colours import colour_of, different, in_known_colours
from napari_semimoe.data.prepare import prepare
from napari_semimoe.model.checkpoint import load_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.project.found_masks import AFTER, BEFORE, read_found
from napari_semimoe.training import journal, pools, stopping
from napari_semimoe.training import round as round_module
from napari_semimoe.training.learner import Learner
from napari_semimoe.training.memory import halved
from napari_semimoe.training.palette import share_right
from napari_semimoe.training.pools import Pools
from napari_semimoe.training.round import run_round
from napari_semimoe.training.source import MemorySource
from tests.training.making import MODEL, Hearing, after_steps, patch, settings, tiles


def run(out, *, source=None, base=None, observer=None, model=MODEL, chosen=None, **values):
    return run_round(
        source or tiles(),
        chosen or settings(**values),
        model=model,
        base=base,
        out_dir=out,
        observer=observer or Hearing(),
    )


def same_weights(first, second):
    one, two = load_file(first), load_file(second)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_round_writes_weights_with_their_description(tmp_path):
    report = run(tmp_path, source=tiles(2, 3, 1))
    info = read_info(tmp_path / "model.safetensors")
    assert report.weights == str(tmp_path / "model.safetensors")
    assert (report.steps, report.labelled, report.unlabelled, report.cancelled) == (4, 2, 3, False)
    assert info.step == 4
    assert info.model.changed(colours=()) == MODEL
    assert info.data_hash == report.data_hash != ""
    chosen = settings().with_learning_rate(learns_on=False)
    assert RoundSettings.parse(info.training) == chosen
    assert report.validation is not None
    assert report.validation.tiles == 1
    assert report.base_validation is None


def recoloured(tile, gains):
    density = -np.log(np.maximum(tile.image, 1) / 255) * np.array(gains)
    return replace(tile, image=(255 * np.exp(-density)).round().astype(np.uint8))


@pytest.fixture
def of_two_stains():
    """Two tiles with masks, and an unlabelled and a validation tile of another stain."""
    plain = tiles(2, 1, 1)
    brown = {
        name: recoloured(plain.read(name), (1.4, 0.5, 2.4))
        for name in ("unlabelled 0", "validation 0")
    }
    return replace(plain, patches={**plain.patches, **brown})


def test_a_new_network_knows_the_colours_of_what_taught_it_and_sees_others_in_these(
    tmp_path, of_two_stains, monkeypatch
):
    prepared = {}

    def prepare_and_tell(tile, model):
        prepared[tile.name] = prepare(tile, model)
        return prepared[tile.name]

    monkeypatch.setattr(pools, "prepare", prepare_and_tell)
    run(tmp_path, source=of_two_stains)
    known = read_info(tmp_path / "model.safetensors").model.colours
    masked = [of_two_stains.read(name).image for name in of_two_stains.labelled]
    assert known == different(map(colour_of, masked)) != ()
    other = of_two_stains.read("unlabelled 0").image
    seen = in_known_colours(other, known)
    assert seen is not other
    assert torch.equal(
        prepared["unlabelled 0"].image,
        prepare(replace(of_two_stains.read("unlabelled 0"), image=seen), MODEL).image,
    )


def judged(monkeypatch, right_in):
    """Let so much of another stain's tiles be right as ``right_in`` says of the colours known."""
    asked = []

    def look(model, tiles, *about):
        share_right(model, tiles, *about)
        asked.append([tile.name for tile in tiles])
        return right_in(model.settings.colours)

    monkeypatch.setattr(round_module, "share_right", look)
    return asked


@pytest.fixture
def learns_on(tmp_path, of_two_stains):
    """Return what runs a round on a brown tile's mask, its tiles, and the colours of its base."""
    run(tmp_path / "base", max_steps=1)
    base = tmp_path / "base" / "model.safetensors"
    brown = replace(of_two_stains, labelled=["validation 0"], validation=())

    def learn(folder, **values):
        run(tmp_path / folder, source=brown, base=base, **values)
        return read_info(tmp_path / folder / "model.safetensors").model.colours

    return learn, brown, read_info(base).model.colours


@pytest.mark.parametrize(("in_its_own", "seen_so"), [(0.9, True), (0.77, True), (0.73, False)])
def test_another_stain_is_seen_in_known_colours_until_it_is_marked_as_well_in_its_own(
    learns_on, monkeypatch, in_its_own, seen_so
):
    learn, brown, known = learns_on
    asked = judged(monkeypatch, lambda its: 0.8 if its == known else in_its_own)
    seen = []
    make = Pools.pseudo_labels
    monkeypatch.setattr(
        Pools,
        "pseudo_labels",
        lambda self, teacher, *a: seen.append(teacher.settings.colours) or make(self, teacher, *a),
    )
    colours = learn("next")
    image = brown.read("validation 0").image
    taught = (*known, *different([colour_of(image)]))
    assert colours == (taught if seen_so else known)
    assert seen == [colours] * len(seen) != []
    assert asked == [["validation 0"]] * len(asked) != []
    assert in_known_colours(image, known) is not image
    assert in_known_colours(image, taught) is image


def test_a_tile_of_another_stain_teaches_in_its_own_colours(learns_on, monkeypatch):
    prepared = []
    monkeypatch.setattr(
        pools, "prepare", lambda tile, model: prepared.append(prepare(tile, model)) or prepared[-1]
    )
    learn, brown, _ = learns_on
    judged(monkeypatch, lambda its: -len(its))
    learn("next")
    assert [tile.name for tile in prepared] == ["validation 0", *brown.unlabelled]
    for tile in prepared:
        assert torch.equal(tile.image, prepare(brown.read(tile.name), MODEL).image)


def test_an_interrupted_round_on_another_stain_ends_as_it_would_have(tmp_path, learns_on):
    learn, brown, _ = learns_on
    colours = learn("whole")
    base = tmp_path / "base" / "model.safetensors"
    run(tmp_path / "parts", source=brown, base=base, observer=Hearing(after_steps(3)))
    run(tmp_path / "parts", source=brown, base=base)
    whole, parts = (tmp_path / each / "model.safetensors" for each in ("whole", "parts"))
    assert same_weights(whole, parts)
    assert read_info(parts).model.colours == colours


def test_not_fitted_no_colours_are_known(learns_on):
    learn, _, _ = learns_on
    assert learn("raw", adapt=False, max_steps=1) == ()


def test_a_network_whose_colours_nobody_noted_keeps_none(tmp_path, of_two_stains):
    run(tmp_path / "base", max_steps=1, adapt=False)
    base = tmp_path / "base" / "model.safetensors"
    run(tmp_path / "next", source=of_two_stains, base=base, max_steps=1)
    assert read_info(tmp_path / "next" / "model.safetensors").model.colours == ()


def test_a_finished_round_leaves_no_state_behind(tmp_path):
    (tmp_path / ".state.safetensors.tmp-1a2b3c4d").write_bytes(b"cut off by a kill")
    run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "log.jsonl",
        "model.json",
        "model.safetensors",
        "pseudo_labels.npz",
        "report.json",
        "validation_after.npz",
    ]


def test_what_base_and_new_model_mark_on_validation_tiles_is_kept(tmp_path):
    run(tmp_path / "base", max_steps=1)
    report = run(tmp_path / "next", base=tmp_path / "base" / "model.safetensors", max_steps=1)
    for file, scores in ((BEFORE, report.base_validation), (AFTER, report.validation)):
        found = read_found(tmp_path / "next" / file, "validation 0")
        assert found.shape == (40, 48)
        assert found.mean() == pytest.approx(scores.foreground)


def test_the_classes_are_named_as_in_the_project_whatever_the_base_calls_them(tmp_path):
    run(tmp_path / "base", max_steps=1)
    model = MODEL.changed(classes=("background", "tumour"))
    run(tmp_path / "next", base=tmp_path / "base/model.safetensors", model=model, max_steps=1)
    named = read_info(tmp_path / "next/model.safetensors").model
    assert named.changed(colours=()) == model


def test_a_round_goes_on_from_a_base_with_fewer_classes_which_is_not_scored(tmp_path):
    run(tmp_path / "base", max_steps=1)
    base = tmp_path / "base/model.safetensors"
    model = MODEL.changed(classes=("background", "lumen", "Gland"))
    report = run(tmp_path / "next", base=base, model=model, max_steps=1, learning_rate=1e-9)
    after = load_file(report.weights)
    assert report.base_validation is None
    assert report.validation is not None
    for name, before in load_file(base).items():
        if before.shape == after[name].shape:
            is_counted = "running" in name or "tracked" in name
            assert is_counted or torch.allclose(before, after[name], atol=1e-5)
        else:
            torch.testing.assert_close(after[name][[0, 2]], before, atol=1e-5, rtol=0)
            assert after[name][1].abs().max() < 1e-5


def test_a_base_that_has_the_classes_in_another_order_is_scored_as_they_are_here(tmp_path):
    classes = ("background", "b", "a")
    run(tmp_path / "1", max_steps=1, model=MODEL.changed(classes=("background", "a", "b")))
    base = tmp_path / "1/model.safetensors"
    report = run(tmp_path / "2", base=base, model=MODEL.changed(classes=classes), max_steps=1)
    assert report.base_validation is not None
    first, second = load_file(base), load_file(report.weights)
    for heads in ("expert_heads", "gated_heads"):
        name = f"{heads}.segmentation.weight"
        assert (second[name] - first[name][[0, 2, 1]]).abs().max() < 0.05


def test_max_steps_are_made_and_no_more(tmp_path):
    hearing = Hearing()
    assert run(tmp_path, max_steps=3, observer=hearing).steps == 3
    assert [step["step"] for step in hearing.named("step")] == [1, 2, 3]
    assert hearing.named("started")[0]["steps"] == 3


def test_the_log_has_losses_gates_and_the_weights_of_the_adaptive_loss(tmp_path):
    run(tmp_path)
    steps = [line for line in log_of(tmp_path) if line["event"] == "step"]
    assert len(steps) == 4
    tasks = {"segmentation", "distance", "boundary"}
    for line in steps:
        assert line["weights"].keys() == tasks
        assert line["losses"].keys() == {
            f"{p}/{t}" for p in ("labelled", "unlabelled") for t in tasks
        }
        rows = [sum(line["gates"][f"{task}<-{e}"] for e in tasks) for task in tasks]
        assert rows == pytest.approx([1, 1, 1], abs=1e-5)
    # Adam's first step of 0.05 on s = 1, downhill towards smaller s: exp(-0.95)
    assert steps[0]["weights"]["segmentation"] == pytest.approx(0.386741, abs=1e-4)


def test_the_speed_counts_the_crops_of_the_step(tmp_path):
    hearing = Hearing()
    run(tmp_path, observer=hearing, max_steps=2, labelled_only=0.5, unlabelled_batch=6)
    first = hearing.named("step")[0]  # of two labelled crops only; the other step has eight
    assert first["images_per_second"] * first["seconds_left"] == pytest.approx(8)


def test_the_first_step_already_learns(tmp_path):
    hearing = Hearing()
    run(tmp_path, observer=hearing, warmup=0.5)
    assert hearing.named("step")[0]["learning_rate"] > 0


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 0), (1, 5), (5, 1)])
def test_any_mix_of_labelled_and_unlabelled_tiles_teaches(tmp_path, labelled, unlabelled):
    report = run(tmp_path, source=tiles(labelled, unlabelled, 0), max_steps=2)
    assert report.steps == 2
    assert report.validation is None
    assert any(name.startswith("unlabelled/") for name in report.final_losses) == (unlabelled > 0)


def test_unlabelled_tiles_are_left_alone_when_none_are_wanted_in_a_batch(tmp_path):
    report = run(tmp_path, unlabelled_batch=0, max_steps=1)
    assert not any(name.startswith("unlabelled/") for name in report.final_losses)


def test_a_round_without_labelled_tiles_is_refused_in_words_and_leaves_no_folder(tmp_path):
    with pytest.raises(SettingsError, match="at least one labelled or curated tile, got none"):
        run(tmp_path / "round", source=tiles(0, 2, 0))
    assert not (tmp_path / "round").exists()


def test_same_seed_same_numbers_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(tmp_path / name, seed=seed, max_steps=2)
    weights = [tmp_path / name / "model.safetensors" for name in "abc"]
    assert same_weights(weights[0], weights[1])
    assert not same_weights(weights[0], weights[2])


@pytest.mark.parametrize(
    ("stop_after", "values"),
    [
        (1, {}),
        (2, {}),  # exactly where the second stage begins
        (3, {"ema_decay": 0.0}),
        (3, {"agreement": 0.9}),
        (3, {"validate_every": 2, "labelled_only": 0.5}),
        (2, {"optimiser": "sgd", "pseudo_labels": "step", "stages": 1}),
    ],
)
def test_a_stopped_and_resumed_round_equals_the_uninterrupted_one(tmp_path, stop_after, values):
    run(tmp_path / "whole", **values)
    stopped = run(tmp_path / "parts", observer=Hearing(after_steps(stop_after)), **values)
    resumed = run(tmp_path / "parts", **values)
    assert (stopped.cancelled, stopped.steps, stopped.weights) == (True, stop_after, "")
    assert (resumed.cancelled, resumed.steps) == (False, 4)
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "parts")]
    assert same_weights(*files)
    assert [line["step"] for line in log_of(tmp_path / "parts")] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["state.safetensors", "plan.json"])
def test_a_round_whose_state_or_plan_is_damaged_begins_again(tmp_path, name):
    values = {"stages": 2}
    run(tmp_path / "whole", **values)
    run(tmp_path / "parts", observer=Hearing(after_steps(3)), **values)
    file = tmp_path / "parts" / name
    file.write_bytes(file.read_bytes()[:40])
    resumed = run(tmp_path / "parts", **values)
    assert (resumed.cancelled, resumed.steps) == (False, 4)
    assert same_weights(*(tmp_path / n / "model.safetensors" for n in ("whole", "parts")))


def test_a_round_whose_pseudo_labels_are_damaged_makes_them_anew(tmp_path):
    run(tmp_path, observer=Hearing(after_steps(3)))
    (file,) = tmp_path.glob("pseudo-*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    assert run(tmp_path).steps == 4


def test_a_warm_start_takes_over_the_base_and_its_network(tmp_path):
    first = run(tmp_path / "1", max_steps=1)
    other = ModelSettings(width=8)
    second = run(
        tmp_path / "2",
        base=tmp_path / "1/model.safetensors",
        model=other,
        learning_rate=1e-9,
        weight_decay=0,
        max_steps=1,
    )
    info = read_info(tmp_path / "2/model.safetensors")
    assert (
        info.model.changed(colours=()) == MODEL
    )  # the base decides, not what was asked for a fresh start
    assert info.base == "model.safetensors"
    assert second.base_validation is not None
    assert first.validation is not None
    assert second.base_validation.dice == first.validation.dice
    old, new = load_file(first.weights), load_file(second.weights)
    key = "expert_heads.segmentation.weight"
    assert torch.allclose(old[key], new[key], atol=1e-6)


@pytest.mark.parametrize(("given", "used"), [(0.0, (1e-3, 3e-4)), (0.01, (0.01, 0.01))])
def test_a_trained_network_learns_on_more_gently_unless_a_rate_is_given(tmp_path, given, used):
    values = {"learning_rate": given, "schedule": "step", "warmup": 0.0, "max_steps": 1}
    run(tmp_path / "1", **values)
    run(tmp_path / "2", base=tmp_path / "1/model.safetensors", **values)
    rates = [log_of(tmp_path / name)[-1]["learning_rate"] for name in ("1", "2")]
    assert rates == pytest.approx(used)


def test_a_resumed_round_is_compared_with_its_base_not_with_itself(tmp_path):
    run(tmp_path / "base", max_steps=1)
    base = tmp_path / "base/model.safetensors"
    values = {"base": base, "learning_rate": 1.0, "ema_decay": 0.0, "source": tiles(2, 0, 1)}
    hearing = Hearing(after_steps(2))
    run(tmp_path / "parts", observer=hearing, **values)
    whole = run(tmp_path / "whole", **values)
    resumed = run(tmp_path / "parts", **values)
    assert resumed.base_validation == whole.base_validation


def test_the_minutes_decide_the_steps_when_no_number_is_given(tmp_path):
    hearing = Hearing()
    report = run(tmp_path, observer=hearing, max_steps=0, budget_minutes=0.01)
    assert report.steps >= 1
    assert not report.cancelled
    assert hearing.named("stage")[0]["text"] == "Trying how long a step takes here"


def test_the_released_protocol_runs(tmp_path):
    chosen = RoundSettings.paper(max_steps=2, crop_px=32, threads=1, device="cpu")
    model = ModelSettings.paper(width=4)
    report = run(tmp_path, chosen=chosen, model=model)
    assert report.steps == 2
    assert all(torch.isfinite(t).all() for t in load_file(report.weights).values())


def test_cross_entropy_and_a_subset_of_experts_run(tmp_path):
    model = ModelSettings(width=4, experts=("segmentation", "boundary"))
    report = run(tmp_path, model=model, max_steps=1, cross_entropy=0.5)
    assert report.final_losses.keys() == {
        f"{p}/{t}" for p in ("labelled", "unlabelled") for t in model.experts
    }


def test_tiles_without_objects_and_of_one_pixel_teach_without_harm(tmp_path):
    empty = patch("empty", seed=1)
    empty.labels[:] = 0
    full = patch("full", seed=2)
    full.labels[:] = 1
    dot = patch("dot", seed=3, size=(1, 1))
    source = MemorySource({p.name: p for p in (empty, full, dot)}, ("empty", "full", "dot"))
    report = run(tmp_path, source=source, max_steps=3, labelled_batch=3)
    assert all(torch.isfinite(t).all() for t in load_file(report.weights).values())


def stop_when_asked(number):
    return lambda hearing: hearing.asked >= number


def test_a_stop_while_tiles_are_prepared_reads_no_further_tile(tmp_path):
    source = tiles(5, 0, 0)
    read = []

    class Counting(MemorySource):
        def read(self, name):
            read.append(name)
            return super().read(name)

    counted = Counting(source.patches, source.labelled)
    report = run(tmp_path, source=counted, observer=Hearing(stop_when_asked(3)))
    assert (report.cancelled, report.steps, report.weights) == (True, 0, "")
    assert len(read) == 2
    assert not (tmp_path / "state.safetensors").exists()


def during(monkeypatch, module, number):
    """Stop at the ``number``-th of all questions that ``module`` lets through after two steps."""
    monkeypatch.setattr(stopping, "INTERVAL", 0.0)
    asked = []

    def stop(hearing):
        if len(hearing.named("step")) < 2:
            return False
        inside = module in {frame.name for frame in traceback.extract_stack()}
        asked.extend([1] * inside)
        return len(asked) >= number

    return Hearing(stop)


@pytest.mark.parametrize("number", [1, 7])
@pytest.mark.parametrize("part", ["on_forward", "on_gradient"])
def test_a_stop_inside_a_step_ends_it_there_and_takes_it_back(tmp_path, monkeypatch, part, number):
    values = {"labelled_only": 0.0, "stages": 1, "ema_decay": 0.9}
    run(tmp_path / "whole", **values)
    stopped = run(tmp_path / "parts", observer=during(monkeypatch, part, number), **values)
    assert (stopped.cancelled, stopped.steps) == (True, 2)
    resumed = run(tmp_path / "parts", **values)
    assert not resumed.cancelled
    assert same_weights(*(tmp_path / n / "model.safetensors" for n in ("whole", "parts")))


def test_a_stop_while_pseudo_labels_are_made_ends_at_the_next_tile(tmp_path, monkeypatch):
    made = []
    real = pools.pseudo_maps

    def counting(model, tile, *args, **kwargs):
        made.append(tile.name)
        return real(model, tile, *args, **kwargs)

    monkeypatch.setattr(pools, "pseudo_maps", counting)
    report = run(tmp_path, source=tiles(1, 4, 0), observer=Hearing(lambda hearing: len(made) == 2))
    assert (report.cancelled, report.steps, len(made)) == (True, 0, 2)


def test_a_stop_while_trial_steps_are_timed_makes_no_step(tmp_path):
    prepared = 2
    hearing = Hearing(stop_when_asked(prepared + 2))
    report = run(tmp_path, source=tiles(2, 0, 0), observer=hearing, max_steps=0)
    assert (report.cancelled, report.steps) == (True, 0)
    assert hearing.named("started") == []


def test_a_stop_in_the_last_look_at_validation_tiles_keeps_the_steps(tmp_path):
    run(tmp_path / "whole", source=tiles(2, 2, 3))
    hearing = Hearing(after_steps(4))
    stopped = run(tmp_path / "parts", source=tiles(2, 2, 3), observer=hearing)
    assert (stopped.cancelled, stopped.steps) == (True, 4)
    assert hearing.named("validation") == []
    resumed = run(tmp_path / "parts", source=tiles(2, 2, 3))
    assert not resumed.cancelled
    assert same_weights(*(tmp_path / n / "model.safetensors" for n in ("whole", "parts")))


def test_a_resumed_round_counts_the_time_before_it_stopped(tmp_path, monkeypatch):
    hours = itertools.count(0, 3600)
    monkeypatch.setattr(journal.time, "monotonic", lambda: float(next(hours)))
    stopped = run(tmp_path, observer=Hearing(after_steps(1)))
    monkeypatch.undo()
    resumed = run(tmp_path)
    assert resumed.seconds > 0.9 * stopped.seconds > 0


def test_a_full_disk_while_the_state_is_saved_is_said_and_keeps_the_older_state(
    tmp_path, monkeypatch
):
    run(tmp_path, observer=Hearing(after_steps(1)))
    before = (tmp_path / "state.safetensors").read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"No space left|the disk is full"):
        run(tmp_path, observer=Hearing(after_steps(1)))
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp-*"))


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def killed_at(monkeypatch, name, call):
    """Let the round end without any cleaning up at the n-th call of one of its functions."""
    calls = []
    real = getattr(journal, name)

    def dying(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(journal, name, dying)


@pytest.mark.parametrize(
    ("name", "call", "values"),
    [
        ("save_state", 1, {"max_steps": 0, "budget_minutes": 0.01}),  # before the first state
        ("save_state", 2, {"stages": 2, "max_steps": 6}),  # new pseudo-labels beside the old state
        ("save_state", 3, {"stages": 2, "max_steps": 6, "validate_every": 2}),
        ("clear_state", 1, {"max_steps": 0, "budget_minutes": 0.01}),  # weights there, not told
    ],
)
def test_a_round_killed_between_two_files_goes_on_to_the_same_numbers(
    tmp_path, monkeypatch, name, call, values
):
    with monkeypatch.context() as patching:
        killed_at(patching, name, call)
        with pytest.raises(Killed):
            run(tmp_path / "parts", **values)
    plan = json.loads((tmp_path / "parts/plan.json").read_text())
    resumed = run(tmp_path / "parts", **values)
    whole = run(tmp_path / "whole", chosen=RoundSettings.parse(plan))
    assert resumed.steps == whole.steps == plan["max_steps"]
    assert same_weights(*(tmp_path / n / "model.safetensors" for n in ("whole", "parts")))


@pytest.mark.parametrize("last", [None, "clear_state"])
def test_a_finished_round_that_nobody_heard_of_is_told_again_and_not_trained_again(
    tmp_path, monkeypatch, last
):
    before = tmp_path / "before"
    with monkeypatch.context() as patching:
        if last:
            killed_at(patching, last, 1)  # with the report there, and the state, too
            with pytest.raises(Killed):
                run(before)
        else:
            run(before)
    moved = before.rename(tmp_path / "moved")
    steps, weights = len(log_of(moved)), (moved / "model.safetensors").read_bytes()
    hearing = Hearing()
    again = run(moved, observer=hearing)
    assert again.weights == str(moved / "model.safetensors")
    assert (again.steps, again.cancelled, again.validation.tiles) == (4, False, 1)
    assert hearing.named("step") == []
    assert len(log_of(moved)) == steps
    assert (moved / "model.safetensors").read_bytes() == weights
    assert not (moved / "state.safetensors").exists()
    assert not (moved / "plan.json").exists()


@pytest.mark.parametrize("damage", ["{", "[]", '{"steps": 4}'])
def test_a_finished_round_whose_report_is_damaged_is_trained_again(tmp_path, damage):
    first = run(tmp_path)
    (tmp_path / "report.json").write_text(damage)
    again = run(tmp_path)
    assert again.steps == first.steps
    assert len(log_of(tmp_path)) == 2 * first.steps


def test_a_finished_round_that_nobody_heard_of_keeps_its_plan(tmp_path):
    first = run(tmp_path, max_steps=0, budget_minutes=0.01)
    again = run(tmp_path, max_steps=0, budget_minutes=0.05)
    assert again.steps == first.steps


def memory_for(monkeypatch, crops, error, after=0):
    """Let steps of more than so many labelled crops fail, after so many steps."""
    real = Learner._forward
    calls = []

    def forward(self, image):
        calls.append(len(image))
        if len(calls) > after and self.settings.labelled_batch > crops:
            raise error
        return real(self, image)

    monkeypatch.setattr(Learner, "_forward", forward)


SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:73] . DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
]


@pytest.mark.parametrize("error", SHORT)
def test_short_memory_halves_the_batch_and_says_so(tmp_path, monkeypatch, error):
    memory_for(monkeypatch, 2, error, after=1)
    hearing = Hearing()
    report = run(tmp_path, observer=hearing, labelled_batch=5, unlabelled_batch=2)
    assert (report.steps, report.cancelled) == (4, False)
    assert [t["text"] for t in hearing.named("stage") if "Memory" in t["text"]] == [
        "Memory is short: steps of 2 labelled and 1 unlabelled crops of 32 px from now on"
    ]
    assert read_info(Path(report.weights)).training["labelled_batch"] == 2


@pytest.mark.parametrize("after", [0, 1])
def test_a_resumed_round_goes_on_with_the_halved_batch(tmp_path, monkeypatch, after):
    sizes = []
    real = Learner._forward

    def forward(self, image):
        sizes.append(len(image))
        return real(self, image)

    values = {"labelled_batch": 4, "unlabelled_batch": 0, "max_steps": 4, "validate_every": 2}
    with monkeypatch.context() as patch:
        memory_for(patch, 2, SHORT[0], after=after)
        stopped = Hearing(stop=lambda hearing: len(hearing.named("step")) >= 3)
        assert run(tmp_path, observer=stopped, **values).cancelled
    monkeypatch.setattr(Learner, "_forward", forward)
    assert run(tmp_path, **values).steps == 4
    assert set(sizes) == {2}


def test_short_memory_is_met_before_the_first_step_of_a_timed_round(tmp_path, monkeypatch):
    memory_for(monkeypatch, 1, SHORT[0])
    report = run(tmp_path, max_steps=0, budget_minutes=0.01, labelled_batch=4)
    stored = read_info(Path(report.weights)).training
    assert (stored["labelled_batch"], stored["unlabelled_batch"]) == (1, 1)


def test_memory_that_holds_no_step_at_all_ends_the_round(tmp_path, monkeypatch):
    memory_for(monkeypatch, 0, SHORT[0])
    with pytest.raises(torch.OutOfMemoryError):
        run(tmp_path)


def test_another_error_in_a_step_is_not_taken_for_short_memory(tmp_path, monkeypatch):
    memory_for(monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        run(tmp_path)


def test_the_crop_is_halved_when_the_batches_are_single():
    single = settings(labelled_batch=1, unlabelled_batch=1, crop_px=272)
    assert halved(single).crop_px == 128
    assert halved(halved(single)) == halved(single)
    alone = settings(labelled_batch=4, unlabelled_batch=0)
    assert (halved(alone).labelled_batch, halved(alone).unlabelled_batch) == (2, 0)


def test_losses_that_are_no_numbers_end_the_round_in_words(tmp_path, monkeypatch):
    step = Learner.step

    def lost(self, *given):
        numbers = step(self, *given)
        return replace(numbers, total=float("nan")) if given[2] == 1 else numbers

    monkeypatch.setattr(Learner, "step", lost)
    with pytest.raises(SettingsError, match=r"got nan in step 2.*lower learning rate"):
        run(tmp_path, max_steps=3)
    assert not (tmp_path / "model.safetensors").exists()


def test_scored_are_the_base_and_the_very_weights_that_are_saved(tmp_path, monkeypatch):
    files = [tmp_path / name / "model.safetensors" for name in ("base", "next")]
    run(files[0].parent, max_steps=1)
    scored = []

    def look(model, *_, **__):
        scored.append({name: value.clone() for name, value in model.state_dict().items()})

    monkeypatch.setattr("napari_semimoe.training.round.validate", look)
    run(files[1].parent, base=files[0], max_steps=2, learning_rate=0.01)
    assert len(scored) == 2
    for file, weights in zip(files, scored, strict=True):
        stored = load_checkpoint(file)[0].state_dict()
        assert all(torch.equal(weights[name], stored[name]) for name in stored)


@pytest.mark.parametrize("part", ["parameters", "buffers"])
@pytest.mark.parametrize(("step", "old"), [(0, 0.1), (1000, 0.5)])
def test_the_average_soon_forgets_the_weights_and_statistics_of_the_start(part, step, old):
    learner = Learner(SemiMoE(MODEL), settings(ema_decay=0.5), torch.device("cpu"))
    source = tiles(2, 0, 0)
    taught = [prepare(source.read(name), MODEL) for name in source.labelled]
    before = [value.clone() for value in getattr(learner.average, part)()]
    learner.step(taught, [], step, 2000, -1)
    now = getattr(learner.model, part)(), getattr(learner.average, part)()
    for start, value, mean in zip(before, *now, strict=True):
        share = old if mean.is_floating_point() else 0
        torch.testing.assert_close(mean, (share * start + (1 - share) * value).to(mean.dtype))


def test_weights_of_other_tiles_beside_a_report_are_not_taken_for_the_rounds_own(tmp_path):
    run(tmp_path / "other", source=tiles(1, 0, 0))
    run(tmp_path / "round")
    (tmp_path / "other/model.safetensors").replace(tmp_path / "round/model.safetensors")
    hearing = Hearing()
    run(tmp_path / "round", observer=hearing)
    assert len(hearing.named("step")) == 4


def test_so_many_unlabelled_tiles_teach_as_were_planned_and_never_with_a_mask(tmp_path):
    chosen = settings(pseudo_tiles=2)
    source = tiles(1, 0, 4)
    masked = MemorySource(source.patches, source.labelled, unlabelled=source.validation)
    found = Pools(masked, chosen, MODEL, torch.device("cpu"), lambda: None)
    found.choose(chosen)
    assert len({tile.name for tile in found.unlabelled}) == 2
    assert all(tile.index is tile.maps is None for tile in found.unlabelled)


def test_the_steps_before_memory_became_short_are_kept(tmp_path, monkeypatch):
    with monkeypatch.context() as patching:
        memory_for(patching, 0, SHORT[0], after=2)
        with pytest.raises(torch.OutOfMemoryError):
            run(tmp_path, stages=1)
    hearing = Hearing()
    run(tmp_path, stages=1, observer=hearing)
    assert [step["step"] for step in hearing.named("step")] == [3, 4]
