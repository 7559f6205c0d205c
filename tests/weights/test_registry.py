"""``Registry``: versions, what a fetch holds, and that nobody writes to what all share."""

import copy
import gc
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from raynas.errors import ArchitectureError, RegistryError, UnknownVersionError
from raynas.nn import LayerChoice, Repeat, freeze, generate_search_space
from raynas.oneshot import recalibrate
from raynas.space import Architecture
from raynas.weights import Block, LocalStore, Registry, Shard, digest_block

CPU = torch.device("cpu")


class CountingStore(LocalStore):
    """Remembers how many blocks each version brought."""

    def __init__(self) -> None:
        super().__init__()
        self.brought: list[int] = []

    def commit(self, shards: list[Shard], blocks: dict[str, Block], *, version: int | None = None) -> int:
        self.brought.append(len(blocks))
        return super().commit(shards, blocks, version=version)


def architecture(model: nn.Module, **choices: int) -> Architecture:
    return generate_search_space(model).validate({key: {"_idx": index} for key, index in choices.items()})


def whole_store(store: LocalStore) -> dict[str, str]:
    return {digest: digest_block(block) for digest, block in store._blocks.items()}


def test_only_what_changed_is_stored_again(supernet: nn.Module) -> None:
    store = CountingStore()
    registry = Registry("net", store)
    assert registry.publish(supernet) == 1
    with torch.no_grad():
        supernet.outer.candidates[1][1].bias += 1
    assert registry.publish(supernet) == 2
    assert registry.publish(supernet) == 3
    assert store.brought == [5, 1, 0]
    assert (registry.versions(), registry.newest()) == ([1, 2, 3], 3)


def test_each_version_keeps_its_weights(supernet: nn.Module, registry: Registry) -> None:
    chosen = architecture(supernet, outer=0)
    before = supernet.stem.weight.detach().clone()
    registry.publish(supernet)
    with torch.no_grad():
        supernet.stem.weight += 1
    registry.publish(supernet)
    assert torch.equal(registry.fetch(chosen, version=1)["stem.weight"], before)
    assert torch.equal(registry.fetch(chosen)["stem.weight"], before + 1)


@pytest.mark.parametrize(
    ("choices", "inside"),
    [
        ({"outer": 0}, ["outer.candidates.0."]),
        ({"outer": 1, "inner": 0}, ["outer.candidates.1.0.candidates.0.", "outer.candidates.1.1."]),
        ({"outer": 1, "inner": 1}, ["outer.candidates.1.0.candidates.1.", "outer.candidates.1.1."]),
        ({"outer": 2}, []),
    ],
)
def test_a_fetch_has_exactly_the_path_and_what_all_share(
    supernet: nn.Module, registry: Registry, choices: dict[str, int], inside: list[str]
) -> None:
    registry.publish(supernet)
    tensors = registry.fetch(architecture(supernet, **choices))
    state = supernet.state_dict()
    assert tensors.keys() == {name for name in state if name.startswith(("stem.", "head.", *inside))}
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())


