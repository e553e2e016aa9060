"""Which engine does the work: this computer's own processes, or another machine's."""

from __future__ import annotations

from collections.abc import Mapping

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import ClusterSettings
from napari_semimoe.jobs.engine import LaneEngine, ProcessEngine

#: Environment variables that send the work of a command to another machine, by setting.
CLUSTER_VARIABLES = {
    "scheduler": "SEMIMOE_SCHEDULER",
    "tls_ca": "SEMIMOE_TLS_CA",
    "tls_cert": "SEMIMOE_TLS_CERT",
    "tls_key": "SEMIMOE_TLS_KEY",
}


def cluster_settings(environment: Mapping[str, str]) -> ClusterSettings:
    """Return the other machine that the environment names, if it names one."""
    given = {key: environment.get(name, "") for key, name in CLUSTER_VARIABLES.items()}
    try:
        return ClusterSettings.parse(given)
    except SettingsError as error:
        raise error.renamed(CLUSTER_VARIABLES) from error


def cluster_environment(cluster: ClusterSettings) -> dict[str, str]:
    """Return the variables that name a machine, for a command to be started."""
    return {name: getattr(cluster, key) for key, name in CLUSTER_VARIABLES.items()}


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
