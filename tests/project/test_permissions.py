import os
import stat
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_semimoe.core.disk import written_whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")


@pytest.fixture(params=[0o022, 0o027, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_colleagues_may_read_weights_as_they_may_read_any_new_file(umask, tmp_path):
    with written_whole(tmp_path / "model.safetensors") as unfinished:
        save_file({"a": np.zeros(1)}, unfinished)  # makes a file that only its owner can read
    (tmp_path / "notes.txt").write_text("any new file")
    usual, ours = (
        stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ("notes.txt", "model.safetensors")
    )
    assert ours == usual == 0o666 & ~umask
    assert sorted(os.listdir(tmp_path)) == ["model.safetensors", "notes.txt"]


def test_a_folder_keeps_its_permissions(tmp_path):
    with written_whole(tmp_path / "array.zarr") as unfinished:
        unfinished.mkdir(mode=0o750)
    assert stat.S_IMODE((tmp_path / "array.zarr").stat().st_mode) == 0o750
