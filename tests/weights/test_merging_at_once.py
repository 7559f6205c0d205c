"""Updates while others publish: whoever is quicker, none of them is lost."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raynas.space import Architecture
from raynas.weights import Layout, LocalStore, Registry
from raynas.weights.local_store import LocalUpload

Choose = Callable[..., Architecture]
BLOCK = "outer.candidates.0.0.weight"  # of the architecture outer=0


def add(base: Tensor, current: Tensor, given: Tensor) -> Tensor:
    """Nothing that anybody has added is lost."""
    return current + given - base


def trained(registry: Registry, architecture: Architecture, version: int | None = None) -> dict[str, Tensor]:
    """The tensors of an architecture, with one added to each."""
    return {name: each + 1 for name, each in registry.fetch(architecture, version=version, copy=True).items()}


class BusyStore(LocalStore):
    """A store in which others do something whenever an update has looked up the newest version."""

    others: Callable[[], object] | None = None

    def begin(self, layout: Layout, *, share: bool = False, num_bytes: int = 0) -> LocalUpload:
        others, self.others = self.others, None
        if others is not None:
            others()
        return super().begin(layout, share=share, num_bytes=num_bytes)


@pytest.mark.parametrize("num_others", [1, 10], ids=["newer", "dropped"])
def test_an_update_is_merged_with_what_came_in_between(supernet: nn.Module, num_others: int, choose: Choose) -> None:
    path = choose(supernet, outer=0)
    store = BusyStore()
    registry = Registry("net", store)
    registry.publish(supernet)
    before, given = registry.fetch(path, copy=True), trained(registry, path)

    def others() -> None:
        for _ in range(num_others):
            registry.update(path, trained(registry, path), registry.newest())

    with registry.lease(1):
        registry.update(path, trained(registry, path), 1)  # the newest, which nobody keeps
        store.others = others
        assert registry.update(path, given, 1, merge=add) == num_others + 3
    assert torch.allclose(registry.fetch(path)[BLOCK], before[BLOCK] + num_others + 2)
    assert registry.stats().clashes == 2


def test_no_update_of_many_threads_is_lost(supernet: nn.Module, registry: Registry, choose: Choose) -> None:
    with torch.no_grad():
        for tensor in supernet.state_dict().values():
            tensor.zero_()  # small integers add up without rounding
    registry.publish(supernet)
    paths = [
        choose(supernet, outer=0),
        choose(supernet, outer=0),
        choose(supernet, outer=1, inner=0),
        choose(supernet, outer=1, inner=1),
    ]
    num_rounds, barrier, errors = 10, threading.Barrier(len(paths)), list[Exception]()

    def train(path: Architecture) -> None:
        try:
            for _ in range(num_rounds):
                barrier.wait(60)  # all begin with one version
                with registry.lease() as version:
                    given = trained(registry, path, version)
                    barrier.wait(60)
                    registry.update(path, given, version, merge=add)
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=train, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert registry.newest() == 1 + 4 * num_rounds
    found = [registry.fetch(path) for path in paths]
    times = {"stem.bias": 4, BLOCK: 2, "outer.candidates.0.1.num_batches_tracked": 2, "outer.candidates.1.1.bias": 2}
    times |= {f"outer.candidates.1.0.candidates.{name}": 1 for name in ("0.0.weight", "1.bias")}
    for name, number in times.items():
        tensor = next(each[name] for each in found if name in each)
        assert torch.equal(tensor, torch.full_like(tensor, number * num_rounds)), name
    # Of those who change a shard in a round, all but the first clash: outside, and in the two candidates of outer.
    assert registry.stats().clashes == (3 + 1 + 1) * num_rounds
