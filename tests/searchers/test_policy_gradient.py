"""What policy gradient searchers share: ranks, the moving average, batches, what is new, what is left out."""

import json
import math
from collections.abc import Sequence

import pytest
import torch
from raynas_searchers.policy import Policy
from raynas_searchers.policy_gradient import PolicySearcher, Told
from raynas_searchers.reinforce import TablePolicy

from raynas.errors import NoMoreTrials, OptionError, ResultError
from raynas.space import Architecture, SearchSpace


class Noting(PolicySearcher):
    """Learns nothing, and notes what it should have learned from."""

    def __init__(self, batch_size: int = 1, *, seed: int = 0, baseline_momentum: float = 0.9) -> None:
        super().__init__(seed, 0.1, 0.0, baseline_momentum=baseline_momentum)
        self.batch_size = batch_size
        self.told: list[list[Told]] = []
        self.advantages: list[list[float]] = []

    def make_policy(self, generator: torch.Generator) -> Policy:
        return TablePolicy(self.space)

    def learn(self, told: Sequence[Told], advantages: torch.Tensor) -> None:
        self.told.append(list(told))
        self.advantages.append(advantages.tolist())


def _searcher(space: SearchSpace, batch_size: int = 1, *, baseline_momentum: float = 0.9) -> Noting:
    searcher = Noting(batch_size, baseline_momentum=baseline_momentum)
    searcher.update_search_space(space)
    return searcher


def _tell(searcher: Noting, values: Sequence[float]) -> list[Architecture]:
    proposed = [searcher.generate_parameters(number) for number in range(len(values))]
    for number, (architecture, value) in enumerate(zip(proposed, values, strict=True)):
        searcher.receive_trial_result(number, architecture, value)
        searcher.trial_end(number, True)
    return proposed


def test_an_advantage_is_the_rank_above_the_moving_average(space: SearchSpace) -> None:
    searcher = _searcher(space, baseline_momentum=0.5)
    _tell(searcher, [5.0, 7.0, 7.0, -1.0])
    # middles of the ranks in [0, 1] at each result: 1/2; 3/4; of the two best of three 4/6; the worst of four 1/8
    ranks = [math.sqrt(3) * (2 * middle - 1) for middle in (1 / 2, 3 / 4, 2 / 3, 1 / 8)]
    baselines = [0.0, 0.0, ranks[1] / 2, ranks[1] / 4 + ranks[2] / 2]
    expected = [rank - baseline for rank, baseline in zip(ranks, baselines, strict=True)]
    assert [advantages[0] for advantages in searcher.advantages] == pytest.approx(expected, abs=1e-6)
    assert searcher.baseline == pytest.approx(baselines[3] / 2 + ranks[3] / 2)


def test_units_and_outliers_do_not_matter(space: SearchSpace) -> None:
    values = [0.3, 0.1, 0.9, 0.5, 0.4, 0.2]
    first, second, third = (_searcher(space) for _ in range(3))
    _tell(first, values)
    _tell(second, [1e6 * value - 3e5 for value in values])
    _tell(third, [math.exp(30 * value) for value in values])
    assert first.advantages == second.advantages == third.advantages


