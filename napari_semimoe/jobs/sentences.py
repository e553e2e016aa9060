"""One sentence for the person, and the whole story in a file."""

from __future__ import annotations

import signal
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_semimoe.core.errors import SemiMoEError, is_out_of_memory
from napari_semimoe.core.states import JobState

_WORK = {"predict": "The prediction", "files": "The prediction of files", "train": "The training"}
_LANES = {"predict": "prediction", "train": "training"}
_AFTER = {
    "train": "Everything accepted is safe; the round can be resumed.",
    "predict": "Everything accepted is safe; press Predict to try again.",
}
#: Bytes of a worker's own output that are copied into a failure log.
_TAIL = 8_000


def error_sentence(kind: str, error: BaseException) -> str:
    """Return what a person needs to know of an exception inside a job."""
    if isinstance(error, SemiMoEError):
        return str(error)
    work = _WORK.get(kind, "The job")
    if is_out_of_memory(error):
        return (
            f"{work} needs more memory than there is free. Close other programs, or choose "
            "smaller batches, smaller tiles or the processor as device in the settings."
        )
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{work} could not read or write: {error.strerror}{where}."
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{work} failed: {type(error).__name__}: {first.rstrip('.')}. The log has the details."


def failed_answer(kind: str, error: BaseException) -> dict[str, Any]:
    """Return what a job that raised says as its last: a sentence and the whole story."""
    return {
        "state": JobState.FAILED,
        "error": error_sentence(kind, error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def death_sentence(lane: str, code: int | None, *, spoke: bool) -> str:
    """Return what a person needs to know of a child process that ended by itself."""
    name = _LANES[lane]
    if not spoke and not was_killed(code):
        return (
            f"The {name} process could not start (exit code {code}). The log has the reason; "
            "check the installation with 'semimoe check'."
        )
    if was_killed(code):
        why = "was killed from outside, most often because the computer ran out of memory"
    elif code is not None and code < 0:
        why = f"crashed ({_signal_name(-code)})"
    else:
        why = f"ended unexpectedly (exit code {code})"
    return f"The {name} process {why}. {_AFTER[lane]}"


def ending_sentence(lane: str) -> str:
    """Return what a person needs to know of a child process that the system asked to end."""
    after = _AFTER[lane]
    return f"The {_LANES[lane]} process was asked to end by the system. {after}"


def far_death_sentence(lane: str, scheduler: str, *, lost: bool) -> str:
    """Return what a person needs to know when the machine that did a job is gone."""
    after = _AFTER[lane]
    if lost:
        return f"The connection to the scheduler {scheduler} was lost. {after}"
    return (
        f"The {_LANES[lane]} process on the other machine was killed from outside or "
        f"ended by itself, most often because that machine ran out of memory. {after}"
    )


def was_killed(code: int | None) -> bool:
    """Whether somebody else ended the process, which says nothing about the installation."""
    return code in (-getattr(signal, "SIGKILL", 9), -signal.SIGTERM)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def write_failure_log(
    folder: Path, kind: str, job_id: str, text: str, output: Path | None
) -> str | None:
    """Write a failed job's whole story to its own file; None when the disk refuses."""
    now = datetime.now().astimezone()
    path = folder / f"{now:%Y%m%d-%H%M%S}-{kind}-{job_id[:8]}.log"
    parts = [f"{now.isoformat(timespec='seconds')}  job {job_id} ({kind})", text.rstrip()]
    tail = _tail(output)
    if tail:
        parts.append(f"--- last output of the process ({output}) ---\n{tail}")
    try:
        folder.mkdir(exist_ok=True)  # not its parents: a project that is gone finds its place free
        # a file's name need not be text on Linux
        path.write_text("\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return str(path)


def _tail(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
