"""``CheckpointStore``: the whole checkpoints of one training, and whose turn it is to write them.

Each checkpoint has a folder of its own with ``whole.json``, written last, which lists its files with their sizes. So there is
no file whose damage could lose more than one checkpoint, and what was half written is told from what is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raynas.errors import CheckpointError

WHOLE = "whole.json"
_TURN = "generation-"


@dataclass(frozen=True, order=True)
class _Entry:
    """A whole checkpoint; later ones are greater."""

    generation: int
    step: int
    folder: Path


class CheckpointStore:
    """A folder of checkpoints.

    Every start of a training, and every new start after a failure, begins a generation. From then on what an older one wants
    to commit is refused: its processes may outlive their driver, or sit on a machine that nobody can reach.

    Args:
        folder: made when it is needed; on several machines it has to be one that all of them see.
        num_to_keep: whole checkpoints, at least 2: the last but one stays until its successor is whole.
    """

    def __init__(self, folder: Path, *, num_to_keep: int = 2) -> None:
        self.folder, self._num_to_keep = folder, num_to_keep

    def begin(self) -> int:
        """Begin a generation, and remove what is not whole.

        Returns:
            Its number, above all earlier ones.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        generation = self._latest_generation() + 1
        while not self._claim(generation):
            generation += 1
        for turn in self.folder.glob(f"{_TURN}*"):
            if turn.name < _turn(generation):
                turn.unlink(missing_ok=True)
        whole = {entry.folder for entry in self._whole()}
        for folder in self.folder.glob("*-*/"):
            if folder not in whole:
                shutil.rmtree(folder, ignore_errors=True)
        return generation

    def newest(self) -> Path | None:
        """The newest whole checkpoint."""
        newest = max(self._whole(), default=None)
        return newest.folder if newest is not None else None

    def folder_of(self, generation: int, step: int) -> Path:
        """Where a generation writes the checkpoint of a step; no other generation writes there."""
        return self.folder / f"{generation:06d}-{step:09d}"

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
        folder = self.folder_of(generation, step)
        write_durably(json.dumps({"step": step, "files": dict(files)}, indent=1).encode(), folder / WHOLE)
        for entry in sorted(self._whole())[: -self._num_to_keep]:
            (entry.folder / WHOLE).unlink(missing_ok=True)  # first: what is half removed is not whole
            shutil.rmtree(entry.folder, ignore_errors=True)

    def check_turn(self, generation: int) -> None:
        """Raises ``CheckpointError`` if a later generation has begun."""
        latest = self._latest_generation()
        if latest != generation:
            raise CheckpointError(
                f"a checkpoint of start {generation} is refused, since start {latest} of this training goes on in "
                f"{self.folder}; end one of the two"
            )

    def drop(self, generation: int, step: int) -> None:
        """Remove what there is of a checkpoint that could not be written."""
        shutil.rmtree(self.folder_of(generation, step), ignore_errors=True)

    def _claim(self, generation: int) -> bool:
        try:
            (self.folder / _turn(generation)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _latest_generation(self) -> int:
        turns = [path.name.removeprefix(_TURN) for path in self.folder.glob(f"{_TURN}*")]
        return max((int(number) for number in turns if number.isdigit()), default=0)

    def _whole(self) -> Iterator[_Entry]:
        for folder in self.folder.glob("*-*/"):
            generation, _, step = folder.name.partition("-")
            if generation.isdigit() and step.isdigit() and _is_whole(folder):
                yield _Entry(int(generation), int(step), folder)


def write_durably(content: bytes, path: Path) -> None:
    """Write beside the file, have it on the disk, and rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _is_whole(folder: Path) -> bool:
    try:
        files = json.loads((folder / WHOLE).read_bytes())["files"]
        inside = all(Path(name).name == name for name in files)
        return bool(files) and inside and all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # whatever is wrong with it, it is not whole
        return False


def _turn(generation: int) -> str:
    return f"{_TURN}{generation:06d}"
