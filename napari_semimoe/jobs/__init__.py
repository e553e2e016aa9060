"""Background work, here or on another machine, behind one small protocol."""

from napari_semimoe.jobs.choice import make_engine
from napari_semimoe.jobs.engine import ProcessEngine
from napari_semimoe.jobs.protocol import Engine, JobKind, JobReport, JobStatus

__all__ = ["Engine", "JobKind", "JobReport", "JobStatus", "ProcessEngine", "make_engine"]
