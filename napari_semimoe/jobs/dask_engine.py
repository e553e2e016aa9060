"""The engine for elsewhere: the same jobs on other machines, without a shared folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.choice import cluster_environment
from napari_semimoe.jobs.cluster import require_distributed
from napari_semimoe.jobs.dask_child import DaskChild
from napari_semimoe.jobs.engine import LaneEngine
from napari_semimoe.jobs.lane import Lane


class DaskEngine(LaneEngine):
    """Jobs travel, with their data, to the workers of a dask scheduler, and results come back.

    The queue stays on this computer. A worker that dies interrupts its job, which is never
    repeated silently; a connection that is lost does so too, and the next job connects anew.

    Parameters
    ----------
    cluster
        The scheduler's address and the certificates.
    log_dir, **options
        See `LaneEngine`.

    Raises
    ------
    JobError
        If the extra library is not installed.
    """

    def __init__(
        self, cluster: ClusterSettings, log_dir: Path | None = None, **options: Any
    ) -> None:
        require_distributed()
        super().__init__(log_dir, **options)
        self.cluster = cluster
        self.environment = cluster_environment(cluster)

    def _start_child(self, lane: Lane) -> DaskChild:
        return DaskChild(lane.name, self._tasks, self.cluster, lane)
