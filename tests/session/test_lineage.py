from __future__ import annotations

import pytest

from napari_semimoe.core.errors import ProjectError
from napari_semimoe.core.settings import RoundSettings
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


def test_project_without_rounds_has_an_empty_lineage(no_starter, filled):
    assert read_lineage(filled.project) == Lineage()


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
