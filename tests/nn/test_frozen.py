"""The plain modules that stand in a frozen model for more than one candidate's call."""

import pytest
import torch
from torch import nn

from raynas.nn.frozen import Constant, Repeated, SelectedLayer, SelectInputs, WiredCell, fixed_mask, set_mode


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


@pytest.mark.parametrize("value", [3, 0.5, "relu"])
def test_a_constant_is_called(value: object) -> None:
    constant = Constant(value)
    assert constant() == value
    assert repr(constant) == f"Constant({value!r})"
    assert not constant.state_dict()


def test_blocks_run_one_after_the_other_with_all_arguments() -> None:
    class Append(nn.Module):
        def forward(self, x: str, sign: str, *, times: int) -> str:
            return f"({x}{sign * times})"

    assert Repeated([Append(), Append()])("x", "+", times=2) == "((x++)++)"
    assert Repeated([])("x", "+", times=2) == "x"


def test_a_cell_adds_what_a_node_reads_and_joins_what_is_merged() -> None:
    double = nn.Linear(1, 1, bias=False)
    nn.init.constant_(double.weight, 2)
    cell = WiredCell([((0, 1), [nn.Identity(), double]), ((2,), [double])], merged=(2, 3))
    states = (torch.tensor([[1.0]]), torch.tensor([[10.0]]))
    assert cell(*states).tolist() == cell(list(states)).tolist() == [[21, 42]]
    assert "sources=((0, 1), (2,)), merged=(2, 3)" in repr(cell)


@pytest.mark.parametrize("training", [True, False])
def test_a_mode_is_set_for_what_is_of_this_file_and_leaves_the_rest(training: bool) -> None:
    inside = nn.Dropout().train(not training)
    plain = nn.Sequential(
        Repeated([inside]),
        WiredCell([((0,), [inside])], merged=(1,)),
        SelectedLayer(inside, 0, 1, as_list=True, return_mask=False),
        Constant(1),
        SelectInputs(["a"], (0,), reduction="sum", return_mask=False),
    ).train(not training)
    inside.train(not training)
    set_mode(plain, training)
    modes = {name: module.training for name, module in plain.named_modules() if module not in (plain, inside)}
    assert set(modes.values()) == {training}
    assert len(modes) == 5 + 3  # and their lists
    assert inside.training is not training
