import os
import socket

import pytest

from raynas.runtime.train.network import GLOO_INTERFACE, interface_of, speak_through


def test_the_interface_of_an_address_is_found() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.7") is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("192.0.2.1", 9))  # nothing is sent: the kernel says from which address it would be
        own = asked.getsockname()[0]
    assert interface_of(own) in {name for _, name in socket.if_nameindex()}


def test_what_the_user_has_said_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO_INTERFACE, "eth7")
    speak_through("127.0.0.1")
    assert os.environ[GLOO_INTERFACE] == "eth7"
    monkeypatch.delenv(GLOO_INTERFACE)
    speak_through("203.0.113.7")
    assert GLOO_INTERFACE not in os.environ
    monkeypatch.setenv(GLOO_INTERFACE, "")
    monkeypatch.delenv(GLOO_INTERFACE)
    speak_through("127.0.0.1")
    assert os.environ.pop(GLOO_INTERFACE) == "lo"
