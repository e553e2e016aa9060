"""Small closed vocabularies: where a tile stands, how a job or a round ended."""

from __future__ import annotations

from enum import StrEnum


class Pool(StrEnum):
    """Where a tile belongs. A tile is in exactly one pool.

    Only ``LABELLED`` and ``CURATED`` tiles teach with their mask; ``UNLABELLED`` tiles teach
    through pseudo-labels; ``VALIDATION`` and ``EXCLUDED`` tiles never teach.
    """

    UNLABELLED = "unlabelled"
    LABELLED = "labelled"
    CURATED = "curated"
    VALIDATION = "validation"
    EXCLUDED = "excluded"

    @property
    def teaches_with_mask(self) -> bool:
        """Whether masks of this pool enter the supervised loss."""
        return self in (Pool.LABELLED, Pool.CURATED)


class JobState(StrEnum):
    """Life of one background job."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended and will not change state again."""
        return self not in (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)


class RoundState(StrEnum):
    """Life of one training round in the project."""

    RUNNING = "running"
    PROMOTED = "promoted"  # finished, its model serves predictions
    KEPT_BESIDE = "kept beside"  # finished, but the previous model stayed in charge
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process died; can be resumed
