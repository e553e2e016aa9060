"""What unlabelled tiles taught, and how far it changed from round to round."""

import numpy as np
import pytest

from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import JobState
from napari_semimoe.project.found_masks import PSEUDO, write_found
from napari_semimoe.session.ledger import agreement_words, read_ledger
from tests.header_only import write_weights

from .test_rounds import train_job

SHARES = {"foreground": 0.25, "coverage": 0.5, "weight": 0.4}


def taught_round(session, engine, masks):
    number = session.start_round(RoundSettings())
    folder = session.project.round_folder(number)
    write_weights(folder / "model.safetensors")
    if masks:
        write_found(folder / PSEUDO, masks)
    report = {
        "weights": str(folder / "model.safetensors"),
        "validation": None,
        "base_validation": None,
        "taught": {name: SHARES for name in masks},
    }
    engine.finish(train_job(engine), JobState.DONE, result=report)
    session.process()
    return number


def test_change_is_the_share_of_pixels_taught_otherwise_by_the_round_before(
    starter, filled, engine
):
    first = np.zeros((4, 5), bool)
    second = first.copy()
    second[0, :3] = True
    one = taught_round(filled, engine, {"tile_1": first, "tile_2": first, "gone": first})
    assert [tile.changed for tile in read_ledger(filled.project, one)] == [None] * 3
    empty = taught_round(filled, engine, {})  # without unlabelled tiles
    assert read_ledger(filled.project, empty) == ()
    three = taught_round(filled, engine, {"tile_1": first, "tile_2": second, "tile_3": first})
    ledger = {tile.name: tile for tile in read_ledger(filled.project, three)}
    assert list(ledger) == ["tile_2", "tile_1", "tile_3"]
    assert ledger["tile_2"].changed == pytest.approx(3 / 20)
    assert (ledger["tile_1"].changed, ledger["tile_3"].changed) == (0, None)
    assert (ledger["tile_2"].foreground, ledger["tile_2"].coverage) == (0.25, 0.5)
    assert read_ledger(filled.project, one)[0].tile_id is None  # 'gone' is no tile


def test_another_working_resolution_cannot_be_compared(starter, filled, engine):
    taught_round(filled, engine, {"tile_1": np.zeros((4, 5), bool)})
    number = taught_round(filled, engine, {"tile_1": np.zeros((8, 10), bool)})
    (tile,) = read_ledger(filled.project, number)
    assert tile.changed is None


def test_round_of_an_earlier_version_has_no_ledger(starter, filled, engine):
    number = filled.start_round(RoundSettings())
    engine.finish(train_job(engine), JobState.DONE, result={"validation": None})
    filled.process()
    assert read_ledger(filled.project, number) == ()


@pytest.mark.parametrize(
    ("scores", "agreement", "words"),
    [
        (None, 0.0, ""),
        (None, 0.5, "how many pixels teach is not known before a round was checked"),
        ({"dice": 0.8}, 0.5, "how many pixels teach is not known before a round was checked"),
        (
            {"agreement": [[0.0, 1.0, 0.9], [0.5, 0.82, 0.974], [0.55, 0.7, 0.98]]},
            0.52,
            "82% of the pixels teach, 97% of them right on the validation tiles",
        ),
        (
            {"agreement": [[0.0, 1.0, 0.9], [0.5, 0.0, None]]},
            0.9,
            "no pixel teaches: the experts agree so much nowhere",
        ),
    ],
)
def test_what_an_agreement_means_is_said_by_the_scores_of_the_model(scores, agreement, words):
    assert agreement_words(scores, agreement) == words
