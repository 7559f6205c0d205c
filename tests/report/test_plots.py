"""The three pictures: what is drawn, what is refused, and that names stay names."""

import random
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from raynas.errors import ArchitectureError, OptionError
from raynas.explore import TrialRecord, trials_table
from raynas.explore.history import COMPLETED, FAILED
from raynas.report import plot_best_so_far, plot_choices, plot_tradeoff, save_png, to_svg
from raynas.space import SearchSpace


def texts(figure: Figure) -> str:
    root = ElementTree.fromstring(to_svg(figure))
    return "\n".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))


def with_values(space: SearchSpace, values: list[float | None], name: str = "accuracy") -> pa.Table:
    architecture = space.sample(random.Random(0))
    metrics = [{} if value is None else {name: value} for value in values]
    return trials_table([TrialRecord(i, architecture, state=COMPLETED, metrics=each) for i, each in enumerate(metrics)])


@pytest.mark.parametrize(("mode", "expected"), [("max", [0.1, 0.3, 0.3, 0.4]), ("min", [0.1, 0.1, 0.1, 0.1])])
def test_the_line_is_the_best_so_far(space: SearchSpace, mode: str, expected: list[float]) -> None:
    figure = plot_best_so_far(with_values(space, [0.1, 0.3, 0.2, 0.4]), "accuracy", mode)
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(expected)


def test_best_so_far_names_the_best_trial(space: SearchSpace) -> None:
    assert "0.4 in trial 2" in texts(plot_best_so_far(with_values(space, [0.1, 0.3, 0.4, 0.4]), "accuracy", "max"))
    assert "0.1 in trial 0" in texts(plot_best_so_far(with_values(space, [0.1, 0.3]), "accuracy", "min"))


def test_only_completed_trials_with_finite_values_are_drawn(space: SearchSpace) -> None:
    table = with_values(space, [0.5, None, float("nan"), 0.7, float("inf")])
    dots = plot_best_so_far(table, "accuracy", "max").axes[0].collections[0].get_offsets()
    assert np.asarray(dots).tolist() == [[0, 0.5], [3, 0.7]]


def test_trials_are_drawn_by_id_whatever_their_order_in_the_table(space: SearchSpace) -> None:
    table = with_values(space, [0.1, 0.3, 0.2]).take([2, 0, 1])
    assert plot_best_so_far(table, "accuracy", "max").axes[0].lines[0].get_ydata() == pytest.approx([0.1, 0.3, 0.3])


def test_a_metric_named_like_a_column_is_found(space: SearchSpace) -> None:
    table = with_values(space, [1.0, 2.0], name="budget")
    assert plot_best_so_far(table, "budget", "max").axes[0].lines[0].get_ydata() == pytest.approx([1.0, 2.0])


def test_very_bad_trials_do_not_squeeze_the_others(space: SearchSpace) -> None:
    values = [0.9 + i / 1000 for i in range(30)]
    figure = plot_best_so_far(with_values(space, [*values, -1e6]), "accuracy", "max")
    assert figure.axes[0].get_ylim()[0] > 0.5
    assert "1 trial lies below the picture" in texts(figure)
    figure = plot_best_so_far(with_values(space, [*values, 1e6, 9e6]), "accuracy", "min")
    assert "2 trials lie above the picture" in texts(figure)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0], [1e-9, 2e-9], [1e12, 3e12], [-3.0, -2.0]])
def test_any_range_of_values_can_be_drawn(space: SearchSpace, values: list[float]) -> None:
    low, high = plot_best_so_far(with_values(space, values), "accuracy", "max").axes[0].get_ylim()
    assert low < min(values) <= max(values) < high


def test_tradeoff_marks_best_and_limit(records: list[TrialRecord]) -> None:
    table = trials_table(records)
    best = max(record.metrics["accuracy"] for record in records if record.state == COMPLETED)
    shown = texts(plot_tradeoff(table, "accuracy", "max", limit=3e6))
    assert f"{best:.4g} at " in shown
    assert "limit 3 M" in shown
    assert "FLOPs" in shown
    assert "limit" not in texts(plot_tradeoff(table, "accuracy", "max"))


