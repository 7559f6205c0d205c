"""``RegistryContract``: what every weight registry must do, wherever its bytes lie."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from torch import Tensor, nn

from raynas.errors import RegistryError, UnknownVersionError
from raynas.nn import LayerChoice, generate_search_space
from raynas.testing.registry_model import Expectation
from raynas.weights import Registry, digest_shards

KEEP = 3
COMMANDS = ("publish", "publish changed", "update", "fetch", "lease", "release", "delete", "restart")


class Net(nn.Module):
    """A choice with one in it, beside a candidate that is too large to share a block with others."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))], key="inner")
        large = nn.Sequential(nn.Linear(4, 600), nn.Linear(600, 600), nn.Linear(600, 4))
        self.stem = nn.Linear(4, 4)
        self.outer = LayerChoice({"nested": inner, "large": large, "none": nn.Identity()}, key="outer")
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.outer(self.stem(x)))
        return y


class RegistryContract:
    """Inherit, say how a registry is made, and pytest runs the tests.

    Attributes:
        num_examples: how many random sequences of commands are tried.
        num_commands: how long each is at most.
        num_restarts: how many of them may be restarts; what is not in this process takes its time.
        phases: of hypothesis; without ``Phase.shrink`` a sequence that fails is shown as it was found.

    Example:
        >>> from raynas.storage import Storage
        >>> from raynas.weights import LocalStore, Registry
        >>> class TestMine(RegistryContract):
        ...     def make_registry(self, name, storage_path):
        ...         return Registry(name, LocalStore(Storage(storage_path), keep=3))
        ...     def restart(self, registry, storage_path):
        ...         return self.make_registry(registry.name, storage_path)
    """

    num_examples = 25
    num_commands = 25
    num_restarts = 25
    phases = tuple(Phase)

    def make_registry(self, name: str, storage_path: Path) -> Registry:
        """An empty registry that keeps three versions and mirrors them there."""
        raise NotImplementedError("write make_registry(self, name, storage_path), which returns an empty registry")

    def restart(self, registry: Registry, storage_path: Path) -> Registry:
        """The registry after whatever holds it has died and come back; everything was flushed before."""
        raise NotImplementedError("write restart(self, registry, storage_path), which returns the registry as it comes back")

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Any:
        """An empty one, closed afterwards."""
        opened = self.make_registry(f"contract-{tmp_path.name}", tmp_path / "mirror")
        yield opened
        opened.close()

    def test_random_sequences_keep_what_was_promised(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        rules = settings(
            max_examples=self.num_examples,
            phases=self.phases,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        commands = st.lists(st.tuples(st.sampled_from(COMMANDS), st.integers(0, 2**31)), max_size=self.num_commands)

        @rules
        @given(commands)
        def play(sequence: list[tuple[str, int]]) -> None:
            folder = tmp_path_factory.mktemp("contract")
            registry = self.make_registry(folder.name, folder / "mirror")
            expectation, num_restarts = Expectation(registry, Net(), keep=KEEP), 0
            try:
                for command, seed in sequence:
                    if command == "restart" and num_restarts == self.num_restarts:
                        continue
                    if command == "restart":
                        num_restarts += 1
                        expectation.release_all()
                        registry.flush()
                        registry = self.restart(registry, folder / "mirror")
                        expectation.restarted(registry)
                    else:
                        expectation.play(command, Random(seed))
                    expectation.check()
            finally:
                expectation.release_all()
                expectation.registry.close()

        play()

    def test_a_fetch_has_the_path_and_nothing_else(self, registry: Registry) -> None:
        net = Net()
        registry.publish(net)
        state = net.state_dict()
        for architecture in generate_search_space(net).enumerate():
            tensors = registry.fetch(architecture)
            assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())
            used = {name for name in tensors if name.startswith("outer")}
            inside = f"outer.candidates.{architecture.indices['outer'][0]}."
            assert all(name.startswith(inside) for name in used)
            assert {name for name in state if not name.startswith("outer")} <= tensors.keys()

    def test_nothing_that_users_do_changes_what_is_stored(self, registry: Registry) -> None:
        """Fixed, recalibrated, and copied and trained: every shard has its digest afterwards."""
        net, x = Net(), torch.randn(8, 4)
        version = registry.publish(net)
        for architecture in generate_search_space(net).enumerate():
            plain = registry.frozen(Net(), architecture, version=version)
            plain.train()(x)  # statistics are computed anew
            plain.eval()(x)
            trained = registry.load_into(copy.deepcopy(net), architecture, version=version)
            optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
            sum(parameter.sum() for parameter in trained.parameters()).backward()  # type: ignore[union-attr]
            optimizer.step()
            tensors = registry.fetch(architecture, version=version, copy=True)
            for tensor in tensors.values():
                tensor.zero_()
        assert_whole(registry, version)

    def test_only_what_changed_is_stored_again(self, registry: Registry) -> None:
        net = Net()
        registry.publish(net)
        before = registry.stats()
        registry.publish(net)
        assert registry.stats().stored == before.stored
        with torch.no_grad():
            net.get_parameter("outer.candidates.1.1.weight").add_(1)
        registry.publish(net)
        assert registry.stats().stored == before.stored + 1
        assert registry.stats().num_bytes == before.num_bytes + registry._store.manifest().layout.packs[0].num_bytes

    def test_another_model_is_refused_with_what_differs(self, registry: Registry) -> None:
        registry.publish(Net())
        other = Net()
        other.head = nn.Linear(4, 3)
        with pytest.raises(RegistryError, match=r"'head\.bias' is float32 \[3\], expected float32 \[2\]; 'head\.weight'"):
            registry.publish(other)
        assert len(registry.versions()) == 1

    def test_what_is_not_there_is_listed(self, registry: Registry) -> None:
        architecture = generate_search_space(Net()).unrank(0)
        with pytest.raises(UnknownVersionError, match="holds no weights; publish some first"):
            registry.fetch(architecture)
        version = registry.publish(Net())
        with pytest.raises(UnknownVersionError, match=rf"version 99 .* it has \[{version}\]"):
            registry.fetch(architecture, version=99)

    def test_a_version_in_use_stays_and_is_not_deleted(self, registry: Registry) -> None:
        net = Net()
        with registry.lease(registry.publish(net)) as version:
            later = [registry.publish(net) for _ in range(KEEP + 2)]
            assert registry.versions() == [version, *later[-KEEP:]]
            with pytest.raises(RegistryError, match=f"version {version} is in use"):
                registry.delete(version)
        registry.publish(net)
        assert version not in registry.versions()

    def test_closing_drops_everything(self, registry: Registry) -> None:
        version = registry.publish(Net())
        registry.close()
        assert registry.versions() == []
        assert registry.stats().num_bytes == 0
        assert registry.publish(Net()) > version  # what is in the mirror keeps its number


def assert_whole(registry: Registry, version: int) -> None:
    """The bytes of every shard of a version, where they are stored, have its digest."""
    manifest = registry._store.manifest(version)
    blocks = registry._store.read(manifest, range(len(manifest.blocks)))
    for pack, digests, block in zip(manifest.layout.packs, manifest.digests, blocks, strict=True):
        assert digest_shards(block, pack) == digests
