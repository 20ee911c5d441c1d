"""Who is at the other end of the control socket, as the kernel tells (unix(7))."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from array import array
from dataclasses import dataclass
from typing import Final

_UCRED: Final = struct.Struct("3i")
SO_PEERGROUPS: Final = 59
"""Of asm-generic/socket.h; Python's socket module has no name for it."""
_GROUPS_BYTES: Final = 1024
"""256 groups: Python asks for no more."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process at the moment it connected: what it does with its identity later is no matter."""

    pid: int
    uid: int
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected. Raises OSError."""
    pid, uid, gid = _UCRED.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    groups = array("I")
    with contextlib.suppress(OSError):  # Linux before 4.13: the main group must do
        told = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_BYTES)
        groups.frombytes(told)
    return Peer(pid, uid, frozenset({gid, *groups}))


def may_control(peer: Peer) -> bool:
    """Tell whether a peer may: root, the daemon's own user, and members of its group."""
    return peer.uid in (0, os.geteuid()) or os.getegid() in peer.groups
