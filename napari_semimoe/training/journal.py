"""What a round writes into its folder, and what it tells whoever listens."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from numpy.typing import NDArray
from torch import Tensor

from napari_semimoe.core.checkpoint_info import CheckpointInfo, read_info
from napari_semimoe.core.disk import remove, write_text
from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.reports import Observer, RoundReport, StepReport, ValidationReport
from napari_semimoe.core.settings import RoundSettings
from napari_semimoe.model.checkpoint import save_checkpoint
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.project.found_masks import write_found
from napari_semimoe.project.rounds import LOG
from napari_semimoe.training.learner import Learner, StepNumbers
from napari_semimoe.training.pace import Ahead, Pace
from napari_semimoe.training.state import (
    Progress,
    clear_pseudo,
    clear_state,
    load_pseudo,
    load_state,
    save_pseudo,
    save_state,
)

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
_PLAN = "plan.json"
_REPORT = "report.json"


class Journal:
    """A round's folder and its observer.

    Attributes
    ----------
    folder
        Holds the plan and the state of a round that is not over, the log of its steps, the masks
        that it found, and in the end its weights and its report. It is made if need be.
    observer
        Hears ``started``, ``stage``, ``step`` and ``validation``.
    """

    _log: TextIO

    def __init__(self, folder: Path, observer: Observer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.observer = folder, observer
        self._began, self._before = time.monotonic(), 0.0

    @property
    def weights(self) -> Path:
        """Where the new checkpoint comes to lie."""
        return self.folder / WEIGHTS

    @property
    def seconds(self) -> float:
        """How long the round has run, in s, with what was kept of it before interruptions."""
        return self._before + time.monotonic() - self._began

    def plan(self) -> RoundSettings | None:
        """Return what was planned; ``None`` before that, or where it is damaged."""
        path = self.folder / _PLAN
        if not path.is_file():
            return None
        try:
            return RoundSettings.parse(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, SettingsError):
            logger.warning("%s is damaged; the round is planned anew", path)
            return None

    def write_plan(self, settings: RoundSettings) -> None:
        """Keep the settings that the steps follow."""
        write_text(self.folder / _PLAN, settings.model_dump_json(indent=1))

    def load(self, learner: Learner) -> Progress | None:
        """Restore the network as last saved; ``None`` if it never was."""
        progress = load_state(self.folder, learner.modules(), learner.optimisers)
        self._before = progress.seconds if progress else 0.0
        return progress

    def save(self, learner: Learner, progress: Progress) -> None:
        """Keep the network as it is, to go on from here."""
        spent = replace(progress, seconds=self.seconds)
        save_state(self.folder, spent, learner.modules(), learner.optimisers)
        clear_pseudo(self.folder, keep=progress.stage)

    def pseudo_labels(self, stage: int) -> dict[str, Tensor] | None:
        """Return the pseudo-labels of a stage, if they are kept."""
        return load_pseudo(self.folder, stage)

    def keep_pseudo_labels(self, stage: int, maps: Mapping[str, Tensor]) -> None:
        """Keep the pseudo-labels of a stage, for a round that goes on inside of it."""
        save_pseudo(self.folder, stage, maps)

    def keep_masks(self, name: str, masks: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a network marks on tiles; ``name`` is one of `project.found_masks`."""
        write_found(self.folder / name, masks)

    def finish(self, model: SemiMoE, info: CheckpointInfo, report: RoundReport) -> None:
        """Write weights and report, and remove what only an unfinished round needs."""
        save_checkpoint(self.weights, model, info)
        write_text(self.folder / _REPORT, json.dumps(report.to_json()))
        self._clear()

    def finished(self) -> RoundReport | None:
        """Return the report of a round that has ended here already, but may not have been heard."""
        path = self.folder / _REPORT
        if not (path.is_file() and self.weights.is_file()):
            return None
        try:
            report = RoundReport.parse(json.loads(path.read_text(encoding="utf-8")))
            info = read_info(self.weights)
        except (ValueError, TypeError, KeyError):
            return None
        if (info.step, info.data_hash) != (report.steps, report.data_hash):
            return None
        self._clear()
        return replace(report, weights=str(self.weights))  # the folder may have been moved

    def _clear(self) -> None:
        clear_state(self.folder)
        remove(self.folder / _PLAN)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Keep the log open, where every step becomes a line."""
        with (self.folder / LOG).open("a", encoding="utf-8", buffering=1) as self._log:
            yield

    def started(self, steps: int, device: str) -> None:
        """Tell how many steps there will be, and where."""
        self.observer.report("started", {"steps": steps, "device": device})

    def say(self, text: str, *, passing: bool = False) -> None:
        """Tell in words what is done; ``passing`` is over at the next step."""
        self.observer.report("stage", {"text": text, "passing": passing})

    def stepped(self, numbers: StepNumbers, progress: Progress, pace: Pace, rest: Ahead) -> None:
        """Log and tell a step, and how long the ``rest`` of the round takes."""
        report = StepReport(
            step=progress.step,
            steps=progress.steps,
            stage=progress.stage + 1,
            total=numbers.total,
            losses=numbers.losses,
            weights=numbers.weights,
            gates=numbers.gates,
            learning_rate=numbers.learning_rate,
            seconds_left=pace.seconds_for(rest),
            images_per_second=1 / max(pace.crop, 1e-9),
        ).to_json()
        self._log.write(json.dumps({"event": "step", **report}) + "\n")
        self.observer.report("step", report)

    def validated(self, report: ValidationReport) -> None:
        """Tell the scores of a look at the validation tiles."""
        self.observer.report("validation", report.to_json())
