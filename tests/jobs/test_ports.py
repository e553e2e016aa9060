from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from .ports import answers_plainly, family, network_sockets, ports_of_all_interfaces

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_listening_socket_is_seen_and_a_pair_inside_the_process_is_not():
    left, right = socket.socketpair()
    before = network_sockets(os.getpid())
    with left, right, socket.create_server(("127.0.0.1", 0)):
        assert len(network_sockets(os.getpid())) == len(before) + 1


def test_only_a_port_for_other_machines_is_found_to_be_one():
    before = ports_of_all_interfaces(os.getpid())
    with (
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("", 0)) as everywhere,
    ):
        found = set(ports_of_all_interfaces(os.getpid())) - set(before)
        assert found == {everywhere.getsockname()[1]}


def test_port_without_encryption_is_found_to_answer():
    def serve(server):
        line, _ = server.accept()
        with line:
            line.recv(1000)
            line.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    with socket.create_server(("", 0)) as server:
        answering = threading.Thread(target=serve, args=[server])
        answering.start()
        assert answers_plainly(server.getsockname()[1])
        answering.join()


def test_no_part_of_a_cluster_answers_another_machine_without_a_certificate(cluster):
    ports = {
        port
        for pid in (cluster.scheduler_pid, cluster.worker_pid)
        for member in family(pid)
        for port in ports_of_all_interfaces(member)
    }
    assert ports, "the worker listens for the scheduler"
    assert [port for port in sorted(ports) if answers_plainly(port)] == []
