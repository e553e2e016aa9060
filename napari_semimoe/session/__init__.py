"""What a person can do, without a window and without torch."""

from napari_semimoe.session.plan import RoundPlan
from napari_semimoe.session.session import Session

__all__ = ["RoundPlan", "Session"]
