"""Lets nobody in any more, and turns away nobody who is in.

Whoever closes a listening socket resets the connections that came in since it was last asked for
them. So first the kernel is told to drop what opens a connection; then those that came are taken;
then it is closed. A client that came too late tries again a second later, and finds nobody: it was
refused, and never sent its request.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress

_ATTACH_FILTER = 26  # SO_ATTACH_FILTER, <asm-generic/socket.h>

# Classic BPF, <linux/bpf_common.h>; what it reads begins with the header of TCP.
_DROP_WHAT_OPENS = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # of which SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone:
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep
)


def let_nobody_in(listener: socket.socket) -> None:
    """From now on no connection is opened to ``listener``, in whatever process it is open.

    Elsewhere than on Linux nothing is done, and who comes in the last instant is reset.
    """
    if sys.platform != "linux":
        return
    steps = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *step) for step in _DROP_WHAT_OPENS)
    )
    program = struct.pack("HP", len(_DROP_WHAT_OPENS), ctypes.addressof(steps))
    with suppress(OSError):  # a sandbox that knows no filters
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
