from __future__ import annotations

import pytest

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.core.states import RoundState
from napari_semimoe.project.records import RoundRecord
from napari_semimoe.session.lineage import Lineage, read_lineage
from napari_semimoe.session.start_from import StartFrom, StartKind

from .test_rounds import finished_round, train_job


def started_from(session, engine, start):
    session.start_round(RoundSettings(), start=start)
    engine.train(train_job(engine))
    session.process()


def test_lineage_tells_what_each_round_began_from_and_what_is_in_charge(starter, filled, engine):
    finished_round(filled, engine)
    finished_round(filled, engine)
    started_from(filled, engine, StartFrom.of_round(1))
    started_from(filled, engine, StartFrom(StartKind.NOTHING))
    filled.promote(2)
    lineage = read_lineage(filled.project)
    assert lineage.roots == ("starter", "nothing")
    names = ("starter", "round 1", "round 2", "nothing")
    assert [[each.number for each in lineage.began_from(name)] for name in names] == [
        [1],
        [2, 3],
        [],
        [4],
    ]
    assert [lineage.is_in_charge(record) for record in lineage.rounds] == [
        False,
        True,
        False,
        False,
    ]
    assert not lineage.starter_in_charge
    filled.promote_starter()
    assert read_lineage(filled.project).starter_in_charge


def lineage_of(*bases):
    """Rounds 1, 2 ... by the number of the round that each began from; 0 is the starter."""
    records = [
        RoundRecord(
            number=number,
            state=RoundState.PROMOTED,
            base=f"rounds/{base}/model.safetensors" if base else "starter 1",
            weights="w",
            created="",
            ended=None,
            settings={},
            report=None,
            note="",
        )
        for number, base in enumerate(bases, start=1)
    ]
    return Lineage(rounds=tuple(records))


def drawn(lines):
    """Lines as nested lists of numbers; what leaves a line follows the round that it leaves."""
    return [
        [part for stop in line for part in (stop.record.number, *drawn(stop.beside))]
        for line in lines
    ]


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ((), []),
        ((0,), [[1]]),
        ((0, 1, 2), [[1, 2, 3]]),  # each went on from the one before
        ((0, 1, 1), [[1, [2], 3]]),  # 2 was given up, 3 began from 1 again
        ((0, 1, 2, 1), [[1, [2, 3], 4]]),  # back to an older model: the newest stays in front
        ((0, 1, 2, 1, 3), [[1, [4], 2, 3, 5]]),  # and forth again
        ((0, 1, 0), [[1, 2], [3]]),
        ((0, 0, 1), [[2], [1, 3]]),
        ((0, 1, 1, 1, 2), [[1, [3], [4], 2, 5]]),
        ((0, 1, 2, 2, 1), [[1, [2, [3], 4], 5]]),
    ],
)
def test_line_leads_to_the_newest_round_and_others_leave_it(bases, expected):
    assert drawn(lineage_of(*bases).lines_from("starter")) == expected


def test_thousand_rounds_in_a_row_are_one_line():
    (line,) = lineage_of(*range(1000)).lines_from("starter")
    assert [stop.record.number for stop in line] == list(range(1, 1001))


def test_starter_that_no_round_began_from_is_a_root_only_while_it_is_in_charge(
    starter, filled, engine
):
    assert read_lineage(filled.project).roots == ("starter",)
    started_from(filled, engine, StartFrom(StartKind.NOTHING))
    filled.promote(1)
    assert read_lineage(filled.project).roots == ("nothing",)
    filled.promote_starter()
    assert read_lineage(filled.project).roots == ("nothing", "starter")


def test_project_without_rounds_has_an_empty_lineage(no_starter, filled, monkeypatch):
    monkeypatch.setattr("napari_semimoe.session.lineage.imagenet_encoder", lambda: None)
    assert read_lineage(filled.project) == Lineage()


def test_encoder_can_be_chosen_where_it_is_installed(no_starter, filled, monkeypatch, tmp_path):
    monkeypatch.setattr("napari_semimoe.session.lineage.imagenet_encoder", lambda: tmp_path)
    assert read_lineage(filled.project).has_imagenet


def test_name_of_a_round_stays_until_it_is_taken_away(no_starter, filled, engine):
    finished_round(filled, engine)
    filled.name_round(1, "  after the\n tumours ")
    path = filled.project.path
    filled.close()
    filled.open(path)
    assert read_lineage(filled.project).names == {1: "after the tumours"}
    filled.name_round(1, " ")
    assert read_lineage(filled.project).names == {}
    with pytest.raises(ProjectError, match="has no round 5"):
        filled.name_round(5, "x")


def test_note_on_a_round_keeps_its_lines_and_leaves_the_name_alone(no_starter, filled, engine):
    finished_round(filled, engine)
    filled.name_round(1, "first")
    filled.note_round(1, "\n misses small glands  \n\nask Dr B\n")
    path = filled.project.path
    filled.close()
    filled.open(path)
    lineage = read_lineage(filled.project)
    assert lineage.notes == {1: "misses small glands\n\nask Dr B"}
    assert lineage.names == {1: "first"}
    filled.note_round(1, " \n")
    assert read_lineage(filled.project).notes == {}
    with pytest.raises(ProjectError, match="has no round 5"):
        filled.note_round(5, "x")
