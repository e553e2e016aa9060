"""Several processes that share every step of a round, one on each graphics card.

All processes draw the same random numbers and hold the same weights. Each runs its part of the
step's crops through the network; outputs are gathered, so that every process computes the loss of
the whole step, and gradients are averaged by torch's own `DistributedDataParallel`. With the
statistics of batches and the dropout shared too (`shared_layers`), the numbers are those of one
process with all the crops.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.model.semi_moe import MoEOutputs
from napari_semimoe.training.shared_layers import gathered, share_layers

#: Longest wait for a process that does something else, as the leader does when it validates.
_PATIENCE = timedelta(minutes=30)
#: Exit code of a teammate whose memory did not hold its part of a step.
OUT_OF_MEMORY = 77

#: Starts the process of one rank: ``(rank, size, meeting file)``.
StartTeammate = Callable[[int, int, Path], "subprocess.Popen[bytes]"]


def team_size(settings: RoundSettings, device: torch.device) -> int:
    """Return how many processes share a step; every one needs a crop of each pass."""
    if device.type == "mps":  # one GPU, of which gloo takes no tensors
        return 1
    most = min(settings.processes, settings.labelled_batch)
    if device.type == "cuda":
        most = min(most, torch.cuda.device_count())
    if settings.unlabelled_batch and not settings.joint_forward:
        most = min(most, settings.unlabelled_batch)
    return most


class Team:
    """One process's place among those that share each step.

    Parameters
    ----------
    rank, size
        Number of this process, 0 leads; and of all.
    meeting
        New file on which the processes find each other.
    device
        Where this process computes.

    Attributes
    ----------
    in_pass
        Whether all ranks are inside of a forward pass.
    counts
        Crops of each rank in it.
    """

    in_pass = False

    def __init__(self, rank: int, size: int, meeting: Path, device: torch.device) -> None:
        self.rank, self.size = rank, size
        self.counts = [1] * size
        on_cards = device.type == "cuda" and dist.is_nccl_available()
        dist.init_process_group(
            "nccl" if on_cards else "gloo",
            init_method=meeting.absolute().as_uri(),
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )

    @property
    def part(self) -> slice:
        """Crops of this rank in the pass under way."""
        start = sum(self.counts[: self.rank])
        return slice(start, start + self.counts[self.rank])

    def adopt(self, model: nn.Module) -> nn.Module:
        """Return the network as this team runs it; the weights stay those of ``model``."""
        share_layers(model, self)
        return DistributedDataParallel(model)

    def run(self, network: nn.Module, image: Tensor) -> MoEOutputs:
        """Run this rank's part of a batch ``(B, 3, H, W)``; return the outputs of all of it."""
        self.counts = even_parts(len(image), self.size)
        self.in_pass = True
        try:
            mine: MoEOutputs = network(image[self.part])
        finally:
            self.in_pass = False
        return MoEOutputs(
            {name: gathered(logits.float(), self.counts) for name, logits in mine.experts.items()},
            {name: gathered(logits.float(), self.counts) for name, logits in mine.gated.items()},
            gathered(mine.gates, self.counts),
        )

    def close(self) -> None:
        """Leave the team."""
        dist.destroy_process_group()


def even_parts(count: int, size: int) -> list[int]:
    """Return how many of ``count`` crops each rank takes: equal numbers, the first ones one more.

    >>> even_parts(10, 4)
    [3, 3, 2, 2]
    """
    return [count // size + (rank < count % size) for rank in range(size)]


class Crew:
    """A team as its leader sees it: with the processes that it started.

    Parameters
    ----------
    size
        Processes, this one included.
    """

    def __init__(self, size: int, device: torch.device, start: StartTeammate) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="semimoe-team-")
        meeting = Path(self._folder.name) / "meeting"
        self._teammates = [start(rank, size, meeting) for rank in range(1, size)]
        try:
            self.team = Team(0, size, meeting, device)
        except BaseException:
            self._end_teammates()
            raise

    def lost(self, patience: float = 5.0) -> Sequence[int]:
        """Return the exit codes of teammates that ended badly.

        A broken connection is heard a moment before the end of the process that broke it.
        """
        codes = []
        for each in self._teammates:
            with contextlib.suppress(subprocess.TimeoutExpired):
                codes.append(each.wait(patience))
        return [code for code in codes if code]

    def close(self) -> None:
        """End the teammates, whatever they do, and the team."""
        self._end_teammates()
        self.team.close()

    def _end_teammates(self) -> None:
        for each in self._teammates:
            each.kill()
            each.wait()
            if each.stdin is not None:
                with contextlib.suppress(OSError):
                    each.stdin.close()
        self._folder.cleanup()


def loss_of_teammates(codes: Sequence[int]) -> JobError:
    """Return what a person needs to know of teammates that ended in the middle of a round."""
    return JobError(
        f"{len(codes)} of the processes that share the round's steps ended unexpectedly (exit code "
        f"{codes[0]}). Everything accepted is safe; go on with the round, or choose 1 process in "
        "its settings."
    )
