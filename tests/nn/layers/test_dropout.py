"""``Dropout`` beside ``torch.nn.Dropout``."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import Dropout, ValueChoice

Compare = Callable[..., None]


@pytest.mark.parametrize("p", [0, 0.25, 1.0])
def test_every_probability_is_torchs_layer_with_it(compare: Compare, p: float) -> None:
    layer = Dropout(ValueChoice([0, 0.25, 1.0], key="p"))
    compare(layer, {"p": p}, nn.Dropout(p), {}, torch.randn(50, 3).double())


def test_the_share_of_zeros_is_the_current_probability() -> None:
    layer = Dropout(1 - ValueChoice([0.9, 0.2], key="keep"))
    mutator = RandomMutator(layer)
    for keep in (0.9, 0.2):
        mutator.apply_architecture({"keep": keep})
        torch.manual_seed(0)
        output = layer(torch.ones(10_000))
        assert abs(float((output != 0).float().mean()) - keep) < 0.02
        assert output.max().item() == pytest.approx(1 / keep)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, "0.5", 2])
def test_what_is_no_probability_is_refused(wrong: object) -> None:
    with pytest.raises(ModelError, match=r"p can become .*expected a number from 0 to 1"):
        Dropout(ValueChoice([0.5, wrong], key="p"))


def test_a_probability_is_a_number() -> None:
    with pytest.raises(ModelError, match="p can become None"):
        Dropout(None)  # type: ignore[arg-type]
