import json

import pytest

from raynas.api.plan import Plan
from raynas.errors import OptionError


def test_it_survives_json() -> None:
    plan = Plan(seed=3, searcher_options={"population_size": 5}, max_flops=1e6)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_only_what_is_given_is_replaced() -> None:
    assert Plan(seed=3).replace({"seed": None, "num_trials": 7}) == Plan(seed=3, num_trials=7)


@pytest.mark.parametrize("field", ["num_workers", "supernet_epochs", "num_trials", "retrain_epochs", "num_random"])
def test_numbers_out_of_range_are_named(field: str) -> None:
    with pytest.raises(OptionError, match=field):
        Plan(**{field: -1})


def test_unknown_fields_are_named() -> None:
    with pytest.raises(OptionError, match="speed"):
        Plan.from_dict({"speed": 9})
