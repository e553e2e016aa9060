import torch

from benchmarks.ship_starter import NOTE, ship
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.model.checkpoint import describe, load_checkpoint, save_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE


def test_starter_is_half_as_large_and_predicts_as_the_run_does(tmp_path):
    run, starter = tmp_path / "model.safetensors", tmp_path / "starter.safetensors"
    model = SemiMoE(ModelSettings(width=8)).eval()
    save_checkpoint(run, model, describe(model, step=7, training={"seed": 0}))
    ship(run, starter)
    assert starter.stat().st_size < 0.6 * run.stat().st_size
    shipped, info = load_checkpoint(starter)
    assert (info.note, info.step, info.training) == (NOTE, 7, {"seed": 0})
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        said, meant = (each(image).gated["distance"] for each in (shipped, model))
    assert torch.allclose(said, meant, atol=0.01 * float(meant.abs().max()))
