"""What a person changed in what each model suggested."""

import numpy as np
import pytest

from napari_semimoe.session.corrections import Corrections, effort_sentence, read_corrections

SHAPE = 40, 56  # of the tiles


def mask(rows):
    labels = np.zeros(SHAPE, np.uint16)
    labels[:rows] = 1
    return labels


def accept(session, tile, model, rows, seconds, shown=10):
    return session.accept(tile, mask(rows), baseline=mask(shown), seconds=seconds, model=model)


def test_medians_of_the_tiles_that_each_model_suggested(filled):
    ids = [tile.id for tile in filled.tiles() if tile.annotation_id is None]
    accept(filled, ids[0], "starter 1.2.3", rows=14, seconds=60)
    accept(filled, ids[1], "round 1", rows=10, seconds=10)  # as it was
    accept(filled, ids[2], "round 1", rows=12, seconds=20)
    accept(filled, ids[3], "round 1", rows=6, seconds=90)
    accept(filled, ids[4], None, rows=30, seconds=500)  # drawn by hand
    assert read_corrections(filled.project) == {
        "starter": Corrections(tiles=1, as_is=0, changed=pytest.approx(4 / 40), seconds=60),
        "round 1": Corrections(tiles=3, as_is=1, changed=pytest.approx(2 / 40), seconds=20),
    }


def test_a_tile_counts_once_for_the_model_that_suggested_it_first(filled):
    tile = next(tile.id for tile in filled.tiles() if tile.annotation_id is None)
    accept(filled, tile, "round 1", rows=12, seconds=20)
    accept(filled, tile, "round 1", rows=40, seconds=300, shown=12)  # goes on from the own mask
    accept(filled, tile, "round 2", rows=11, seconds=5)
    assert read_corrections(filled.project) == {
        "round 1": Corrections(tiles=1, as_is=0, changed=pytest.approx(2 / 40), seconds=20)
    }


def test_masks_that_came_with_images_suggest_nothing_until_a_model_does(filled):
    assert read_corrections(filled.project) == {}
    imported = next(tile.id for tile in filled.tiles() if tile.annotation_id is not None)
    accept(filled, imported, "round 1", rows=10, seconds=3)
    assert read_corrections(filled.project)["round 1"].as_is == 1


ROUND_1 = Corrections(tiles=12, as_is=5, changed=0.0123, seconds=33.6)
STARTER = Corrections(tiles=1, as_is=0, changed=0.051, seconds=61)


@pytest.mark.parametrize(
    ("model", "before", "sentence"),
    [
        (
            "round 1",
            "starter",
            "You accepted 12 tiles that round 1 suggested, 5 without a change: 1.2% of a tile "
            "changed in 34 s; with the starter 5.1% of a tile changed in 61 s (medians).",
        ),
        (
            "round 1",
            "nothing",
            "You accepted 12 tiles that round 1 suggested, 5 without a change: 1.2% of a tile "
            "changed in 34 s (medians).",
        ),
        (
            "starter",
            None,
            "You accepted 1 tile that the starter suggested: 5.1% of a tile changed in 61 s "
            "(medians).",
        ),
        ("round 2", "round 1", ""),
    ],
)
def test_effort_in_words(model, before, sentence):
    assert effort_sentence({"round 1": ROUND_1, "starter": STARTER}, model, before) == sentence
