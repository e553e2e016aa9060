"""A round's state on disk, so that it can go on to the same numbers after an interruption.

All files are safetensors: ``state.safetensors`` (weights, moving average, optimiser) is replaced
whole at every save; ``pseudo-N.safetensors`` holds the pseudo-labels of stage N. Those of the stage
before stay until a state of the new stage is stored, so that whichever state is there has its own.
No random state is stored: random numbers depend on seed and step alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from napari_semimoe.core.disk import TEMPORARY, discard, remove, written_whole
from napari_semimoe.core.errors import StorageError
from napari_semimoe.project.rounds import STATE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a round is: steps done, steps in all, present stage (-1 before the first).

    ``seconds`` is how long all that took, of a state that was stored.
    """

    step: int
    steps: int
    stage: int
    seconds: float = 0.0


def save_state(
    folder: Path,
    progress: Progress,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
) -> None:
    """Write the state; the older one stays until the new one is whole."""
    tensors = {
        f"{name}/{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for name, optimiser in optimisers.items():
        tensors |= _optimiser_tensors(name, optimiser)
    _write(folder / STATE, tensors, {"progress": json.dumps(asdict(progress))})


def load_state(
    folder: Path, modules: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]
) -> Progress | None:
    """Restore the state in place; ``None`` if there is none to go on from, or a damaged one."""
    path = folder / STATE
    tensors = _read(path) if path.is_file() else None
    if tensors is None:
        return None
    with safe_open(path, "pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
    for name, module in modules.items():
        start = f"{name}/"
        module.load_state_dict(
            {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        )
    for name, optimiser in optimisers.items():
        _restore_optimiser(name, optimiser, tensors)
    return progress


def save_pseudo(folder: Path, stage: int, maps: Mapping[str, Tensor]) -> None:
    """Keep the pseudo-label maps of a stage."""
    _write(_pseudo_path(folder, stage), dict(maps), {"stage": str(stage)})


def load_pseudo(folder: Path, stage: int) -> dict[str, Tensor] | None:
    """Return the maps of ``stage``, or ``None`` if they were not kept or are damaged."""
    path = _pseudo_path(folder, stage)
    return _read(path) if path.is_file() else None


def clear_pseudo(folder: Path, *, keep: int | None = None) -> None:
    """Remove pseudo-labels; ``keep`` names the stage whose stay."""
    for path in folder.glob("pseudo-*.safetensors"):
        if keep is None or path != _pseudo_path(folder, keep):
            remove(path)


def clear_state(folder: Path) -> None:
    """Remove what only an unfinished round needs, and what a killed one left half-written."""
    remove(folder / STATE)
    clear_pseudo(folder)
    for cut_off in folder.glob(f"*{TEMPORARY}*"):
        discard(cut_off)


def _pseudo_path(folder: Path, stage: int) -> Path:
    return folder / f"pseudo-{stage}.safetensors"


def _optimiser_tensors(name: str, optimiser: Optimizer) -> dict[str, Tensor]:
    found = {}
    for index, values in optimiser.state_dict()["state"].items():
        for key, value in values.items():
            if value is not None:
                found[f"optimiser/{name}/{index}/{key}"] = torch.as_tensor(value)
    return found


def _restore_optimiser(name: str, optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        if path.startswith(f"optimiser/{name}/"):
            index, key = path.split("/")[2:]
            state.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], value)
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """Give a tensor the parameter's memory layout: another layout rounds differently."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _read(path: Path) -> dict[str, Tensor] | None:
    """Read copies: on Windows, a file that tensors are still mapped to cannot be replaced.

    A damaged file is removed: without it the round begins again from what is whole.
    """
    try:
        return {name: value.clone() for name, value in load_file(path).items()}
    except SafetensorError:
        logger.warning("%s is damaged and was removed", path)
        remove(path)
        return None


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    clean = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        with written_whole(path) as unfinished:
            save_file(clean, unfinished, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"The round's state could not be written to {path.parent} ({error}). Free some "
            "space there; the present model and all annotations are untouched."
        ) from error
