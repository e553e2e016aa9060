from __future__ import annotations

from dataclasses import replace

import pytest

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import JobState, RoundState
from napari_semimoe.session.comparison import against_base, compare_rounds, tile_ids
from napari_semimoe.session.plan import FROM_CURRENT
from napari_semimoe.session.start_from import StartFrom, StartKind
from tests.header_only import write_weights

from .test_rounds import train_job

NOTHING = StartFrom(StartKind.NOTHING)


def scores(dice, **tiles):
    return {"tiles": len(tiles), "dice": dice, "per_tile_dice": tiles}


def ended_round(session, engine, validation, base=None, start=FROM_CURRENT):
    number = session.start_round(RoundSettings(), start=start)
    weights = session.project.round_folder(number) / "model.safetensors"
    write_weights(weights)
    report = {"weights": str(weights), "validation": validation, "base_validation": base}
    engine.finish(train_job(engine), JobState.DONE, result=report)
    session.process()
    return session.project.round(number)


def test_round_against_its_base_names_the_tiles_that_got_worse_worst_first(starter, filled, engine):
    record = ended_round(
        filled,
        engine,
        scores(0.85, tile_1=0.9, tile_2=0.7, tile_3=0.5995, tile_4=0.55),
        scores(0.80, tile_1=0.6, tile_2=0.8, tile_3=0.6, tile_4=0.6),
    )
    ids = tile_ids(filled.project)
    compared = against_base(record, ids)
    assert [tile.name for tile in compared.tiles] == ["tile_2", "tile_4", "tile_3", "tile_1"]
    assert [tile.name for tile in compared.worse] == ["tile_2", "tile_4"]  # 0.0005 is no loss
    assert compared.worse[0].tile_id == ids["tile_2"]
    assert compared.worse[0].change == pytest.approx(-0.1)
    assert compared.sentence == (
        "Round 1 against starter: Dice 0.800 → 0.850; 2 of 4 tiles got worse."
    )


def test_round_from_nothing_has_no_before(no_starter, filled, engine):
    compared = against_base(ended_round(filled, engine, scores(0.5, tile_1=0.5)), {})
    assert compared.sentence == "Round 1: Dice 0.500; nothing to compare it with."
    assert [(tile.before, tile.after, tile.change) for tile in compared.tiles] == [
        (None, 0.5, None)
    ]


def test_tile_that_the_project_does_not_know_has_no_id(starter, filled, engine):
    record = ended_round(filled, engine, scores(0.5, gone=0.5), scores(0.6, gone=0.6))
    (tile,) = against_base(record, tile_ids(filled.project)).worse
    assert (tile.name, tile.tile_id) == ("gone", None)


def test_round_that_was_not_scored_is_compared_with_nothing(starter, filled, engine):
    record = ended_round(filled, engine, None)
    assert against_base(record, {}) is None
    assert against_base(replace(record, report=None), {}) is None
    with pytest.raises(ProjectError, match="Round 1 was not scored on validation tiles"):
        compare_rounds(filled.project, 1, 1)
    with pytest.raises(ProjectError, match="has no round 2"):
        compare_rounds(filled.project, 1, 2)


def test_two_rounds_are_compared_on_the_tiles_of_both(starter, filled, engine):
    ended_round(filled, engine, scores(0.9, tile_1=0.9, tile_2=0.8))
    ended_round(filled, engine, scores(0.8, tile_1=0.7, tile_3=0.9))
    forth = compare_rounds(filled.project, 1, 2)
    assert [(tile.name, tile.before, tile.after) for tile in forth.tiles] == [
        ("tile_1", 0.9, 0.7),
        ("tile_2", 0.8, None),
        ("tile_3", None, 0.9),
    ]
    assert forth.sentence == (
        "Round 2 against round 1: Dice 0.900 → 0.800; 1 of 1 tiles got worse. "
        "They were not scored on the same tiles."
    )
    assert compare_rounds(filled.project, 2, 1).worse == ()
    assert compare_rounds(filled.project, 1, 1).worse == ()


def test_round_from_elsewhere_must_also_be_as_good_as_the_model_in_charge(starter, filled, engine):
    ended_round(filled, engine, scores(0.9, tile_1=0.9), scores(0.7, tile_1=0.7))
    worse = ended_round(filled, engine, scores(0.8, tile_1=0.8), start=NOTHING)
    assert worse.state is RoundState.KEPT_BESIDE
    better = ended_round(filled, engine, scores(0.9, tile_1=0.9), start=NOTHING)
    assert better.state is RoundState.PROMOTED
    filled.promote_starter()
    again = ended_round(filled, engine, scores(0.69, tile_1=0.69), start=NOTHING)
    assert again.state is RoundState.KEPT_BESIDE  # round 1 measured the starter: 0.7


def test_latest_scores_of_the_model_in_charge_count(starter, filled, engine):
    ended_round(filled, engine, scores(0.9, tile_1=0.9))
    masks_corrected = scores(0.6, tile_1=0.6)
    assert ended_round(filled, engine, scores(0.5, tile_1=0.5), masks_corrected).state == (
        RoundState.KEPT_BESIDE
    )
    assert ended_round(filled, engine, scores(0.7, tile_1=0.7), start=NOTHING).state is (
        RoundState.PROMOTED
    )


def test_scores_on_other_tiles_keep_no_model_back(starter, filled, engine):
    ended_round(filled, engine, scores(0.9, tile_1=0.9))
    other = ended_round(filled, engine, scores(0.5, tile_1=0.5, tile_2=0.5), start=NOTHING)
    assert other.state is RoundState.PROMOTED
