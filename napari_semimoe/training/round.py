"""One round: labelled and unlabelled steps from a base model to a new checkpoint.

What fits the time budget is decided once, before the first step, from trial steps on a copy. The
decision is part of the settings that are stored, so they give the same numbers again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_semimoe.core.errors import SettingsError, is_out_of_memory
from napari_semimoe.core.reports import Observer, RoundReport, ValidationReport
from napari_semimoe.core.settings import Colour, ModelSettings, RoundSettings
from napari_semimoe.core.values import known_classes
from napari_semimoe.data.sampling import stable_seed
from napari_semimoe.model.checkpoint import describe, load_checkpoint, with_classes
from napari_semimoe.model.encoder_file import network_around
from napari_semimoe.model.semi_moe import SemiMoE
from napari_semimoe.project.found_masks import AFTER, BEFORE, PSEUDO
from napari_semimoe.training.device import choose_device, device_text, set_threads
from napari_semimoe.training.journal import Journal
from napari_semimoe.training.learner import Learner, StepNumbers
from napari_semimoe.training.memory import free_memory, halved, reuse_memory
from napari_semimoe.training.pace import Pace, ahead
from napari_semimoe.training.palette import LEEWAY, Palette, palette_of, share_right
from napari_semimoe.training.pools import Pools
from napari_semimoe.training.pseudo import taught
from napari_semimoe.training.schedule import Costs, fit_to_budget, stage_of
from napari_semimoe.training.source import PatchSource, data_hash
from napari_semimoe.training.state import Progress
from napari_semimoe.training.stopping import stoppable
from napari_semimoe.training.team import (
    OUT_OF_MEMORY,
    Crew,
    StartTeammate,
    loss_of_teammates,
    team_size,
)
from napari_semimoe.training.trial import LARGE_PX, trial_costs
from napari_semimoe.training.validate import validate

_T = TypeVar("_T")


def run_round(
    source: PatchSource,
    settings: RoundSettings,
    *,
    model: ModelSettings,
    base: Path | None,
    out_dir: Path,
    observer: Observer,
    learner: type[Learner] = Learner,
    start_teammate: StartTeammate | None = None,
) -> RoundReport:
    """Train, and write ``out_dir/model.safetensors`` and ``out_dir/log.jsonl``.

    What the base and the new model mark on the validation tiles is kept beside them.

    Parameters
    ----------
    source
        The tiles. No unlabelled tiles are needed; at least one labelled tile is.
    model
        The network to build when there is no base, or around the encoder in it; its classes name
        those of any network.
    base
        Checkpoint to start from, or the file of a pretrained encoder if ``model`` awaits one;
        ``None`` starts from random weights.
    out_dir
        The round's folder. If it holds the state of an interrupted round with the same
        settings and data, the round goes on from there, to the same numbers. If the round has
        ended there, nothing is trained again: its report is returned.
    observer
        Hears ``started``, ``stage``, ``step`` and ``validation``, and is asked whether to stop
        before every step and every tile that is prepared, pseudo-labelled or scored, and a few
        times a second inside of them. A stopped round is reported as cancelled; the state of the
        steps it completed is saved.
    learner
        How a step learns.
    start_teammate
        Starts one of the processes that share the steps, where the settings or the graphics
        cards ask for more than one; ``None`` runs in this process alone.

    Raises
    ------
    SettingsError
        If there is no labelled tile.
    JobError
        If a process that shares the steps ended; the round can go on.
    CheckpointError, StorageError
        If the base cannot be read or the folder cannot be written.
    """
    _check(source)
    journal = Journal(Path(out_dir), observer)
    finished = journal.finished()
    if finished is not None:
        return finished
    work = Round(source, settings, model, base, journal, learner)
    work.start_teammate = start_teammate
    return work.run()


class _Stopped(Exception):
    """The observer wants the round to end here."""


class Round:
    """The work of `run_round`, and of the processes that share its steps."""

    start_teammate: StartTeammate | None = None
    _crew: Crew | None = None

    def __init__(
        self,
        source: PatchSource,
        settings: RoundSettings,
        model: ModelSettings,
        base: Path | None,
        journal: Journal,
        learner: type[Learner] = Learner,
    ) -> None:
        self.learns_on = model.learns_on(base)
        settings = settings.with_learning_rate(learns_on=self.learns_on)
        self.source, self.settings, self.base, self.journal = source, settings, base, journal
        self.device = choose_device(settings.device)
        set_threads(settings.threads)
        reuse_memory()
        torch.manual_seed(stable_seed(settings.seed, "weights"))
        network = _beginning(model, base)
        _check_crop(network.settings, settings)
        self.model_settings = network.settings
        self.learner = learner(network, settings, self.device)
        self.progress = Progress(0, 0, -1)
        self.pace = Pace()
        self.palette = Palette()
        self.taught: dict[str, dict[str, float]] = {}

    def run(self) -> RoundReport:
        """Run all steps that are left, or those until the observer stops the round."""
        try:
            with stoppable(self._check_stop):
                scores = self._learn()
        except _Stopped:
            if self.progress.step:
                self._save()
            return self._summary(cancelled=True)
        return self._finish(*scores)

    def _learn(self) -> tuple[ValidationReport | None, ValidationReport | None]:
        """Return the scores of the base and of what it became."""
        self._prepare_pools()
        self.progress = self._resume() or self._plan()
        self.pools.choose(self.settings)
        self.journal.started(self.progress.steps, device_text(self.device))
        with self.journal.logging():
            try:
                self._call_team()
                self._steps()
            finally:
                self._dismiss_team()
        return self._base_score(), self._validate(self._teacher(), self.progress.step, keep=AFTER)

    def _check_stop(self) -> None:
        if self.journal.observer.should_stop():
            raise _Stopped

    def _steps(self) -> None:
        steps = self.progress.steps
        if self.progress.stage >= 0:
            self._pseudo_labels(self.progress.stage)
        for step in range(self.progress.step, steps):
            self._check_stop()
            self._enter_stage(stage_of(self.settings, step, steps))
            started = time.monotonic()
            numbers = self._fitting(partial(self._step, step))
            _check_losses(numbers, step)
            self.pace.stepped(time.monotonic() - started, self._crops_in_a_step)
            self.progress = replace(self.progress, step=step + 1)
            rest = ahead(
                self.settings,
                self.progress,
                unlabelled=bool(self.pools.unlabelled),
                base=self.learns_on,
            )
            self.journal.stepped(numbers, self.progress, self.pace, rest)
            if (step + 1) % self.settings.validate_every == 0 and step + 1 < steps:
                self._validate(self._teacher(), step + 1)
                self._save()

    def _step(self, step: int) -> StepNumbers:
        stage, steps = self.progress.stage, self.progress.steps
        return self.learner.step(self.pools.labelled, self.pools.unlabelled, step, steps, stage)

    @property
    def _crops_in_a_step(self) -> int:
        both = self.pools.unlabelled and self.progress.stage >= 0
        return self.settings.labelled_batch + (self.settings.unlabelled_batch if both else 0)

    def _fitting(self, call: Callable[[], _T]) -> _T:
        """Call; where memory is short, halve the step, say so, and call again."""
        while True:
            try:
                return call()
            except (RuntimeError, MemoryError) as error:
                smaller = halved(self.settings)
                if smaller == self.settings or not self._is_out_of_memory(error):
                    raise
            self._shrink(smaller)

    def _is_out_of_memory(self, error: BaseException) -> bool:
        if is_out_of_memory(error) or self._crew is None:
            return is_out_of_memory(error)
        codes = self._crew.lost()
        if codes and OUT_OF_MEMORY not in codes:
            raise loss_of_teammates(codes) from error
        return bool(codes)

    def _call_team(self) -> None:
        """Let other processes share the steps from here on."""
        size = self._team_size
        if self.start_teammate is None or size == 1:
            return
        self.journal.write_plan(self.settings)
        self.journal.say(f"{size} processes share the steps", passing=True)
        self._crew = Crew(size, self.device, self.start_teammate)
        self.learner.join(self._crew.team)

    @property
    def _team_size(self) -> int:
        return 1 if self.start_teammate is None else team_size(self.settings, self.device)

    def _dismiss_team(self) -> None:
        if self._crew is not None:
            self.learner.leave()
            self._crew.close()
            self._crew = None

    def _shrink(self, smaller: RoundSettings) -> None:
        had_team = self._crew is not None
        self._dismiss_team()
        free_memory()
        self.settings = self.learner.settings = smaller
        if self.progress.steps:  # it was planned with larger ones
            self.journal.write_plan(self.settings)
        if self.progress.step:
            self._save()
        crops = f"{smaller.labelled_batch} labelled and {smaller.unlabelled_batch} unlabelled"
        text = f"Memory is short: steps of {crops} crops of {smaller.crop_px} px from now on"
        self.journal.say(text)
        if had_team:
            self._call_team()

    def _enter_stage(self, stage: int) -> None:
        if stage != self.progress.stage:
            self._pseudo_labels(stage)
            self.progress = replace(self.progress, stage=stage)
            self._save()

    def _pseudo_labels(self, stage: int) -> None:
        """Make the stage's pseudo-labels, or read them again after an interruption."""
        if not self.pools.unlabelled or self.settings.pseudo_labels != "stage":
            return
        text = f"Making pseudo-labels of {len(self.pools.unlabelled)} unlabelled tiles"
        self.journal.say(text, passing=True)
        kept = self.journal.pseudo_labels(stage)
        if kept is None:
            started = time.monotonic()
            kept = self.pools.pseudo_labels(self._teacher(), self.settings)
            self.pace.stage = time.monotonic() - started
            self.journal.keep_pseudo_labels(stage, kept)
        self._note_taught(kept)
        self.pools.teach(kept)

    def _note_taught(self, kept: Mapping[str, Tensor]) -> None:
        """Keep what the unlabelled tiles teach, for the report and for the round after."""
        masks = {}
        for name, maps in kept.items():
            self.taught[name], masks[name] = taught(
                self.learner.model,
                maps,
                confidence=self.settings.confidence,
                agreement=self.settings.agreement,
            )
        self.journal.keep_masks(PSEUDO, masks)

    def _plan(self) -> Progress:
        """Decide once what fits the minutes, and write it down for a resumed round."""
        if not self.settings.max_steps:
            self.journal.say("Trying how long a step takes here", passing=True)
            costs = self._fitting(self._costs)
            tiles = len(self.pools.unlabelled) if self.settings.pseudo_labels == "stage" else 0
            self.settings = fit_to_budget(self.settings, costs, tiles)
            self.pace.expect(costs, self.settings)
            torch.manual_seed(stable_seed(self.settings.seed, "weights"))
        self.journal.write_plan(self.settings)
        return Progress(0, self.settings.max_steps, -1)

    def _costs(self) -> Costs:
        one = self.source.validation[:1]

        def look() -> object:
            return self._score(self.learner.teacher(), 0, one)

        found = trial_costs(
            self.learner,
            self.pools.labelled,
            self.pools.unlabelled,
            look,
            check=self._check_stop,
            processes=self._team_size,
        )
        # to choose the colours, tiles of another stain are looked at twice before each look
        looks = len(self.source.validation) + 2 * len(self.palette.strangers)
        return replace(found, look=found.look * looks)

    def _resume(self) -> Progress | None:
        """Go on as planned, also when the round ended before its first state or just at its end."""
        plan = self.journal.plan()
        if plan is None:
            return None
        self.settings = self.learner.settings = plan
        return self.journal.load(self.learner) or Progress(0, plan.max_steps, -1)

    def _save(self) -> None:
        self.journal.save(self.learner, self.progress)

    def _prepare_pools(self) -> None:
        self.palette = self._find_palette()
        self._let_know(self.palette.known)
        model = self.model_settings.changed(colours=self.palette.taught)
        self.pools = Pools(self.source, self.settings, model, self.device, self._check_stop)

    def _find_palette(self) -> Palette:
        """Find the colours of this round; nobody knows what a base knows that noted none."""
        known = self.model_settings.colours
        if not self.settings.adapt or (self.learns_on and not known):
            return Palette()
        return palette_of(self.source, known, self.settings.seed, self._check_stop)

    def _teacher(self) -> SemiMoE:
        """Return the network to predict with.

        It sees tiles of a new stain in their own colours, once it marks those that taught it
        about as well so as in colours that it knew.
        """
        teacher, palette = self.learner.teacher(), self.palette
        strangers = [tile for tile in self.pools.labelled if tile.name in palette.strangers]
        if strangers:
            right = {}
            for colours in (palette.taught, palette.known):
                self._let_know(colours)
                right[colours] = share_right(teacher, strangers, self.settings, self._check_stop)
            if right[palette.taught] >= right[palette.known] - LEEWAY:
                self._let_know(palette.taught)
        return teacher

    def _let_know(self, colours: tuple[Colour, ...]) -> None:
        self.model_settings = self.model_settings.changed(colours=colours)
        for network in self.learner.modules().values():
            if isinstance(network, SemiMoE):
                network.settings = self.model_settings

    def _base_score(self) -> ValidationReport | None:
        """Score the base itself: a resumed round's network is no longer the base."""
        if self.base is None or not self.learns_on:
            return None
        network, classes = load_checkpoint(self.base)[0], self.model_settings.classes
        if None in known_classes(network.settings.classes, classes):
            return None  # it cannot mark what it has never heard of
        return self._validate(with_classes(network, classes), 0, keep=BEFORE)

    def _validate(self, model: SemiMoE, step: int, keep: str = "") -> ValidationReport | None:
        """Score and tell; ``keep`` names the file for what the model marks."""
        found: dict[str, NDArray[np.bool_]] = {}
        started = time.monotonic()
        report = self._score(model, step, self.source.validation, found.__setitem__)
        self.pace.look = time.monotonic() - started
        if report is not None:
            self.journal.validated(report)
            if keep:
                self.journal.keep_masks(keep, found)
        return report

    def _score(
        self,
        model: SemiMoE,
        step: int,
        names: Sequence[str],
        hear: Callable[[str, NDArray[np.bool_]], None] = lambda name, found: None,
    ) -> ValidationReport | None:
        return validate(
            model, self.source, names, self.settings, step, check=self._check_stop, hear=hear
        )

    def _finish(
        self, base_score: ValidationReport | None, score: ValidationReport | None
    ) -> RoundReport:
        report = self._summary(
            validation=score,
            base_validation=base_score,
            weights=str(self.journal.weights),
            data_hash=data_hash(self.source),
        )
        info = describe(
            self.learner.model,
            step=report.steps,
            data_hash=report.data_hash,
            base=self.base.name if self.base else "",
            training=self.settings.model_dump(mode="json"),
        )
        self.journal.finish(self.learner.teacher(), info, report)
        return report

    def _summary(self, **values: Any) -> RoundReport:
        unfinished: dict[str, Any] = {
            "validation": None,
            "base_validation": None,
            "weights": "",
            "cancelled": False,
            "data_hash": "",
        }
        return RoundReport(
            steps=self.progress.step,
            seconds=self.journal.seconds,
            labelled=len(self.source.labelled),
            unlabelled=len(self.source.unlabelled),
            device=device_text(self.device),
            final_losses=self.learner.last_losses,
            taught=self.taught,
            **(unfinished | values),
        )


def _beginning(model: ModelSettings, base: Path | None) -> SemiMoE:
    if base is None:
        return SemiMoE(model)
    if model.awaits_encoder:
        return network_around(base, model)
    return with_classes(load_checkpoint(base)[0], model.classes)


def _check_crop(network: ModelSettings, settings: RoundSettings) -> None:
    if network.train_encoder and settings.labelled_batch == 1 and settings.crop_px < LARGE_PX:
        raise SettingsError(
            "A pretrained encoder that learns needs two crops in a step, or one of at least "
            f"{LARGE_PX} px, got one of {settings.crop_px} px. Set crop_px to {LARGE_PX}, or "
            "labelled_batch to 2."
        )


def _check_losses(numbers: StepNumbers, step: int) -> None:
    if not math.isfinite(numbers.total):
        raise SettingsError(
            f"The losses must be numbers, got {numbers.total} in step {step + 1}: the network has "
            "come apart, and the model in use stays. Begin a new round with a lower learning rate."
        )


def _check(source: PatchSource) -> None:
    if not source.labelled:
        raise SettingsError(
            "A round needs at least one labelled or curated tile, got none. Correct and accept a "
            "tile first."
        )
