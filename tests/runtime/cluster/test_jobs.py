"""What needs no cluster; jobs on one are in ``tests/cluster``."""

import pytest

from raynas.errors import ClusterError
from raynas.runtime.cluster.jobs import Jobs

pytestmark = pytest.mark.ray  # Ray's client sets variables of its own


def test_a_dashboard_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match=r"the cluster at http://127\.0\.0\.1:9 cannot be reached: "):
        Jobs("http://127.0.0.1:9")
