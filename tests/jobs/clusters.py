"""A real scheduler and worker in processes of their own, each in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from napari_semimoe.core.settings import ClusterSettings
from tests.patience import PATIENCE

REPO = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningCluster:
    """What a test needs to know of it."""

    settings: ClusterSettings
    folder: Path
    worker_folder: Path
    worker_pid: int
    scheduler_pid: int


def certificate(authority, folder, name):
    """Write a certificate and its key; return the settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = authority.issue_cert("127.0.0.1", common_name=name)
    paths = {part: folder / f"{name}.{part}" for part in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(str(paths["ca"]))
    made.cert_chain_pems[0].write_to_path(str(paths["cert"]))
    made.private_key_pem.write_to_path(str(paths["key"]))
    return {f"tls_{part}": str(path) for part, path in paths.items()}


@contextmanager
def running_cluster(folder):
    """Yield a scheduler with one worker, started as the documentation says."""
    authority = trustme.CA()
    server, worker, person = (
        certificate(authority, folder / name, name) for name in ("scheduler", "worker", "person")
    )
    with scheduler(folder / "scheduler", server) as (served, address):
        command = worker_command(address, worker, folder / "worker" / "work")
        with process(command, folder / "worker") as running:
            wait_for_line(running, folder / "worker" / "output.txt", "Ready")
            settings = ClusterSettings(scheduler=address, **person)
            work = folder / "worker" / "work"
            yield RunningCluster(settings, folder, work, running.pid, served.pid)


@contextmanager
def scheduler(folder, files, port=0, **environment):
    """Yield a running scheduler and its address; it never repeats a job that killed a worker."""
    told = folder / "address.json"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "dask", "scheduler", "--protocol", "tls"]
    command += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--scheduler-file", str(told)]
    command += ["--tls-ca-file", files["tls_ca"], "--tls-cert", files["tls_cert"]]
    command += ["--tls-key", files["tls_key"]]
    usual = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "[]",
    }
    with process(command, folder, **(usual | environment)) as running:
        wait_until(lambda: told.is_file() and told.read_text().strip().endswith("}"), running)
        yield running, json.loads(told.read_text())["address"]


def worker_command(address, files, work):
    """Return the command line of a worker."""
    command = [sys.executable, "-m", "napari_semimoe.cli", "worker", "--scheduler", address]
    command += ["--tls-ca", files["tls_ca"], "--tls-cert", files["tls_cert"]]
    return [*command, "--tls-key", files["tls_key"], "--folder", str(work)]


@contextmanager
def process(command, folder, **environment):
    """Yield a process with a working folder and a file for what it prints."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | environment | {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"}
    with (folder / "output.txt").open("wb") as output:
        running = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for_line(running, path, text):
    """Wait until a process has printed something."""
    wait_until(lambda: text in path.read_text(), running, path)


def wait_until(condition, running, output=None):
    """Wait until a condition holds while a process runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        told = output.read_text() if output else ""
        assert running.poll() is None, f"the process ended: {told}"
        assert time.monotonic() < end, f"not within {PATIENCE} s: {told}"
        time.sleep(0.05)
