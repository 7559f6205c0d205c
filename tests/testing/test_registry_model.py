"""The plain model finds out a registry that does not keep what it promised."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from raynas.testing.registry_contract import KEEP, Net
from raynas.testing.registry_model import Expectation
from raynas.weights import LocalStore, Registry


class Forgets(Registry):
    def versions(self) -> list[int]:
        return super().versions()[1:]


class PublishesTooLittle(Registry):
    def publish(self, model: Any, *, changed: Any = None) -> int:
        return super().publish(model, changed=["no such key"] if self._store.versions() else None)


class UpdatesTheBase(Registry):
    def fetch(self, architecture: Any, *, version: Any = None, copy: bool = False) -> dict[str, Any]:
        return super().fetch(architecture, version=self.versions()[0], copy=copy)


class DropsWhatIsUsed(Registry):
    def lease(self, version: int | None = None) -> Any:
        lease = super().lease(version)
        self._store.release(next(iter(self._store._table._leases)))
        return lease


def play(kind: Callable[..., Registry]) -> None:
    expectation, rng = Expectation(kind("net", LocalStore(keep=KEEP)), Net(), keep=KEEP), Random(3)
    try:
        for _ in range(60):
            expectation.play(rng.choice(["publish", "publish", "publish changed", "update", "fetch", "lease"]), rng)
            expectation.check()
    finally:
        expectation.release_all()


def test_one_that_keeps_its_promises_passes() -> None:
    play(Registry)


@pytest.mark.parametrize("kind", [Forgets, PublishesTooLittle, UpdatesTheBase, DropsWhatIsUsed])
def test_one_that_does_not_is_found_out(kind: type[Registry]) -> None:
    with pytest.raises(AssertionError):
        play(kind)
