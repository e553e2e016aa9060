from __future__ import annotations

import os
import socket
import sys

import pytest

from .ports import network_sockets


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_listening_socket_is_seen_and_a_pair_inside_the_process_is_not():
    left, right = socket.socketpair()
    before = network_sockets(os.getpid())
    with left, right, socket.create_server(("127.0.0.1", 0)):
        assert len(network_sockets(os.getpid())) == len(before) + 1
