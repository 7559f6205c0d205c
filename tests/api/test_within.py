from typing import Any

import pytest

import raynas
from raynas.api import within
from raynas.errors import OptionError
from raynas.nn import Latency


def test_the_limits_are_kept_exactly(tiny_task: raynas.Task) -> None:
    model = tiny_task.model()
    space = raynas.generate_search_space(model)
    costs = {arch.digest: raynas.profile(model, arch, tiny_task.sample_input()) for arch in space.enumerate()}
    flops = sorted(cost.flops for cost in costs.values())
    limit = flops[len(flops) // 2]
    constraint = raynas.within(tiny_task, flops=limit, params=10_000)
    allowed = {arch.digest for arch in space.enumerate() if constraint(arch)}
    assert allowed == {digest for digest, cost in costs.items() if cost.flops <= limit}
    assert 0 < len(allowed) < space.size


def test_a_limit_has_to_be_given(tiny_task: raynas.Task) -> None:
    with pytest.raises(OptionError, match="needs a limit"):
        raynas.within(tiny_task)


def test_latency_is_measured_once_for_each_and_only_where_the_other_limits_are_kept(
    tiny_task: raynas.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []

    def measure(_: Any, architecture: raynas.Architecture, *__: Any) -> Latency:
        timed.append(architecture.digest)
        seconds = 1e-3 if architecture["first"].value == "same" else 3e-3
        return Latency(seconds, seconds, seconds, 1)

    monkeypatch.setattr(within, "measure_latency", measure)
    space = raynas.generate_search_space(tiny_task.model())
    quick = raynas.within(tiny_task, latency=2e-3)
    for _ in range(2):
        assert {arch["first"].value for arch in space.enumerate() if quick(arch)} == {"same"}
    assert len(timed) == len(set(timed)) == space.size
    timed.clear()
    assert not any(map(raynas.within(tiny_task, params=0, latency=1.0), space.enumerate()))
    assert not timed


@pytest.mark.parametrize(("seconds", "allowed"), [(60.0, True), (0.0, False)])
def test_latency_is_that_of_this_machine(tiny_task: raynas.Task, seconds: float, allowed: bool) -> None:
    first = raynas.generate_search_space(tiny_task.model()).unrank(0)
    assert raynas.within(tiny_task, latency=seconds)(first) is allowed
