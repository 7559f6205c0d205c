"""``Expectation``: a plain model of what a weight registry must hold, whatever was done to it."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor, nn

from raynas.errors import RegistryError
from raynas.nn import generate_search_space, state_owners
from raynas.space import Architecture
from raynas.weights import Lease, Registry

State = dict[str, Tensor]


class Expectation:
    """Does something to a registry, and knows what that must have come to.

    Args:
        registry: an empty one.
        net: the model whose weights are published.
        keep: how many versions the registry keeps.

    Attributes:
        registry: what is watched.
    """

    def __init__(self, registry: Registry, net: nn.Module, *, keep: int) -> None:
        self.registry = registry
        self._net, self._keep = net, keep
        self._space, self._owners = generate_search_space(net), state_owners(net)
        self._versions: dict[int, State] = {}
        self._leases: list[Lease] = []
        self._newest = 0
        self._from_before: set[int] = set()  # versions that were there at a restart, and may stay for leases of before

    def restarted(self, registry: Registry) -> None:
        """Whatever holds the registry has died and come back."""
        self.registry = registry
        self._from_before |= set(self._versions)

    def play(self, command: str, rng: Random) -> None:
        """One command with random arguments; where it makes no sense yet, nothing."""
        if command == "publish":
            self._change(rng, list(self._owners))
            self._published(self.registry.publish(self._net), self._state())
        elif self._versions:
            getattr(self, f"_{command.replace(' ', '_')}")(rng)

    def check(self) -> None:
        """The registry has the versions that it must have, each of them whole."""
        found = self.registry.versions()
        assert found == sorted(found)
        assert set(self._versions) <= set(found) <= set(self._versions) | self._from_before
        if self._versions:
            assert self.registry.newest() == max(self._versions)
            self._fetch(Random(0))

    def release_all(self) -> None:
        """No version is in use any more."""
        while self._leases:
            self._leases.pop().close()
            self._drop()

    def _publish_changed(self, rng: Random) -> None:
        """Weights change everywhere, but only one key is said to have: the others are as in the newest version."""
        key = rng.choice(["inner", "outer"])
        self._change(rng, list(self._owners))
        expected = dict(self._versions[max(self._versions)])
        for name, tensor in self._state().items():
            owner = self._owners[name]
            if not owner or any(each == key for each, _ in owner):
                expected[name] = tensor
        version = self.registry.publish(self._net, changed=[key])
        found = self._whole(version)
        packed_together = {name for name in expected if not torch.equal(found[name], expected[name])}
        for name in packed_together:  # what shares a block with it is published too, and what it lies inside of
            assert torch.equal(found[name], self._net.state_dict()[name]), name
        self._published(version, found)

    def _update(self, rng: Random) -> None:
        base, newest = rng.choice(sorted(self._versions)), max(self._versions)
        architecture = self._space.sample(rng)
        tensors = self.registry.fetch(architecture, version=base, copy=True)
        for tensor in tensors.values():
            tensor.add_(1)
        expected = {**self._versions[newest], **{name: tensor.clone() for name, tensor in tensors.items()}}
        self._published(self.registry.update(architecture, tensors, base), expected)

    def _fetch(self, rng: Random) -> None:
        version = rng.choice(sorted(self._versions))
        architecture = self._space.sample(rng)
        for name, tensor in self.registry.fetch(architecture, version=version).items():
            assert torch.equal(tensor, self._versions[version][name]), (version, name)

    def _lease(self, rng: Random) -> None:
        self._leases.append(self.registry.lease(rng.choice(sorted(self._versions))))

    def _release(self, rng: Random) -> None:
        if self._leases:
            self._leases.pop(rng.randrange(len(self._leases))).close()
            self._drop()

    def _delete(self, rng: Random) -> None:
        version = rng.choice(sorted(self._versions))
        try:
            self.registry.delete(version)
        except RegistryError:
            assert version in self._leased() or version == max(self._versions)
        else:
            assert version not in self._leased()
            assert version < max(self._versions)
            del self._versions[version]
            self._from_before.discard(version)

    def _published(self, version: int, state: State) -> None:
        assert version > self._newest
        self._newest = version
        self._versions[version] = state
        self._drop()

    def _drop(self) -> None:
        unused = [version for version in sorted(self._versions) if version not in self._leased()]
        for version in unused[: -self._keep]:
            del self._versions[version]

    def _leased(self) -> set[int]:
        return {lease.version for lease in self._leases}

    def _change(self, rng: Random, names: list[str]) -> None:
        state = self._net.state_dict()
        for name in rng.sample(names, 3):
            state[name].add_(1)

    def _state(self) -> State:
        return {name: tensor.clone() for name, tensor in self._net.state_dict().items()}

    def _whole(self, version: int) -> State:
        tensors: State = {}
        for architecture in self._space.enumerate():
            tensors |= self.registry.fetch(Architecture.from_dict(self._space, architecture), version=version, copy=True)
        return tensors
