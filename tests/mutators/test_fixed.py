"""``FixedMutator`` and ``apply_fixed_architecture``: one architecture for good."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ArchitectureError, MutatorError
from raynas.mutators import FixedMutator, RandomMutator, apply_fixed_architecture
from raynas.nn import freeze, generate_search_space

ARCHITECTURE = {"op": {"_value": "c"}, "in": {"_idx": 1}, "other": {"_idx": 0}, "skip": {"_idx": [1, 2]}}
OTHER = {"op": {"_value": "a"}, "other": {"_idx": 1}, "skip": {"_idx": [0, 1]}}


@pytest.mark.parametrize("form", ["dict", "architecture", "path", "name of a path"])
def test_every_form_of_an_architecture_is_applied(net: nn.Module, x: Tensor, tmp_path: Path, form: str) -> None:
    architecture = generate_search_space(net).validate(ARCHITECTURE)
    path = tmp_path / "best.json"
    architecture.save(path)
    forms = {"dict": ARCHITECTURE, "architecture": architecture, "path": path, "name of a path": str(path)}
    assert apply_fixed_architecture(net, forms[form]) is net
    assert torch.equal(net(x), freeze(net, ARCHITECTURE)(x))
    assert len(net.op.candidates) == 3  # nothing is taken away


def test_it_returns_to_its_architecture(net: nn.Module, x: Tensor) -> None:
    mutator = FixedMutator(net, ARCHITECTURE)
    before = net(x)
    mutator.apply_architecture(OTHER)
    assert not torch.equal(net(x), before)
    assert mutator.export_architecture() == mutator.architecture
    assert mutator.sample_search().keys() == ARCHITECTURE.keys()
    mutator.reset()
    assert torch.equal(net(x), before)


def test_a_wrong_architecture_leaves_the_model_free(net: nn.Module) -> None:
    with pytest.raises(ArchitectureError, match="'op' is missing"):
        apply_fixed_architecture(net, {})
    apply_fixed_architecture(net, ARCHITECTURE)


def test_a_model_with_a_mutator_is_refused(net: nn.Module) -> None:
    RandomMutator(net)
    with pytest.raises(MutatorError, match="mutator already"):
        apply_fixed_architecture(net, ARCHITECTURE)
