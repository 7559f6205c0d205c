"""``CheckpointStore``: the whole checkpoints of one training, and whose turn it is to write them.

Each checkpoint has a folder of its own with ``whole.json``, written last, which lists its files with their sizes. So there is
no file whose damage could lose more than one checkpoint, and what was half written is told from what is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from raynas.errors import CheckpointError
from raynas.storage import Storage

WHOLE = "whole.json"
_TURN = "generation-"


@dataclass(frozen=True, order=True)
class _Entry:
    """A whole checkpoint; later ones are greater."""

    generation: int
    step: int

    @property
    def name(self) -> str:
        return f"{self.generation:06d}-{self.step:09d}"


class CheckpointStore:
    """A folder of checkpoints.

    Every start of a training, and every new start after a failure, begins a generation. From then on what an older one wants
    to commit is refused: its processes may outlive their driver, or sit on a machine that nobody can reach.

    Args:
        storage: the folder, made when it is needed; for several machines it has to be one that all of them see.
        num_to_keep: whole checkpoints, at least 2: the last but one stays until its successor is whole.
    """

    def __init__(self, storage: Storage, *, num_to_keep: int = 2) -> None:
        self.storage, self._num_to_keep = storage, num_to_keep

    def begin(self) -> int:
        """Begin a generation, and remove what is not whole.

        Returns:
            Its number, above all earlier ones.
        """
        generation = self._latest_generation() + 1
        while (mine := self.storage.claim(_turn(generation))) is None:
            generation += 1
        for turn in self.storage.names():
            if turn.startswith(_TURN) and turn < mine and not turn.startswith(_turn(generation)):
                self.storage.delete(turn)
        whole = {entry.name for entry in self._whole()}
        for name in self.storage.folders():
            if _entry(name) is not None and name not in whole:
                self.storage.delete_folder(name)
        return generation

    def newest(self) -> Storage | None:
        """The folder of the newest whole checkpoint."""
        newest = max(self._whole(), default=None)
        return self.storage.folder(newest.name) if newest is not None else None

    def folder_of(self, generation: int, step: int) -> Storage:
        """Where a generation writes the checkpoint of a step; no other generation writes there."""
        return self.storage.folder(_Entry(generation, step).name)

    def commit(self, generation: int, step: int, files: Mapping[str, int]) -> None:
        """Call a checkpoint whole, and remove those that are no longer needed.

        Args:
            generation: the one that wrote it.
            step: of training.
            files: names and sizes.

        Raises:
            CheckpointError: a later generation has begun.
            OSError: it cannot be written.
        """
        self.check_turn(generation)
        content = json.dumps({"step": step, "files": dict(files)}, indent=1).encode()
        self.folder_of(generation, step).write_durably(WHOLE, lambda file: file.write(content))
        for entry in sorted(self._whole())[: -self._num_to_keep]:
            self.storage.delete(f"{entry.name}/{WHOLE}")  # first: what is half removed is not whole
            self.storage.delete_folder(entry.name)

    def check_turn(self, generation: int) -> None:
        """Raises ``CheckpointError`` if a later generation has begun."""
        latest = self._latest_generation()
        if latest != generation:
            raise CheckpointError(
                f"a checkpoint of start {generation} is refused, since start {latest} of this training goes on in "
                f"{self.storage.shown}; end one of the two"
            )

    def drop(self, generation: int, step: int) -> None:
        """Remove what there is of a checkpoint that could not be written."""
        self.storage.delete_folder(_Entry(generation, step).name)

    def _latest_generation(self) -> int:
        turns = [name.removeprefix(_TURN).partition("-")[0] for name in self.storage.names() if name.startswith(_TURN)]
        return max((int(number) for number in turns if number.isdigit()), default=0)

    def _whole(self) -> Iterator[_Entry]:
        for name in self.storage.folders():
            entry = _entry(name)
            if entry is not None and self._is_whole(name):
                yield entry

    def _is_whole(self, name: str) -> bool:
        try:
            sizes = self.storage.sizes(name)
            files = json.loads(self.storage.read(f"{name}/{WHOLE}"))["files"]
            inside = all(PurePosixPath(file).name == file for file in files)
            return bool(files) and inside and all(sizes[file] == size for file, size in files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # whatever is wrong with it, it is not whole
            return False


def _entry(name: str) -> _Entry | None:
    """What a folder's name says of it; ``None`` for other folders."""
    generation, _, step = name.partition("-")
    return _Entry(int(generation), int(step)) if generation.isdigit() and step.isdigit() else None


def _turn(generation: int) -> str:
    return f"{_TURN}{generation:06d}-"
