"""The mask under the brush, and the way back from starting it over."""

import numpy as np

from napari_semimoe.gui.painted import Painted, StartOver
from napari_semimoe.gui.tile_view import Start


def labels(*ids):
    return np.array([ids], np.uint16)


def suggestion(*ids, classes=None):
    return Start(labels(*ids), classes or {}, "round 2")


def painted(*ids, classes=None):
    return Painted(labels(*ids), classes or {}, Start(labels(0, 0), {}, "round 1"))


def test_draft_holds_what_work_began_with_and_the_time_spent():
    draft = painted(1, 2, classes={2: 2}).as_draft(7.5)
    assert draft.labels.tolist() == [[1, 2]]
    assert draft.baseline.tolist() == [[0, 0]]
    assert (draft.classes, draft.model, draft.seconds) == ({2: 2}, "round 1", 7.5)


def test_undo_and_redo_find_the_classes_and_the_beginning_of_their_pixels():
    over, before = StartOver(), painted(1, 2, classes={2: 2})
    after = over.begin(before, suggestion(3, 0))
    assert after.begun.model == "round 2"
    assert over.of_pixels(labels(1, 2)) is before
    assert over.of_pixels(labels(3, 0)) is after
    assert over.of_pixels(labels(3, 3)) is None
    assert over.of_pixels(None) is None


def test_starting_over_twice_gives_own_classes_back_where_no_pixel_changes():
    over, own = StartOver(), {1: 2}
    suggested = suggestion(1, 0)
    after = over.begin(painted(1, 0, classes=own), suggested)
    assert after.classes == {}
    assert over.begin(after, suggested).classes == own


def test_another_mask_has_no_way_back():
    over = StartOver()
    over.begin(painted(1, 2), suggestion(3, 0))
    over.forget()
    assert over.of_pixels(labels(1, 2)) is None


def test_suggestion_stays_as_it_was_when_classes_change_under_the_brush():
    suggested = suggestion(1, 0)
    after = StartOver().begin(painted(0, 0), suggested)
    after.classes[1] = 2
    assert suggested.classes == {}
