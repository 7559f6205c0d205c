"""Whether a checkpoint belongs to a training: the first difference is named."""

from typing import Any

import pytest

from raynas.errors import CheckpointError
from raynas.oneshot.checkpoints.fingerprint import check_fingerprint

FOUND: dict[str, Any] = {
    "trainer": "SposTrainer",
    "seed": 0,
    "tensors": {"a": [[2], "torch.float32"], "b": [[3], "torch.float32"]},
}


def test_what_is_the_same_passes() -> None:
    check_fingerprint(FOUND, {**FOUND, "tensors": dict(FOUND["tensors"])})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trainer": "DartsTrainer"}, "trainer was SposTrainer, is DartsTrainer now"),
        ({"seed": 1}, "seed was 0, is 1 now"),
        ({"tensors": {"a": [[2], "torch.float32"]}}, r"tensors 'b' was \[\[3\], 'torch.float32'\], is None now"),
        ({"tensors": {**FOUND["tensors"], "c": []}}, r"tensors 'c' was None, is \[\] now"),
        ({"more": 1}, "more was None, is 1 now"),
    ],
)
def test_the_first_difference_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_fingerprint(FOUND, {**FOUND, **changed})
