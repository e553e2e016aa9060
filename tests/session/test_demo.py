import shutil

import pytest

from napari_semimoe.core.states import Pool
from napari_semimoe.session.demo import FEWEST_TILES, open_demo_project


@pytest.fixture(autouse=True)
def packaged(monkeypatch):
    """The demo of somebody without GlaS."""
    monkeypatch.delenv("SEMIMOE_DATA", raising=False)


def test_demo_that_was_interrupted_while_it_was_made_is_filled_when_it_is_opened_again(
    session, tmp_path
):
    class KilledError(Exception):
        pass

    def kill(done, total, name):
        if done == 3:
            raise KilledError

    path = tmp_path / "demo"
    with pytest.raises(KilledError):
        open_demo_project(session, path, progress=kill)
    session.close()
    copy = shutil.copytree(path, tmp_path / "copy")
    open_demo_project(session, copy)
    tiles = session.tiles()
    assert len(tiles) == FEWEST_TILES
    assert len({tile.name for tile in tiles}) == FEWEST_TILES
    assert sum(tile.annotation_id is not None for tile in tiles) == 12


def test_whole_demo_is_opened_as_the_person_left_it(session, tmp_path):
    path, heard = tmp_path / "demo", []
    open_demo_project(session, path)
    tile = session.next_tile()
    session.set_pool(tile, Pool.EXCLUDED)
    session.close()
    open_demo_project(session, path, progress=lambda *told: heard.append(told))
    assert heard == []
    assert session.project.tile(tile).pool is Pool.EXCLUDED


def test_demo_stops_being_made_when_asked(session, tmp_path):
    asked = []
    open_demo_project(
        session, tmp_path / "demo", should_stop=lambda: asked.append(1) or len(asked) > 6
    )
    assert 0 < len(session.tiles()) < FEWEST_TILES
    open_demo_project(session, tmp_path / "demo")
    assert len(session.tiles()) == FEWEST_TILES
