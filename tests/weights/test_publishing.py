"""From a model to a version: what is looked at, what is stored, and what is said of it."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from raynas.errors import RegistryError, UploadLostError
from raynas.nn import LayerChoice, Repeat
from raynas.space import Architecture
from raynas.weights import Block, Layout, LocalStore, Registry
from raynas.weights.local_store import LocalUpload
from raynas.weights.publishing import Publisher

Choose = Callable[..., Architecture]


class CountingUpload(LocalUpload):
    def add(self, blocks: Mapping[str, Block]) -> None:
        assert isinstance(self._store, CountingStore)
        self._store.brought[-1] += len(blocks)
        super().add(blocks)


class CountingStore(LocalStore):
    """Counts the blocks that each version brought."""

    def __init__(self) -> None:
        super().__init__(name="net")
        self.brought: list[int] = []

    def begin(self, layout: Layout, *, share: bool = False, num_bytes: int = 0) -> LocalUpload:
        upload = super().begin(layout, share=share, num_bytes=num_bytes)
        self.brought.append(0)
        return CountingUpload(self, upload._name, upload.known, upload.newest)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def publisher(store: CountingStore) -> Publisher:
    return Publisher(store, "net", share=False)


def publish(publisher: Publisher, model: nn.Module, changed: Any = None) -> int:
    publication = publisher.prepare(model, changed)
    return publisher.send(publication, publication.waves())


# --- what is stored -------------------------------------------------------------------------------------------------


def test_only_packs_that_changed_are_stored_again(supernet: nn.Module, store: CountingStore, publisher: Publisher) -> None:
    for tensor in (None, supernet.outer.candidates[1][1].bias, None, supernet.stem.weight):
        if tensor is not None:
            with torch.no_grad():
                tensor += 1
        publish(publisher, supernet)
    assert store.brought == [3, 1, 0, 1]
    stats = store.stats()
    assert (stats.stored, stats.reused) == (5 + 2 + 0 + 1, 0 + 3 + 5 + 4)  # shards: the packs have 1, 2 and 2 of them


def test_blocks_inside_blocks_are_stored_by_the_choice_that_they_hang_on(
    elastic: nn.Module, store: CountingStore, publisher: Publisher
) -> None:
    publish(publisher, elastic)
    with torch.no_grad():
        elastic.repeat.blocks[1]["linear"].bias += 1
    publish(publisher, elastic)
    assert store.brought == [3, 1]


def test_equal_packs_of_one_version_are_brought_once(store: CountingStore, publisher: Publisher) -> None:
    net = nn.Sequential(*(LayerChoice([nn.BatchNorm1d(4)], key=key) for key in "abc"))
    publish(publisher, net)
    assert store.brought == [1]


def test_a_version_may_be_the_same_as_the_one_before(supernet: nn.Module, publisher: Publisher, store: CountingStore) -> None:
    assert [publish(publisher, supernet) for _ in range(2)] == [1, 2]
    assert store.manifest(1).blocks == store.manifest(2).blocks


def test_copied_blocks_are_as_at_the_time_of_the_copy(supernet: nn.Module, publisher: Publisher, store: CountingStore) -> None:
    publication = publisher.prepare(supernet, None)
    expected = [block.tobytes() for wave in publication.waves() for _, block in wave]
    copied = publication.copied_waves()
    with torch.no_grad():
        for tensor in supernet.state_dict().values():
            tensor.zero_()
    publisher.send(publication, copied)
    assert [block.tobytes() for block in store.read(store.manifest(), [0, 1, 2])] == expected
    assert publication.num_bytes == sum(len(each) for each in expected)


# --- what is looked at ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        (None, {"", "outer", "inner"}),
        ([], {""}),
        (["outer"], {"", "outer", "inner"}),
        (["inner"], {"", "inner"}),
        ("inner", {"", "inner"}),
        (iter(["inner"]), {"", "inner"}),
        (["nothing of that name"], {""}),
        ({}, {""}),
        ({"outer": [0]}, {"", "outer"}),
        ({"outer": (1,)}, {"", "outer", "inner"}),
        ({"outer": [2]}, {""}),
        ({"inner": [0]}, {"", "inner"}),
        ({"outer": {1}, "inner": iter([1])}, {"", "outer", "inner"}),
        ({"outer": [0], "inner": [1]}, {"", "outer"}),
        ({"outer": [1], "inner": []}, {"", "outer"}),
    ],
)
def test_only_what_is_named_is_looked_at(
    supernet: nn.Module, publisher: Publisher, changed: Iterable[str] | Mapping[str, Iterable[int]] | None, keys: set[str]
) -> None:
    assert publisher.is_first()
    first = publisher.prepare(supernet, ["inner"])
    with pytest.raises(UploadLostError, match="publish all of the weights"):
        publisher.send(first, first.waves())
    assert publisher.prepare(supernet, ["inner"]).numbers == (0, 1, 2)
    publish(publisher, supernet)
    assert not publisher.is_first()
    publication = publisher.prepare(supernet, changed)
    packs = [publication.layout.packs[number] for number in publication.numbers]
    assert {shard.owner[-1][0] if shard.owner else "" for pack in packs for shard in pack.shards} == keys
    assert publication.num_bytes == sum(pack.num_bytes for pack in packs)


def test_a_path_names_what_it_has_trained(elastic: nn.Module, publisher: Publisher, choose: Choose) -> None:
    publish(publisher, elastic)
    for choices, keys in (
        ({"depth": 0}, set()),
        ({"depth": 1, "op0": 0}, {"op0"}),
        ({"depth": 2, "op0": 1, "op1": 0}, {"op1"}),
    ):
        publication = publisher.prepare(elastic, choose(elastic, width=0, **choices).indices)
        shards = [shard for number in publication.numbers for shard in publication.layout.packs[number].shards]
        assert {shard.owner[-1][0] for shard in shards if shard.owner} == keys


def test_blocks_beyond_the_depth_are_not_looked_at(publisher: Publisher) -> None:
    net = nn.Sequential(Repeat(lambda index: nn.Linear(600, 600), depth=(1, 3), key="depth"))
    publish(publisher, net)
    assert [len(publisher.prepare(net, {"depth": [index]}).numbers) for index in range(3)] == [1, 2, 3]


def test_what_changed_elsewhere_is_published_with_the_next_of_all(supernet: nn.Module, choose: Choose) -> None:
    registry = Registry("net", LocalStore())
    registry.publish(supernet)
    inside, outside = "outer.candidates.1.0.candidates.1.bias", "outer.candidates.0.0.weight"
    state = supernet.state_dict()
    before = {name: state[name].clone() for name in (inside, outside)}
    for name in (inside, outside, "stem.bias"):
        state[name].add_(1)

    def found(version: int) -> list[bool]:
        one = registry.fetch(choose(supernet, outer=1, inner=1), version=version)
        other = registry.fetch(choose(supernet, outer=0), version=version)
        assert torch.equal(one["stem.bias"], state["stem.bias"])  # outside all choices
        return [torch.equal({**one, **other}[name], state[name]) for name in (inside, outside)]

    assert found(registry.publish(supernet, changed=["inner"])) == [True, False]
    assert torch.equal(registry.fetch(choose(supernet, outer=0))[outside], before[outside])
    assert found(registry.publish(supernet, changed={"inner": [1]})) == [True, False]
    assert found(registry.publish(supernet)) == [True, True]


# --- which model it is ----------------------------------------------------------------------------------------------


def test_a_model_whose_tensors_are_replaced_is_looked_at_anew(supernet: nn.Module, publisher: Publisher) -> None:
    layouts = [publisher.prepare(supernet, None).layout for _ in range(2)]
    assert layouts[0] is layouts[1]
    publish(publisher, supernet)
    supernet.stem.bias = nn.Parameter(supernet.stem.bias.detach().clone())
    assert publisher.prepare(supernet, None).layout == layouts[0]
    publish(publisher, supernet)
    supernet.head.weight = nn.Parameter(supernet.head.weight.detach().clone())
    with pytest.raises(RegistryError, match=r"'net' holds another model, .*: the tensors are the same, but .* tied in another"):
        publish(publisher, supernet)
    supernet.head = nn.Linear(4, 5)
    with pytest.raises(RegistryError, match=r"'head\.bias' is float32 \[5\], expected float32 \[4\]; 'head\.weight' is"):
        publish(publisher, supernet)


def test_another_copy_of_the_model_goes_on_with_it(supernet: nn.Module, store: CountingStore, publisher: Publisher) -> None:
    publish(publisher, supernet)
    publish(publisher, copy.deepcopy(supernet))
    publish(Publisher(store, "net", share=False), copy.deepcopy(supernet))
    assert store.brought == [3, 0, 0]


def with_mask(mask: torch.Tensor) -> nn.Module:
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2)], key="op"))
    net.register_buffer("mask", mask)
    return net


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # deprecated, but still there
@pytest.mark.parametrize(
    "make",
    [lambda: torch.eye(3).to_sparse(), lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)],
    ids=["sparse", "quantised"],
)
def test_what_cannot_be_stored_is_refused_by_name(publisher: Publisher, make: Callable[[], torch.Tensor]) -> None:
    with pytest.raises(RegistryError, match="tensor 'mask' is quantised or sparse"):
        publish(publisher, with_mask(make()))


# --- NaN ------------------------------------------------------------------------------------------------------------


def test_nan_is_published_and_said_once(supernet: nn.Module, choose: Choose, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry("net", LocalStore())
    with caplog.at_level(logging.WARNING, "raynas"):
        registry.publish(supernet)
        assert caplog.messages == []
        with torch.no_grad():
            supernet.stem.bias[1] = float("nan")
            supernet.outer.candidates[0][0].weight[0, 0] = float("nan")
        for _ in range(3):
            registry.publish(supernet)
            with torch.no_grad():
                supernet.stem.bias[0] += 1
    assert caplog.messages == ["weights published to 'net' hold NaN, in 'stem.bias' first"]
    assert registry.fetch(choose(supernet, outer=0))["stem.bias"].isnan().tolist() == [False, True, False, False]