def test_tradeoff_of_costs_far_apart_is_logarithmic(space: SearchSpace) -> None:
    table = with_values(space, [0.1, 0.2, 0.3])
    near, far = (table.append_column("params", pa.array(costs)) for costs in ([1e3, 2e3, 3e3], [1e3, 1e5, 1e7]))
    assert plot_tradeoff(near, "accuracy", "max", cost="params").axes[0].get_xscale() == "linear"
    assert plot_tradeoff(far, "accuracy", "max", cost="params").axes[0].get_xscale() == "log"


def test_choices_show_every_key_with_its_candidates(space: SearchSpace, records: list[TrialRecord]) -> None:
    shown = texts(plot_choices(space, trials_table(records), best=records[0].architecture))
    for key, domain in space.items():
        assert key in shown
        if len(domain.candidates) <= 12:
            assert all(str(candidate) in shown for candidate in domain.candidates)
    assert "9 others" in shown  # of the widths


def test_names_are_neither_markup_nor_mathematics(space: SearchSpace, records: list[TrialRecord]) -> None:
    svg = to_svg(plot_choices(space, trials_table(records)))
    assert "<script" not in svg
    assert "<b>" not in svg
    assert "a$b$" in svg


@pytest.mark.parametrize("name", ["a$b$", r"\$x_1$", "<i>acc</i>", "$", "line\nbreak\x07"])
def test_any_metric_name_can_be_drawn(space: SearchSpace, name: str) -> None:
    table = with_values(space, [0.1, 0.2], name=name)
    shown = texts(plot_best_so_far(table, name, "max"))
    assert " ".join(name.split("\n")).replace("\x07", " ") in shown


@pytest.mark.parametrize("num_keys", [1, 31])
def test_at_most_thirty_keys_are_drawn(num_keys: int) -> None:
    space = SearchSpace({f"key{i}": {"_type": "choice", "_value": ["name " * 20, 1, 2.5]} for i in range(num_keys)})
    shown = texts(plot_choices(space, with_values(space, [0.5])))
    assert "key0" in shown
    assert ("key29" in shown) == (num_keys > 29)
    assert "key30" not in shown


def test_the_same_picture_has_the_same_characters(space: SearchSpace, records: list[TrialRecord]) -> None:
    table = trials_table(records)
    for plot in (
        lambda: plot_best_so_far(table, "accuracy", "max"),
        lambda: plot_tradeoff(table, "accuracy", "max", limit=3e6),
        lambda: plot_choices(space, table),
    ):
        first = to_svg(plot())
        assert first == to_svg(plot())
        assert first.startswith("<svg")
        assert first.rstrip().endswith("</svg>")


def test_many_trials_are_drawn_as_pixels(space: SearchSpace) -> None:
    table = with_values(space, [i / 5000 for i in range(5000)])
    assert len(to_svg(plot_best_so_far(table, "accuracy", "max"))) < 500_000


def test_save_png(space: SearchSpace, tmp_path: Path) -> None:
    save_png(plot_best_so_far(with_values(space, [0.1]), "accuracy", "max"), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_completed_is_refused(space: SearchSpace) -> None:
    table = trials_table([TrialRecord(0, space.sample(random.Random(0)), state=FAILED, metrics={"accuracy": 0.5})])
    with pytest.raises(OptionError, match="no completed trials"):
        plot_best_so_far(table, "accuracy", "max")
    with pytest.raises(OptionError, match="no completed trials"):
        plot_tradeoff(table, "accuracy", "max")
    with pytest.raises(OptionError, match="no completed trials"):
        plot_choices(space, table)


def test_unknown_metric_and_mode_are_refused(space: SearchSpace) -> None:
    table = with_values(space, [0.5])
    with pytest.raises(OptionError, match=r"'f1'.*accuracy"):
        plot_best_so_far(table, "f1", "max")
    with pytest.raises(OptionError, match="'flops'"):
        plot_tradeoff(table, "accuracy", "max")
    with pytest.raises(OptionError, match="no completed trials with accuracy"):
        plot_best_so_far(with_values(space, [float("nan")]), "accuracy", "max")
    with pytest.raises(OptionError, match='"max" or "min"'):
        plot_best_so_far(table, "accuracy", "maximum")


def test_trials_of_another_space_are_refused(space: SearchSpace) -> None:
    other = SearchSpace({"key": {"_type": "choice", "_value": [1, 2]}})
    with pytest.raises(ArchitectureError, match="not in the search space"):
        plot_choices(other, with_values(space, [0.5]))
