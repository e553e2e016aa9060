"""Which engine does the work: this computer's own processes, or another machine's."""

from __future__ import annotations

from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.engine import LaneEngine, ProcessEngine


def make_engine(cluster: ClusterSettings) -> LaneEngine:
    """Return the engine for elsewhere if a scheduler is set, else the one for here.

    Raises
    ------
    JobError
        If a scheduler is set and the extra library for it is not installed.
    """
    if not cluster.scheduler:
        return ProcessEngine()
    from napari_semimoe.jobs.dask_engine import DaskEngine

    return DaskEngine(cluster)
