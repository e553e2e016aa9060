"""A round as a process runs it that only helps its leader: it writes and tells nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from napari_semimoe.core.reports import SilentObserver, ValidationReport
from napari_semimoe.core.settings import ModelSettings, RoundSettings
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.training.journal import Journal
from napari_semimoe.training.learner import Learner, StepNumbers
from napari_semimoe.training.pace import Ahead, Pace
from napari_semimoe.training.round import Round
from napari_semimoe.training.source import PatchSource
from napari_semimoe.training.state import Progress
from napari_semimoe.training.team import Team

_T = TypeVar("_T")


def help_round(
    source: PatchSource,
    settings: RoundSettings,
    *,
    model: ModelSettings,
    base: Path | None,
    out_dir: Path,
    rank: int,
    size: int,
    meeting: Path,
) -> None:
    """Share the steps of a round that its leader has planned, or goes on with, in ``out_dir``.

    Parameters are those of `run_round` and of `Team`. The leader ends this process when the round
    is stopped.
    """
    helper = _Teammate(source, settings, model, base, _ReadingJournal(out_dir, SilentObserver()))
    helper.help(rank, size, meeting)


class _ReadingJournal(Journal):
    """Reads what the leader wrote, and writes nothing itself."""

    def save(self, learner: Learner, progress: Progress) -> None:
        pass

    def keep_pseudo_labels(self, stage: int, maps: Mapping[str, Tensor]) -> None:
        pass

    def stepped(self, numbers: StepNumbers, progress: Progress, pace: Pace, rest: Ahead) -> None:
        pass


class _Teammate(Round):
    def help(self, rank: int, size: int, meeting: Path) -> None:
        """Make the steps that are left."""
        self._prepare_pools()
        progress = self._resume()
        assert progress is not None, "the leader writes its plan before it asks for help"
        self.progress = progress
        self.pools.choose(self.settings)
        team = Team(rank, size, meeting, self.device)
        self.learner.join(team)
        self._steps()
        team.close()

    def _fitting(self, call: Callable[[], _T]) -> _T:
        return call()  # where memory is short, the leader begins with smaller steps anew

    def _note_taught(self, kept: Mapping[str, Tensor]) -> None:
        pass

    def _score(
        self,
        model: SemiMoE,
        step: int,
        names: Sequence[str],
        hear: Callable[[str, NDArray[Any]], None] = lambda name, found: None,
    ) -> ValidationReport | None:
        return None
