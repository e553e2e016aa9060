"""A round that goes on after its window has closed.

Closing pauses the round, and a keeper goes on with it, to the same numbers: a process of its own
with the same session and no window. A window that opens the project asks the keeper to hand it
over, and goes on with the round itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.states import RoundState
from napari_semimoe.project.project import Project

if TYPE_CHECKING:
    from napari_semimoe.session.session import Session

#: Held in the project by its keeper; the system lets go of it when that dies.
_LOCK = "keeper.lock"
#: Its presence asks the keeper to hand the project over.
_HAND_OVER = "keeper-hand-over"
#: Project setting: the round that goes on without a window.
_KEPT = "kept_round"
_TICK_SECONDS = 0.1
#: A keeper notices within a tick and saves within seconds.
_PATIENCE_SECONDS = 30.0


def start_keeper(project: Path, number: int, environment: Mapping[str, str]) -> None:
    """Let a new process that outlives this one go on with a paused round.

    Parameters
    ----------
    project
        Folder of a project that is closed.
    environment
        Variables that tell the keeper where its work is done.
    """
    command = [sys.executable, "-P", "-X", "utf8", "-m", "napari_semimoe.cli"]
    log = project / "logs" / "keeper.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            [*command, "keep", str(project.resolve()), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | dict(environment),
            **_alone(),
        )
    # hears its end, if this process lives so long: nothing stays of it then
    with contextlib.suppress(RuntimeError):  # Python itself is ending and begins no thread
        threading.Thread(target=keeper.wait, name="semimoe-keeper", daemon=True).start()


def note_kept(project: Project, number: int | None) -> None:
    """Write down which round goes on without a window; None: none."""
    project.set_setting(_KEPT, number)


def take_back(project: Path) -> None:
    """Ask the keeper of a project, if it has one, to hand it over, and wait until it did.

    A keeper that does not answer keeps the project's lock, and opening says so.
    """
    lock = FileLock(project / _LOCK, timeout=0)
    end = time.monotonic() + _PATIENCE_SECONDS
    while (project / _LOCK).exists() and time.monotonic() < end:
        try:
            with lock:
                return
        except Timeout:
            (project / _HAND_OVER).touch()
            time.sleep(_TICK_SECONDS)
        except OSError:
            return  # the folder cannot be written, which opening says better


def go_on_with_kept(session: Session) -> None:
    """Go on in this session with the round that went on without a window, if it has not ended.

    It goes on again when this session closes the project: the wish holds until it is taken back.
    A round that died meanwhile is told and waits: it would most likely die again.
    """
    project = session.project
    assert project is not None, "called when it was opened"
    number = project.setting(_KEPT, None)
    if number is None:
        return
    note_kept(project, None)
    record = project.round(number)
    if record.state is not RoundState.INTERRUPTED:
        return
    if record.note:
        session.failed.emit(record.note)
        return
    session.round_goes_on = True
    session.resume_round(number)


def keep(session: Session, folder: Path, number: int) -> bool:
    """Go on with a round until it has ended or a window asks for the project.

    Returns
    -------
    bool
        Whether the round has ended. False where the project was handed over.

    Raises
    ------
    ProjectLockedError
        If a window was faster and has the project already.
    JobError
        If the round died; it can be resumed.
    """
    with FileLock(folder / _LOCK, timeout=_PATIENCE_SECONDS):
        (folder / _HAND_OVER).unlink(missing_ok=True)
        try:
            return _keep(session, folder, number)
        finally:
            session.close()
            with contextlib.suppress(OSError):
                (folder / _HAND_OVER).unlink(missing_ok=True)


def _keep(session: Session, folder: Path, number: int) -> bool:
    project = session.open(folder)
    session.resume_round(number)
    asked = False
    while session.running_round is not None:
        if not asked and (folder / _HAND_OVER).exists():
            asked = True
            session.pause_round()
        session.engine.wait(_TICK_SECONDS)
        session.process()
    record = project.round(number)
    if record.state is not RoundState.INTERRUPTED:
        note_kept(project, None)
        return True
    if not asked:
        raise JobError(record.note or f"Round {number} was interrupted. It can be resumed.")
    return False


def _alone() -> dict[str, Any]:
    """Return what frees a process from the terminal and the window that start it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
