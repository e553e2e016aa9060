"""Read the authors' released checkpoints into the ``paper`` network.

Source: docs/method.md section 9. Their files are pickles; they are opened with torch's
``weights_only`` reader, which builds tensors and nothing else, and only to be converted.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from napari_semimoe.core.errors import CheckpointError
from napari_semimoe.core.settings import ModelSettings
from napari_semimoe.core.values import USUAL_CLASSES
from napari_semimoe.model.checkpoint import describe, save_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.model.tensor_file import load_tensors

_EXPERTS = {"segmentation": "segment_model", "distance": "sdf_model", "boundary": "boundary_model"}
_HEADS = {"segmentation": "mask_head", "distance": "sdf_head", "boundary": "bnd_head"}
_GATE_LAYERS = {"reduce": "linear1", "attention": "attention", "choose": "linear2"}
_BLOCK = {"0.0": "0", "0.1": "1", "1.0": "3", "1.1": "4"}  # ours -> theirs: conv, bn, conv, bn


def import_authors(source: Path, out: Path) -> None:
    """Convert an authors' checkpoint file to one of ours.

    Raises
    ------
    CheckpointError
        If the file is not a Semi-MoE checkpoint of the released code.
    """
    model = load_authors(source)
    note = f"Imported from the authors' file {Path(source).name}"
    save_checkpoint(Path(out), model, describe(model, note=note))


def load_authors(source: Path) -> SemiMoE:
    """Build the ``paper`` network with the weights of an authors' file."""
    parts = _read(Path(source))
    width = _required(parts["segment_model"], "Conv1.conv.0.weight", source).shape[0]
    classes = _required(parts["segment_model"], "Conv_1x1.weight", source).shape[0]
    names = USUAL_CLASSES if classes == 2 else tuple(f"class {i}" for i in range(classes))
    model = SemiMoE(ModelSettings.paper(width=width, classes=names))
    translated = {}
    for ours in model.state_dict():
        part, theirs = _theirs(ours)
        translated[ours] = _required(parts[part], theirs, source)
    try:
        model.load_state_dict(translated)
    except RuntimeError as error:
        raise _foreign(source, str(error).splitlines()[0]) from error
    return model.eval()


def _read(source: Path) -> dict[str, dict[str, Tensor]]:
    content = load_tensors(source, lambda why: _foreign(source, why))
    wanted = {*_EXPERTS.values(), "gating_model"}
    if not isinstance(content, dict) or not all(isinstance(content.get(w), dict) for w in wanted):
        raise _foreign(source, f"it must hold {sorted(wanted)}")
    return {
        part: {key.removeprefix("module."): value for key, value in content[part].items()}
        for part in wanted
    }


def _required(part: dict[str, Tensor], key: str, source: Path) -> Tensor:
    if key not in part:
        raise _foreign(source, f"{key} is missing")
    return part[key]


def _foreign(source: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{Path(source).name} is not a checkpoint of the released Semi-MoE code: {why}. Give the "
        ".pth file that the authors' training wrote."
    )


def _theirs(name: str) -> tuple[str, str]:
    """Return the part and the name under which a parameter of ours is there."""
    group, rest = name.split(".", 1)
    if group == "backbone":
        side, expert, rest = rest.split(".", 2)
        place = _encoder_name(rest) if side == "encoders" else _decoder_name(rest)
        return _EXPERTS[expert], place
    task, rest = rest.split(".", 1)
    if group == "expert_heads":
        return _EXPERTS[task], f"Conv_1x1.{rest}"
    if group == "gated_heads":
        return "gating_model", f"{_HEADS[task]}.conv1.{rest}"
    layer, kind = rest.split(".", 1)
    number = list(_EXPERTS).index(task) + 1
    return "gating_model", f"gating{number}.{_GATE_LAYERS[layer]}.{kind}"


def _encoder_name(rest: str) -> str:  # levels.2.1.0.weight -> Conv3.conv.3.weight
    _, level, first, second, kind = rest.split(".", 4)
    return f"Conv{int(level) + 1}.conv.{_BLOCK[f'{first}.{second}']}.{kind}"


def _decoder_name(rest: str) -> str:
    group, level, rest = rest.split(".", 2)
    number = 5 - int(level)
    if group == "ups":  # ups.0.0.weight -> Up5.up.1.weight (their up.0 is the up-sampling)
        index, kind = rest.split(".", 1)
        return f"Up{number}.up.{int(index) + 1}.{kind}"
    first, second, kind = rest.split(".", 2)
    return f"Up_conv{number}.conv.{_BLOCK[f'{first}.{second}']}.{kind}"
