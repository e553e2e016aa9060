"""``semimoe worker``: predict and train for someone at another computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_cache_path

from napari_semimoe.cli.output import remark
from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.choice import CLUSTER_VARIABLES


def worker(
    scheduler: Annotated[
        str,
        typer.Option(
            "--scheduler",
            envvar=CLUSTER_VARIABLES["scheduler"],
            help="Address of the scheduler, such as tls://gpu:8786.",
            show_default=False,
        ),
    ],
    tls_ca: Annotated[
        Path,
        typer.Option(
            "--tls-ca",
            envvar=CLUSTER_VARIABLES["tls_ca"],
            help="The authority that signed all certificates.",
            show_default=False,
        ),
    ],
    tls_cert: Annotated[
        Path,
        typer.Option(
            "--tls-cert",
            envvar=CLUSTER_VARIABLES["tls_cert"],
            help="The certificate of this machine.",
            show_default=False,
        ),
    ],
    tls_key: Annotated[
        Path,
        typer.Option(
            "--tls-key",
            envvar=CLUSTER_VARIABLES["tls_key"],
            help="The private key of that certificate.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Working folder, of this machine only.  [a cache folder]"),
    ] = None,
) -> None:
    """Do the predictions and rounds of others on this machine, such as one with a GPU.

    Everything that a job needs travels with it. Two processes are kept, one for predictions and
    one for rounds; one that dies is started anew. Ctrl+C ends the worker.
    """
    from napari_semimoe.jobs.cluster_worker import serve

    values = {"tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
    cluster = ClusterSettings.parse(
        {"scheduler": scheduler} | {key: str(path) for key, path in values.items()}
    )
    usual = user_cache_path("napari-semimoe", appauthor=False) / "worker"
    serve(cluster, (folder or usual).resolve(), remark)
