"""Reaching a scheduler: the extra library, certificates, a client that stays to itself."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING, Any

from napari_semimoe.core.errors import JobError, UnreachableError
from napari_semimoe.core.settings import ClusterSettings

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

#: What a worker must offer to be given a lane's jobs: one process for each, as on one computer.
RESOURCES = {"predict": "semimoe-predict", "train": "semimoe-train"}
#: Seconds to wait for an answer of the scheduler.
CONNECT_SECONDS = 10.0


def require_distributed() -> None:
    """Refuse, in words, to go on without the extra library; it is not imported yet."""
    if not _is_installed("distributed"):
        raise JobError(
            "Working on another machine needs the library 'distributed', which is not installed. "
            'Install it with: pip install "napari-semimoe[cluster]"'
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # blocked from being imported
        return False


def security(cluster: ClusterSettings) -> Security:
    """Return the certificates for both directions; nothing goes unencrypted."""
    from distributed.security import Security

    mine = {"ca_file": cluster.tls_ca}
    for role in ("client", "worker", "scheduler"):
        mine |= {f"{role}_cert": cluster.tls_cert, f"{role}_key": cluster.tls_key}
    return Security(
        require_encryption=True, **{f"tls_{name}": value for name, value in mine.items()}
    )


def silence() -> None:
    """Let the library's own loggers be quiet about what we say in one sentence."""
    import distributed  # noqa: F401  # sets its loggers up

    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def connect(cluster: ClusterSettings) -> Client:
    """Return a client that is not the default one.

    The default one would compute the viewer's lazy layers on the busy trainer.
    """
    from distributed import Client

    silence()
    try:
        return Client(
            cluster.scheduler,
            security=security(cluster),
            set_as_default=False,
            timeout=CONNECT_SECONDS,
        )
    except OSError as error:
        raise unreachable(cluster, error) from error


def unreachable(cluster: ClusterSettings, error: BaseException) -> UnreachableError:
    """Return the sentence for a scheduler that does not let us in."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return UnreachableError(
        f"The scheduler {cluster.scheduler} does not answer, or one side refuses the other's "
        f"certificate ({reason}). Check that it runs, the address, and that all certificates "
        "are signed by the same authority."
    )


def serves(client: Client, lane: str) -> bool:
    """Whether any worker does the jobs of a lane."""
    workers: dict[str, Any] = client.scheduler_info()["workers"]
    return any(RESOURCES[lane] in worker["resources"] for worker in workers.values())
