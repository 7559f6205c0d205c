"""``Interrupts``: a Ctrl-C that does not get lost. Where Ray's compiled code calls back into Python, an exception is swallowed,
and so is the ``KeyboardInterrupt`` of a signal that arrives there.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """A context in which ``check`` raises the ``KeyboardInterrupt`` that was to be raised before. For a driver's loop.

    Outside the main thread, or where somebody else handles the signal, it does nothing.
    """

    def __init__(self) -> None:
        self._noted = self._installed = False

    def __enter__(self) -> Interrupts:
        is_ours = threading.current_thread() is threading.main_thread()
        if is_ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if Ctrl-C was pressed."""
        if self._noted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
        signal.default_int_handler(number, frame)
