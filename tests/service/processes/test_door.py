"""Nobody is let in any more, and nobody who is in is turned away."""

from __future__ import annotations

import errno
import select
import socket
import sys

import pytest

from service.processes.door import let_nobody_in
from service.processes.parent import listen

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="filters of sockets are Linux's")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_came_before_is_served_and_who_comes_after_does_not_get_in(host: str) -> None:
    try:
        listener = listen(host, 0)
    except OSError:
        pytest.skip(f"no {host} here")
    with listener:
        address = listener.getsockname()[:2]
        early = socket.create_connection(address, timeout=5)
        let_nobody_in(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.5)
        taken, _ = listener.accept()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    early.sendall(b"question")
    assert taken.recv(100) == b"question"
    taken.sendall(b"answer")
    assert early.recv(100) == b"answer"
    early.close()
    taken.close()


def test_who_tries_while_it_is_closed_is_refused() -> None:
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    let_nobody_in(listener)
    with socket.socket() as late:
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(address)
        listener.close()
        _, ended, _ = select.select([], [late], [], 10)
        assert ended == [late]
        error = late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert error == errno.ECONNREFUSED