def test_parameters_share_the_stores_memory_and_buffers_are_private(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    chosen = architecture(supernet, outer=0)
    buffers = {name for name, _ in supernet.named_buffers()}
    one, other, copied = registry.fetch(chosen), registry.fetch(chosen), registry.fetch(chosen, copy=True)
    for name in one:
        assert (one[name].data_ptr() == other[name].data_ptr()) == (name not in buffers), name
        assert copied[name].data_ptr() not in (one[name].data_ptr(), other[name].data_ptr())
    assert {name for name in one if name in buffers} == {
        f"outer.candidates.0.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_what_was_fetched_outlives_the_registry(supernet: nn.Module) -> None:
    registry = Registry("net", LocalStore())
    registry.publish(supernet)
    tensors = registry.fetch(architecture(supernet, outer=2))
    registry.close()
    del registry
    gc.collect()
    assert torch.equal(tensors["stem.weight"], supernet.stem.weight)


def test_a_frozen_model_computes_the_same_without_copying(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    skeleton = type(supernet)()
    before = {name: tensor.clone() for name, tensor in skeleton.state_dict().items()}
    x = torch.randn(6, 4)
    for chosen in generate_search_space(supernet).enumerate():
        plain = registry.frozen(skeleton, chosen.to_dict()).eval()
        assert torch.equal(plain(x), freeze(supernet, chosen).eval()(x))
        assert not any(parameter.requires_grad for parameter in plain.parameters())
        shared = {tensor.data_ptr() for tensor in registry.fetch(chosen).values()}
        assert {parameter.data_ptr() for parameter in plain.parameters()} <= shared
    assert all(torch.equal(tensor, before[name]) for name, tensor in skeleton.state_dict().items())


def test_running_and_recalibrating_a_frozen_model_leaves_the_store_alone(supernet: nn.Module) -> None:
    store = LocalStore()
    registry = Registry("net", store)
    registry.publish(supernet)
    expected = {digest: digest for digest in whole_store(store)}
    data = TensorDataset(torch.randn(32, 4) * 3 + 1, torch.zeros(32))
    rng = Random(0)
    for _ in range(8):
        plain = registry.frozen(supernet, generate_search_space(supernet).sample(rng))
        plain.train()(data.tensors[0])
        recalibrate(plain, data, device=CPU, num_samples=32)
        plain.eval()(data.tensors[0])
    assert whole_store(store) == expected


def test_another_model_under_the_name_is_refused(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    other = copy.deepcopy(supernet)
    other.stem.bias = None
    other.extra = nn.Linear(1, 1, bias=False)
    message = r"'net' holds another model: 2 tensors differ, the first is 'extra\.weight'.*publish under another name"
    with pytest.raises(RegistryError, match=message):
        registry.publish(other)
    assert registry.versions() == [1]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(2, 2, bias=False, dtype=torch.float64),
        nn.Linear(2, 3, bias=False),
        nn.Sequential(nn.Linear(2, 2, bias=False)),
    ],
    ids=["dtype", "shape", "name"],
)
def test_one_tensor_that_differs_is_enough(registry: Registry, layer: nn.Module) -> None:
    registry.publish(nn.Sequential(LayerChoice([nn.Linear(2, 2, bias=False)], key="op")))
    with pytest.raises(RegistryError, match=r"the first is '0\.candidates\.0\.(0\.)?weight'"):
        registry.publish(nn.Sequential(LayerChoice([layer], key="op")))


def test_versions_that_are_not_there_are_listed(supernet: nn.Module, registry: Registry) -> None:
    chosen = architecture(supernet, outer=2)
    with pytest.raises(UnknownVersionError, match=r"'net' holds no weights; publish some first"):
        registry.fetch(chosen)
    registry.publish(supernet)
    registry.publish(supernet)
    with pytest.raises(UnknownVersionError, match=r"version 9 .* it has \[1, 2\]"):
        registry.fetch(chosen, version=9)


def test_an_architecture_of_another_space_is_refused(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    with pytest.raises(ArchitectureError, match="'outer' is missing"):
        registry.frozen(supernet, {})


def test_every_kind_of_tensor_is_published_and_fetched(every_kind: nn.Module, registry: Registry) -> None:
    registry.publish(every_kind)
    tensors = registry.fetch(architecture(every_kind, op=1))
    for name, tensor in every_kind.state_dict().items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0, equal_nan=True)


def test_versions_count_on_after_what_is_on_disk(supernet: nn.Module, tmp_path: Path) -> None:
    registry = Registry("net", LocalStore(), tmp_path)
    assert [registry.publish(supernet), registry.publish(supernet)] == [1, 2]
    registry.close()
    assert registry.publish(supernet) == 3
    assert Registry("net", LocalStore(), tmp_path).newest() == 3


def test_a_fetch_brings_the_blocks_up_to_the_depth(registry: Registry) -> None:
    net = nn.Sequential(Repeat(lambda index: nn.Linear(2, 2), depth=(1, 3), key="depth"), nn.Linear(2, 2))
    registry.publish(net)
    for depth in (1, 2, 3):
        tensors = registry.fetch(architecture(net, depth=depth - 1))
        layers = [*(f"0.blocks.{number}" for number in range(depth)), "1"]
        assert set(tensors) == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}


@pytest.mark.parametrize(
    ("choices", "blocks"),
    [
        ({"depth": 0}, []),
        ({"depth": 1, "op0": 0}, [0]),
        ({"depth": 1, "op0": 1}, []),
        ({"depth": 2, "op0": 0, "op1": 0}, [0, 1]),
        ({"depth": 2, "op0": 1, "op1": 0}, [1]),
    ],
)
def test_a_fetch_brings_what_is_chosen_inside_the_blocks(
    elastic: nn.Module, registry: Registry, choices: dict[str, int], blocks: list[int]
) -> None:
    registry.publish(elastic)
    tensors = registry.fetch(architecture(elastic, width=0, **choices))
    assert {name.rpartition(".")[0] for name in tensors if name.startswith("repeat")} == {
        f"repeat.blocks.{number}.candidates.0" for number in blocks
    }
    assert {name for name in elastic.state_dict() if not name.startswith("repeat")} <= set(tensors)
    assert all(torch.equal(tensor, elastic.state_dict()[name]) for name, tensor in tensors.items())  # whole, not sliced


def test_only_the_blocks_that_changed_are_stored_again(elastic: nn.Module) -> None:
    store = CountingStore()
    registry = Registry("net", store)
    registry.publish(elastic)
    with torch.no_grad():
        elastic.repeat.blocks[1]["linear"].bias += 1
    registry.publish(elastic)
    assert store.brought == [3, 1]


def test_slices_of_the_store_compute_what_freeze_does(elastic: nn.Module) -> None:
    store = LocalStore()
    registry = Registry("net", store)
    registry.publish(elastic)
    skeleton = type(elastic)()
    before = {name: tensor.clone() for name, tensor in skeleton.state_dict().items()}
    digests = {digest: digest for digest in whole_store(store)}
    x = torch.randn(6, 4)
    for chosen in generate_search_space(elastic).enumerate():
        plain, reference = registry.frozen(skeleton, chosen).eval(), freeze(elastic, chosen).eval()
        assert repr(plain) == repr(reference)
        assert torch.equal(plain(x), reference(x))
        assert not any(parameter.requires_grad for parameter in plain.parameters())
        shared = {tensor.data_ptr() for tensor in registry.fetch(chosen).values()}
        copied = [name for name, each in plain.named_parameters() if each.data_ptr() not in shared]
        sliced = chosen["width"]["_idx"] == 0
        assert copied == (["attention.in_proj_weight", "attention.in_proj_bias"] if sliced else [])  # joined in thirds
        plain.train()(x)  # the statistics are its own
        assert not torch.equal(plain.stem[1].running_mean, reference.stem[1].running_mean)
    assert whole_store(store) == digests
    assert all(torch.equal(tensor, before[name]) for name, tensor in skeleton.state_dict().items())


def test_recalibrating_slices_leaves_the_store_and_others_alone(elastic: nn.Module) -> None:
    store = LocalStore()
    registry = Registry("net", store)
    registry.publish(elastic)
    digests = {digest: digest for digest in whole_store(store)}
    chosen = architecture(elastic, width=0, depth=0)
    data = TensorDataset(torch.randn(32, 4) * 3 + 1, torch.zeros(32))
    one, other = registry.frozen(elastic, chosen), registry.frozen(elastic, chosen)
    recalibrate(one, data, device=CPU, num_samples=32)
    assert one.stem[1].running_mean.shape == (2,)
    assert not torch.equal(one.stem[1].running_mean, other.stem[1].running_mean)
    assert torch.equal(other.stem[1].running_mean, elastic.stem[1].running_mean[:2])
    assert whole_store(store) == digests


def test_a_fetch_leaves_blocks_that_share_a_key_and_lie_beyond_the_depth(registry: Registry) -> None:
    net = nn.Sequential(Repeat(lambda index: LayerChoice([nn.Linear(2, 2), nn.Tanh()], key="op"), depth=(1, 3), key="depth"))
    registry.publish(net)
    for depth in (1, 2, 3):
        names = registry.fetch(architecture(net, depth=depth - 1, op=0))
        assert {name.split(".")[2] for name in names} == {str(block) for block in range(depth)}
