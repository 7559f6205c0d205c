"""What keeps a registry's actor alive, and what ends it."""

from pathlib import Path

import pytest
import ray

import raynas
from raynas.errors import RegistryError
from raynas.runtime.registry import handles
from raynas.testing.registry_contract import Net

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def test_one_name_is_one_actor_as_long_as_it_is_held() -> None:
    first = handles.actor_of("held", None, 2, False)
    ray.get(first.versions.remote())
    assert handles.actor_of("held", None, 2, False) is first
    assert ray.get_actor("raynas-registry-held", namespace="raynas")
    handles.end_actor("held", first)
    second = handles.actor_of("held", None, 2, False)
    assert second is not first
    assert ray.get(second.versions.remote()) == []
    handles.end_actor("held", second)


def test_a_detached_registry_is_ended_by_name(tmp_path: Path) -> None:
    registry = raynas.WeightRegistry("detached", tmp_path / "mirror", detached=True)
    version = registry.publish(Net())
    assert raynas.stop("detached", address="auto")
    assert not raynas.stop("detached", address="auto")
    with pytest.raises(RegistryError, match="is gone"):
        registry.versions()
    assert raynas.WeightRegistry("detached", tmp_path / "mirror").versions() == [version], "what was published is in the mirror"
