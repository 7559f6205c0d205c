"""``Registry``: versions, what a fetch holds, and that nobody writes to what all share."""

import copy
import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.nn import LayerChoice, Repeat
from raynas.space import Architecture
from raynas.storage import Storage
from raynas.weights import KEEP, LocalStore, Registry

Choose = Callable[..., Architecture]


# --- versions -------------------------------------------------------------------------------------------------------


def test_versions_count_up_and_the_newest_stay(supernet: nn.Module, registry: Registry) -> None:
    assert [registry.publish(supernet) for _ in range(KEEP + 1)] == [1, 2, 3, 4]
    assert (registry.versions(), registry.newest(), KEEP) == ([2, 3, 4], 4, 3)
    registry.delete(3)
    assert (registry.versions(), registry.newest()) == ([2, 4], 4)


def test_each_version_keeps_its_weights(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    chosen = choose(supernet, outer=0)
    before = supernet.stem.weight.detach().clone()
    registry.publish(supernet)
    with torch.no_grad():
        supernet.stem.weight += 1
    registry.publish(supernet)
    assert torch.equal(registry.fetch(chosen, version=1)["stem.weight"], before)
    assert torch.equal(registry.fetch(chosen)["stem.weight"], before + 1)


def test_versions_that_are_not_there_are_listed(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    chosen = choose(supernet, outer=2)
    for ask in (registry.newest, lambda: registry.fetch(chosen)):
        with pytest.raises(UnknownVersionError, match=r"'net' holds no weights; publish some first"):
            ask()
    registry.publish(supernet)
    registry.publish(supernet)
    for ask in (lambda: registry.fetch(chosen, version=9), lambda: registry.delete(9), lambda: registry.lease(9)):
        with pytest.raises(UnknownVersionError, match=r"version 9 .* it has \[1, 2\]"):
            ask()


def test_versions_count_on_after_what_is_mirrored(supernet: nn.Module, tmp_path: Path, choose: Choose) -> None:
    first = Registry("net", LocalStore(Storage(tmp_path)))
    assert [first.publish(supernet), first.publish(supernet)] == [1, 2]
    first.close()
    assert first.versions() == []
    second = Registry("net", LocalStore(Storage(tmp_path)))
    assert (second.versions(), second.publish(supernet)) == ([1, 2], 3)
    for version in second.versions():
        for name, tensor in second.fetch(choose(supernet, outer=0), version=version).items():
            assert torch.equal(tensor, supernet.state_dict()[name])


def test_what_it_holds_is_told(supernet: nn.Module, tmp_path: Path) -> None:
    registry = Registry("net", LocalStore(Storage(tmp_path)))
    assert (registry.stats().num_bytes, registry.stats().mirrored) == (0, None)
    registry.publish(supernet)
    registry.publish(supernet)
    registry.flush()
    stats = registry.stats()
    assert (stats.num_versions, stats.num_blocks, stats.stored, stats.reused, stats.mirrored) == (2, 3, 5, 5, 2)
    assert stats.num_bytes == sum(-(-tensor.nbytes // 64) * 64 for tensor in supernet.state_dict().values()) - 64  # tied


# --- which model it is ----------------------------------------------------------------------------------------------


def test_another_model_under_the_name_is_refused(supernet: nn.Module, registry: Registry) -> None:
    registry.publish(supernet)
    other = copy.deepcopy(supernet)
    other.stem.bias = None
    other.extra = nn.Linear(1, 1, bias=False)
    message = (
        r"holds another model, publish under another name: 'extra\.weight' is float32 \[1, 1\], expected missing; "
        r"'stem\.bias' is missing, expected float32 \[4\]$"
    )
    for publish in (registry.publish, lambda model: registry.publish_in_background(model).result()):
        with pytest.raises(RegistryError, match=message):
            publish(other)
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
    with pytest.raises(RegistryError, match=r"publish under another name: '0\.candidates\.0\.(0\.)?weight' is "):
        registry.publish(nn.Sequential(LayerChoice([layer], key="op")))


class OtherRunsStore(LocalStore):
    """A store whose versions were published by another run."""

    def begin(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        self._table.owner = "runs/other"
        return super().begin(*arguments, **options)  # type: ignore[arg-type]


def test_the_registry_of_another_run_is_refused_unless_it_is_shared(supernet: nn.Module, choose: Choose) -> None:
    store = OtherRunsStore(name="net")
    with pytest.raises(RegistryError, match=r"'net' belongs to runs/other; publish .* or open it with share=True"):
        Registry("net", store).publish(supernet)
    registry = Registry("net", store, share=True)
    assert registry.publish(supernet) == 1
    chosen = choose(supernet, outer=2)
    given = {"stem.bias": torch.zeros(4)}
    assert registry.update(chosen, given, 1) == 2
    with pytest.raises(RegistryError, match="'net' belongs to runs/other"):
        Registry("net", store).update(chosen, given, 2)
    assert torch.equal(Registry("net", store).fetch(chosen)["stem.bias"], given["stem.bias"])  # all may read


# --- what a fetch holds ---------------------------------------------------------------------------------------------


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
    supernet: nn.Module, registry: Registry, choose: Choose, choices: dict[str, int], inside: list[str]
) -> None:
    registry.publish(supernet)
    tensors = registry.fetch(choose(supernet, **choices))
    state = supernet.state_dict()
    assert tensors.keys() == {name for name in state if name.startswith(("stem.", "head.", *inside))}
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())


def test_a_fetch_brings_the_blocks_up_to_the_depth(registry: Registry, choose: Choose) -> None:
    net = nn.Sequential(Repeat(lambda index: nn.Linear(2, 2), depth=(1, 3), key="depth"), nn.Linear(2, 2))
    registry.publish(net)
    for depth in (1, 2, 3):
        tensors = registry.fetch(choose(net, depth=depth - 1))
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
    elastic: nn.Module, registry: Registry, choose: Choose, choices: dict[str, int], blocks: list[int]
) -> None:
    registry.publish(elastic)
    tensors = registry.fetch(choose(elastic, width=0, **choices))
    assert {name.rpartition(".")[0] for name in tensors if name.startswith("repeat")} == {
        f"repeat.blocks.{number}.candidates.0" for number in blocks
    }
    assert {name for name in elastic.state_dict() if not name.startswith("repeat")} <= set(tensors)
    assert all(torch.equal(tensor, elastic.state_dict()[name]) for name, tensor in tensors.items())  # whole, not sliced


def test_a_fetch_leaves_blocks_that_share_a_key_and_lie_beyond_the_depth(registry: Registry, choose: Choose) -> None:
    net = nn.Sequential(Repeat(lambda index: LayerChoice([nn.Linear(2, 2), nn.Tanh()], key="op"), depth=(1, 3), key="depth"))
    registry.publish(net)
    for depth in (1, 2, 3):
        names = registry.fetch(choose(net, depth=depth - 1, op=0))
        assert {name.split(".")[2] for name in names} == {str(block) for block in range(depth)}


def test_every_kind_of_tensor_is_published_and_fetched(every_kind: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(every_kind)
    tensors = registry.fetch(choose(every_kind, op=1))
    for name, tensor in every_kind.state_dict().items():
        bits = [each.contiguous().view(-1).view(torch.uint8).tolist() for each in (tensors[name], tensor)]
        assert (tensors[name].shape, tensors[name].dtype, bits[0]) == (tensor.shape, tensor.dtype, bits[1]), name


# --- whose memory it is ---------------------------------------------------------------------------------------------


def test_parameters_share_the_stores_memory_and_buffers_are_private(
    supernet: nn.Module, registry: Registry, choose: Choose
) -> None:
    registry.publish(supernet)
    chosen = choose(supernet, outer=0)
    buffers = {name for name, _ in supernet.named_buffers()}
    one, other, copied = registry.fetch(chosen), registry.fetch(chosen), registry.fetch(chosen, copy=True)
    for name in one:
        assert (one[name].data_ptr() == other[name].data_ptr()) == (name not in buffers), name
        assert copied[name].data_ptr() not in (one[name].data_ptr(), other[name].data_ptr())
    assert {name for name in one if name in buffers} == {
        f"outer.candidates.0.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_versions_share_the_blocks_that_did_not_change(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    registry.publish(supernet)
    with torch.no_grad():
        supernet.stem.bias += 1
    registry.publish(supernet)
    one, other = (registry.fetch(choose(supernet, outer=0), version=version) for version in (1, 2))
    for name, shared in (("stem.weight", False), ("outer.candidates.0.0.weight", True)):
        assert (one[name].data_ptr() == other[name].data_ptr()) == shared


def test_what_was_fetched_outlives_the_registry(supernet: nn.Module, choose: Choose) -> None:
    registry = Registry("net", LocalStore())
    registry.publish(supernet)
    tensors = registry.fetch(choose(supernet, outer=2))
    registry.close()
    del registry
    gc.collect()
    assert torch.equal(tensors["stem.weight"], supernet.stem.weight)


def test_a_model_that_was_published_is_not_kept(registry: Registry) -> None:
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2)], key="op"))
    watch = weakref.ref(net)
    registry.publish(net)
    registry.publish_in_background(net).result()
    registry.flush()
    del net
    gc.collect()
    assert watch() is None
