"""``Registry.publish_in_background``: the weights as they were, one at a time, and no failure goes unheard."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.errors import NoRoomError, RegistryError
from raynas.space import Architecture
from raynas.storage import Storage
from raynas.weights import Layout, LocalStore, Registry
from raynas.weights.local_store import LocalUpload

Choose = Callable[..., Architecture]


class GatedStore(LocalStore):
    """A store that waits at its door until it is opened, and may be full or broken then."""

    def __init__(self) -> None:
        super().__init__(name="net")
        self.door = threading.Event()
        self.door.set()
        self.error: BaseException | None = None

    def begin(self, layout: Layout, *, share: bool = False, num_bytes: int = 0) -> LocalUpload:
        assert self.door.wait(60)
        if self.error is not None:
            raise self.error
        return super().begin(layout, share=share, num_bytes=num_bytes)


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def registry(store: GatedStore) -> Registry:
    return Registry("net", store)


def zero(model: nn.Module) -> None:
    for tensor in model.state_dict().values():
        tensor.zero_()


@pytest.mark.parametrize("changed", [None, ["outer"], {"outer": [0]}])
def test_the_weights_are_those_at_the_time_of_the_call(
    supernet: nn.Module, store: GatedStore, registry: Registry, choose: Choose, changed: list[str] | dict[str, list[int]] | None
) -> None:
    zero(supernet)
    registry.publish(supernet)
    with torch.no_grad():
        supernet.stem.bias += 1
        supernet.outer.candidates[0][0].weight += 1
    expected = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    store.door.clear()
    future = registry.publish_in_background(supernet, changed=changed)
    zero(supernet)  # training goes on
    assert (registry.versions(), future.done()) == ([1], False)
    store.door.set()
    assert future.result(60) == 2
    for name, tensor in registry.fetch(choose(supernet, outer=0), version=2).items():
        assert torch.equal(tensor, expected[name]), name


def test_one_at_a_time_and_in_order(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    zero(supernet)
    futures: list[Future[int]] = []
    for _ in range(5):
        futures.append(registry.publish_in_background(supernet))
        assert all(future.done() for future in futures[:-1])
        with torch.no_grad():
            supernet.stem.bias += 1
    assert registry.publish(supernet) == 6
    assert [future.result() for future in futures] == [1, 2, 3, 4, 5]
    for version in registry.versions():
        tensors = registry.fetch(choose(supernet, outer=2), version=version)
        assert torch.equal(tensors["stem.bias"], torch.full((4,), version - 1.0))


@pytest.mark.parametrize(
    "after",
    [
        lambda registry, model: registry.flush(),
        lambda registry, model: registry.publish(model),
        lambda registry, model: registry.publish_in_background(model),
        lambda registry, model: registry.close(),
    ],
    ids=["flush", "publish", "publish_in_background", "close"],
)
@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (NoRoomError("it is full"), NoRoomError, "^it is full$"),
        (OSError("disk on fire"), RegistryError, "publishing in the background failed: disk on fire"),
    ],
)
def test_what_went_wrong_is_raised_by_the_future_and_by_what_comes_next(
    supernet: nn.Module,
    store: GatedStore,
    registry: Registry,
    after: Callable[[Registry, nn.Module], object],
    error: Exception,
    expected: type[Exception],
    message: str,
) -> None:
    store.error = error
    future = registry.publish_in_background(supernet)
    assert future.exception(60) is error
    store.error = None
    with pytest.raises(expected, match=message):
        after(registry, supernet)
    registry.flush()  # once said, it is over
    assert (registry.versions(), registry.publish(supernet)) == ([], 1)


def test_what_went_wrong_does_not_keep_a_registry_open(supernet: nn.Module, store: GatedStore, registry: Registry) -> None:
    registry.publish(supernet)
    store.error = NoRoomError("it is full")
    registry.publish_in_background(supernet)
    with pytest.raises(NoRoomError):
        registry.close()
    assert (store.versions(), store.stats().num_bytes) == ([], 0)


def test_what_cannot_be_published_is_refused_at_the_call(registry: Registry, supernet: nn.Module) -> None:
    supernet.register_buffer("mask", torch.eye(2).to_sparse())
    with pytest.raises(RegistryError, match="'mask' is quantised or sparse"):
        registry.publish_in_background(supernet)
    registry.flush()


def test_flush_waits_until_it_is_mirrored(supernet: nn.Module, tmp_path: Path) -> None:
    registry = Registry("net", LocalStore(Storage(tmp_path)))
    future = registry.publish_in_background(supernet)
    registry.flush()
    assert future.done()
    assert Registry("net", LocalStore(Storage(tmp_path))).versions() == [1]


def test_it_cannot_be_cancelled_and_leaves_no_thread(supernet: nn.Module, store: GatedStore, registry: Registry) -> None:
    before = threading.active_count()
    store.door.clear()
    future = registry.publish_in_background(supernet)
    assert (future.cancel(), threading.active_count()) == (False, before + 1)
    (thread,) = (each for each in threading.enumerate() if each.name == "raynas-publish")
    store.door.set()
    assert future.result(60) == 1
    thread.join(60)
    assert threading.active_count() == before


def test_fetching_goes_on_meanwhile(supernet: nn.Module, registry: Registry, store: GatedStore, choose: Choose) -> None:
    registry.publish(supernet)
    before = supernet.stem.bias.detach().clone()
    zero(supernet)
    store.door.clear()
    future = registry.publish_in_background(supernet)
    assert torch.equal(registry.fetch(choose(supernet, outer=2))["stem.bias"], before)
    store.door.set()
    future.result(60)
    assert not registry.fetch(choose(supernet, outer=2))["stem.bias"].any()
