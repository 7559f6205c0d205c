import os
import signal
import threading
from collections.abc import Iterator

import pytest

from raynas.runtime.cluster.interrupts import Interrupts


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """As in a shell: whoever starts the tests in the background has them ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Swallows:
    """What goes out of a finaliser is swallowed, as in a callback of compiled code."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(10_000))  # the handler runs somewhere in here


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_swallowed_interrupt_is_raised_at_the_next_check() -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        Swallows()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_raised_where_it_arrives() -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_stays() -> None:
    seen: list[int] = []

    def own(number: int, _: object) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, own)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            interrupts.check()
        assert (seen, signal.getsignal(signal.SIGINT)) == ([signal.SIGINT], own)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_it_alone() -> None:
    found = []

    def enter() -> None:
        with Interrupts():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
