"""``TrainOptions``: a number out of its range is named."""

from typing import Any

import pytest

from raynas.errors import OptionError
from raynas.oneshot import TrainOptions


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected an integer of at least 1"),
        ({"epochs": 1.5}, "epochs is 1.5; expected an integer"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"log_every": True}, "log_every is True"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
        ({"publish_every": -1}, "publish_every is -1"),
        ({"steps_per_epoch": "3"}, "steps_per_epoch is '3'"),
        ({"clip_norm": 0}, "clip_norm is 0; expected a number above 0, or None"),
        ({"clip_norm": float("nan")}, "clip_norm is nan"),
        ({"checkpoint_minutes": -1}, "checkpoint_minutes is -1"),
        ({"precision": "fp8"}, "precision 'fp8' does not exist; expected one of float32, bf16, fp16"),
        ({"ema": 1}, "ema is 1; expected a number between 0 and 1"),
        ({"hang_timeout": 0}, "hang_timeout is 0; expected seconds above 0"),
        ({"patience": 3}, "patience counts validations; give validate_every too"),
    ],
)
def test_what_is_out_of_range_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainOptions(**changed)
