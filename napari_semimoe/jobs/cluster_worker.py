"""``semimoe worker``: this machine does the jobs that come from a scheduler."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.cluster import (
    CONNECT_SECONDS,
    RESOURCES,
    require_distributed,
    security,
    silence,
    unreachable,
)
from napari_semimoe.jobs.far_job import FOLDER_VARIABLE

if TYPE_CHECKING:
    from distributed import Nanny

#: Seconds between tries to find a scheduler again that went away.
_RETRY_SECONDS = 2.0

_CONFIG = {
    # dask would set MALLOC_TRIM_THRESHOLD_, which makes torch 1.6 times slower on the
    # processor, and one thread for all, which is ours to decide
    "distributed.nanny.pre-spawn-environ": {},
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
    # a worker's web server has no certificate and cannot be left out: it has no pages
    "distributed.worker.http.routes": [],
}


def serve(cluster: ClusterSettings, folder: Path, tell: Callable[[str], None]) -> None:
    """Do jobs until interrupted; a scheduler that goes away is waited for.

    Parameters
    ----------
    folder
        Working folder of this machine; need not be seen by any other.
    tell
        Hears a sentence whenever something changes.

    Raises
    ------
    JobError
        If the library is missing, or the scheduler does not let this machine in at first.
    """
    require_distributed()
    import dask

    silence()  # imports distributed, whose own configuration must not come after ours
    folder.mkdir(parents=True, exist_ok=True)
    with dask.config.set(_CONFIG):
        asyncio.run(_serve(cluster, folder, tell))


async def _serve(cluster: ClusterSettings, folder: Path, tell: Callable[[str], None]) -> None:
    served = False
    while True:
        try:
            await _serve_once(cluster, folder, tell)
            served = True
        except (OSError, RuntimeError) as error:  # distributed wraps the reason in the latter
            if not served:
                raise unreachable(cluster, error.__cause__ or error) from error
        if served:
            tell(f"The connection to {cluster.scheduler} was lost. Trying again.")
        await asyncio.sleep(_RETRY_SECONDS)


async def _serve_once(cluster: ClusterSettings, folder: Path, tell: Callable[[str], None]) -> None:
    """Serve with one process per lane until the scheduler is gone."""
    nannies = [_nanny(cluster, folder, lane) for lane in RESOURCES]
    try:
        await asyncio.gather(*nannies)
        tell(f"Ready for the jobs of {cluster.scheduler}. Working folder: {folder}")
        ends = [asyncio.ensure_future(nanny.finished()) for nanny in nannies]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await asyncio.gather(*(nanny.close() for nanny in nannies), return_exceptions=True)


def _nanny(cluster: ClusterSettings, folder: Path, lane: str) -> Nanny:
    """Return the keeper of one process, which starts it anew when it dies."""
    from distributed import Nanny

    return Nanny(
        cluster.scheduler,
        name=f"{socket.gethostname()}-{os.getpid()}-{lane}",
        nthreads=1,
        memory_limit=0,
        resources={RESOURCES[lane]: 1},
        security=security(cluster),
        local_directory=str(folder),
        env={FOLDER_VARIABLE: str(folder)},
        dashboard=False,
        dashboard_address="127.0.0.1:0",  # of the web server that starts nevertheless
        silence_logs=logging.ERROR,
    )
