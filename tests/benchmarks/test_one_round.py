"""A round on the masks of a few tiles, scored on the others before and after."""

import numpy as np

from benchmarks.one_round import line, one_round
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.core.values import Patch
from napari_semimoe.model.checkpoint import describe, save_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE

ROUND = {"max_steps": 2, "crop_px": 32, "labelled_batch": 2, "pseudo_views": 1, "threads": 1}


def tiles(count):
    labels = np.zeros((40, 48), np.uint16)
    labels[10:30, 10:30] = 1
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 40, 48, 3)).astype(np.uint8)
    return [Patch(image, labels, 1.25, f"tile {i}") for i, image in enumerate(images)]


def test_masks_of_a_few_teach_and_the_others_are_scored(tmp_path):
    weights = tmp_path / "model.safetensors"
    model = SemiMoE(ModelSettings(width=4)).eval()
    save_checkpoint(weights, model, describe(model, step=0))
    runs = [
        one_round(weights, tiles(4), 3, RoundSettings.parse(ROUND | {"seed": seed}))
        for seed in (0, 1)
    ]
    for run in runs:
        assert len(run["taught"]) == 3
        assert run["before"]["honest"].keys() == run["after"]["honest"].keys()
    assert runs[0]["taught"] != runs[1]["taught"]
    assert "honest dice" in line("mean", runs)