def test_it_learns_when_a_batch_is_full(space: SearchSpace) -> None:
    searcher = _searcher(space, 3, baseline_momentum=0.8)
    proposed = _tell(searcher, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert [[told.architecture for told in batch] for batch in searcher.told] == [proposed[:3], proposed[3:6]]
    ranks = [math.sqrt(3) * (2 * middle - 1) for middle in (1 / 6, 3 / 6, 5 / 6)]  # all of a batch are ranked together
    assert searcher.advantages[0] == pytest.approx(ranks, abs=1e-6)
    baseline = ranks[0] * 0.2 * 0.8**2 + ranks[1] * 0.2 * 0.8 + ranks[2] * 0.2
    later = [math.sqrt(3) * (2 * middle - 1) - baseline for middle in (7 / 12, 9 / 12, 11 / 12)]
    assert searcher.advantages[1] == pytest.approx(later, abs=1e-6)


def test_log_probabilities_are_those_of_the_proposal(space: SearchSpace) -> None:
    searcher = _searcher(space)
    architecture = searcher.generate_parameters(0)
    assert isinstance(searcher.policy, TablePolicy)
    with torch.no_grad():
        searcher.policy.table += 1.5 * torch.arange(24) / 24
    searcher.receive_trial_result(0, architecture, 1.0)
    searcher.receive_trial_result(-1, architecture, 1.0)  # as imported
    assert searcher.told[0][0].log_probs == pytest.approx([math.log(1 / 3)] * 8, abs=1e-6)
    assert searcher.told[1][0].log_probs is None


def test_a_failed_trial_is_not_learned_from(space: SearchSpace) -> None:
    searcher = _searcher(space)
    architecture = searcher.generate_parameters(0)
    searcher.trial_end(0, False)
    assert searcher.state_dict()["log_probs"] == []
    with pytest.raises(ResultError):
        searcher.receive_trial_result(1, architecture, math.nan)
    assert searcher.told == []
    assert searcher.state_dict()["archive"]["results"] == []


def _settled(searcher: Noting, index: int = 2) -> Noting:
    assert isinstance(searcher.policy, TablePolicy)
    with torch.no_grad():
        for where in searcher.policy.slices:
            searcher.policy.table[where.start + index] = 50.0
    return searcher


def test_neighbours_come_after_all_that_a_settled_policy_knows(space: SearchSpace) -> None:
    searcher = _settled(_searcher(space))
    first, *others = [searcher.generate_parameters(number) for number in range(17)]
    assert set(first.indices.values()) == {(2,)}
    assert all(sum(first.indices[key] != other.indices[key] for key in space) == 1 for other in others)
    assert len({first, *others}) == 17  # 8 layers with 2 other operators each
    assert sum(first.indices[key] != searcher.generate_parameters(17).indices[key] for key in space) > 1


def test_the_constraint_is_kept_even_where_the_policy_wants_what_is_forbidden(space: SearchSpace) -> None:
    searcher = _settled(_searcher(space))
    searcher.set_constraint(lambda architecture: architecture.indices["layer0"] == (0,))
    assert {searcher.generate_parameters(number).indices["layer0"] for number in range(5)} == {(0,)}


def test_a_space_is_searched_to_its_end() -> None:
    space = SearchSpace({"op": {"_type": "layer_choice", "_value": ["a", "b", "c"]}})
    searcher = _settled(_searcher(space))
    assert {searcher.generate_parameters(number).indices["op"] for number in range(3)} == {(0,), (1,), (2,)}
    with pytest.raises(NoMoreTrials):
        searcher.generate_parameters(3)


def test_the_state_holds_what_runs_and_what_waits_for_its_batch(space: SearchSpace) -> None:
    searcher = _searcher(space, 4)
    proposed = [searcher.generate_parameters(number) for number in range(6)]
    for number in (4, 1):
        searcher.receive_trial_result(number, proposed[number], float(number))
        searcher.trial_end(number, True)
    resumed = _searcher(space, 4)
    resumed.load_state_dict(json.loads(json.dumps(searcher.state_dict())))
    assert resumed.state_dict() == searcher.state_dict()
    for each in (searcher, resumed):
        for number in (0, 2):
            each.receive_trial_result(number, proposed[number], float(number))
    assert resumed.told == searcher.told
    assert [told.architecture for told in resumed.told[0]] == [proposed[number] for number in (4, 1, 0, 2)]
    assert all(told.log_probs is not None for told in resumed.told[0])
    assert resumed.advantages == searcher.advantages


@pytest.mark.parametrize("options", [(0.0, 0.1, 0.9), (0.1, -0.1, 0.9), (0.1, 0.1, 1.0), (0.1, 0.1, -0.1)])
def test_numbers_out_of_range_are_refused(options: tuple[float, float, float]) -> None:
    with pytest.raises(OptionError, match="expected"):
        PolicySearcher(0, *options[:2], baseline_momentum=options[2])
