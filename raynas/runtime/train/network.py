"""Which of a machine's networks workers speak through: the one by which Ray knows the machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
_ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR


def speak_through(address: str) -> None:
    """Have gloo take the network of this address, unless the user has said which.

    It would take what the host's name stands for, which on many machines is a loopback address that no other one can reach.
    """
    name = interface_of(address)
    if name is not None:
        os.environ.setdefault(GLOO_INTERFACE, name)


def interface_of(address: str) -> str | None:
    """The name of the network interface that has an IPv4 address; ``None`` if none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # one without an address
                answer = fcntl.ioctl(asked.fileno(), _ADDRESS_OF_INTERFACE, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None
