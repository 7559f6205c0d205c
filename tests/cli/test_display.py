import io

from raynas_searchers.random import RandomSearcher
from rich.console import Console

import raynas
from raynas.cli.display import TerminalDisplay, result_rows
from raynas.explore import Objective, SearchLimits, SearchSession

FIGURES = {
    "metric": "accuracy",
    "space_size": 234_375,
    "num_trials": 200,
    "num_failed": 2,
    "num_reused": 0,
    "best_architecture": {"[red]op": {"_value": "conv", "_idx": 1}, "skip": {"_value": ["a", "b"], "_idx": [0, 1]}},
    "inherited_accuracy": 0.965,
    "test_accuracy": 0.9723,
    "random_test_accuracy": [0.9, 0.95],
    "random_test_accuracy_mean": 0.925,
    "flops": 366_528,
    "max_flops": 400_000.0,
    "params": 3_466,
    "seconds": {"space": 0.01, "search": 43.2},
}


def test_the_table_says_what_was_found() -> None:
    rows = dict(result_rows(FIGURES))
    assert rows["architectures tried"] == "200 (2 failed)"
    assert rows["best architecture"] == "[red]op=conv  skip=a+b"
    assert rows["test accuracy, retrained"] == "0.9723"
    assert rows["mean of 2 random ones"] == "0.9250  (0.9000 to 0.9500)"
    assert rows["FLOPs"] == "366,528  (limit 400,000)"
    assert rows["parameters"] == "3,466"
    assert rows["seconds"] == "space 0  search 43"


def test_markup_in_keys_is_printed_as_it_is() -> None:
    output = io.StringIO()
    TerminalDisplay(Console(file=output, width=100)).result(FIGURES, "runs/a")
    assert "[red]op=conv" in output.getvalue()
    assert "runs/a" in output.getvalue()


def test_a_terminal_shows_rate_and_best_and_a_pipe_does_not() -> None:
    space = raynas.SearchSpace({"op": {"_type": "choice", "_value": [1, 2]}})
    for is_terminal in (True, False):
        output = io.StringIO()
        console = Console(file=output, force_terminal=is_terminal, width=120)
        with TerminalDisplay(console) as display:
            display.stage("search", "random")
            limits = SearchLimits(num_trials=2)
            objective = Objective("accuracy", "max")
            session = SearchSession(RandomSearcher(), space, objective, limits=limits, on_event=display.trials)
            while (record := session.ask()) is not None:
                session.tell(record.id, {"accuracy": 0.25 * (record.id + 1)})
            display._progress.refresh()
        assert "search" in output.getvalue()
        assert ("best accuracy 0.5000" in output.getvalue()) is is_terminal
        assert ("trials/s" in output.getvalue()) is is_terminal
