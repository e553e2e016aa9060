"""``semimoe worker``: predict and train for someone at another computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from platformdirs import user_cache_path

from napari_semimoe.cli.output import remark, told_as
from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.choice import CLUSTER_VARIABLES


def _needed(key: str, words: str) -> Any:
    """Return a setting of the cluster as an option that its environment variable can give."""
    return typer.Option(_flag(key), envvar=CLUSTER_VARIABLES[key], help=words, show_default=False)


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def worker(
    scheduler: Annotated[
        str, _needed("scheduler", "Address of the scheduler, such as tls://gpu:8786.")
    ],
    tls_ca: Annotated[Path, _needed("tls_ca", "The authority that signed all certificates.")],
    tls_cert: Annotated[Path, _needed("tls_cert", "The certificate of this machine.")],
    tls_key: Annotated[Path, _needed("tls_key", "The private key of that certificate.")],
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Working folder, of this machine only.  [a cache folder]"),
    ] = None,
) -> None:
    """Do the predictions and rounds of others on this machine.

    It may be one with a GPU. Everything that a job needs travels with it. Two processes are kept,
    one for predictions and one for rounds; one that dies is started anew. Ctrl+C ends the worker.
    """
    from napari_semimoe.jobs.cluster_worker import serve

    values = {"tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
    with told_as({key: f"{_flag(key)} ({name})" for key, name in CLUSTER_VARIABLES.items()}):
        cluster = ClusterSettings.parse(
            {"scheduler": scheduler} | {key: str(path) for key, path in values.items()}
        )
    usual = user_cache_path("napari-semimoe", appauthor=False) / "worker"
    serve(cluster, (folder or usual).resolve(), remark)
