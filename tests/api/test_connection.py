import sys

import raynas
from raynas.api.connection import ray_is_running


def test_without_ray_nothing_runs_and_leaving_does_nothing() -> None:
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        assert ray_is_running()  # the session's Ray: not ours to end here
    else:
        assert not ray_is_running()
        raynas.disconnect()
        assert not ray_is_running()
