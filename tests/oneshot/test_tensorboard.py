"""Figures as TensorBoard events, read back from the files."""

import struct
import threading
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

from raynas.oneshot.tensorboard import tensorboard_log


def read_figures(folder: Path) -> list[tuple[int, str, float]]:
    """Of all event files: each record is its length (8 bytes), a checksum (4), an event, a checksum (4)."""
    found = []
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return found


def test_figures_are_in_the_files_and_nothing_is_left_running(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with tensorboard_log(tmp_path / "events" / "supernet") as log:
        log(20, 100, {"loss": 1.5, "learning_rate": 0.25})
        log(40, 100, {"loss": 0.5})
    assert read_figures(tmp_path / "events" / "supernet") == [(20, "loss", 1.5), (20, "learning_rate", 0.25), (40, "loss", 0.5)]
    for thread in set(threading.enumerate()) - before:  # the writer's queue needs a moment to end
        thread.join(5)
        assert not thread.is_alive()
