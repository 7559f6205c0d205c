import pytest

import raynas
from raynas.errors import OptionError


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
