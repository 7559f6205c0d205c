"""The plain modules that stand in a frozen model for more than one candidate's call."""

import pytest
import torch
from torch import nn

from raynas.nn.frozen import SelectedLayer, SelectInputs, fixed_mask


def test_inputs_are_picked_from_lists_and_mappings() -> None:
    x = {name: torch.full((2,), value) for name, value in (("c", 3.0), ("a", 1.0), ("b", 2.0))}
    select = SelectInputs(["a", "b", "c"], (0, 2), reduction="mean", return_mask=False)
    assert select(x).tolist() == select([x["a"], x["b"], x["c"]]).tolist() == [2, 2]


def test_no_input_is_none() -> None:
    output, mask = SelectInputs(["a", "b"], (), reduction="sum", return_mask=True)([1, 2])
    assert (output, mask.tolist()) == (None, [False, False])


@pytest.mark.parametrize(("as_list", "return_mask"), [(True, False), (False, True), (True, True)])
def test_a_layer_comes_with_what_its_choice_added(as_list: bool, return_mask: bool) -> None:
    output = SelectedLayer(nn.ReLU(), 1, 3, as_list=as_list, return_mask=return_mask)(torch.tensor([-1.0, 1.0]))
    if return_mask:
        output, mask = output
        assert mask.tolist() == [False, True, False]
    tensor = output[0] if as_list else output
    assert tensor.tolist() == [0, 1]


def test_a_mask_is_true_at_the_indices() -> None:
    mask = fixed_mask(4, (0, 3))
    assert (mask.dtype, mask.tolist()) == (torch.bool, [True, False, False, True])
