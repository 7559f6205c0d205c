import numpy as np
import pytest

from raynas.report.axes import inches_of, limit_metric, name_axes, name_metric, new_axes, plain_formatter, scale_cost


def test_axes_have_the_margins_that_were_asked_for() -> None:
    figure, axes = new_axes(3.0, top=0.5, bottom=0.7)
    assert figure.get_figheight() == pytest.approx(3.0)
    width, height = inches_of(figure, axes)
    assert height == pytest.approx(1.8)
    assert 0 < width < figure.get_figwidth()


def test_names_are_shown() -> None:
    figure, axes = new_axes(3.0, top=0.5, bottom=0.7)
    name_axes(figure, axes, x="trials", y="accuracy")
    assert axes.get_xlabel() == "trials"
    assert [text.get_text() for text in axes.texts] == ["accuracy"]


@pytest.mark.parametrize(("mode", "outlier", "where"), [("max", -50.0, "below"), ("min", 50.0, "above")])
def test_a_very_bad_trial_falls_off_and_is_counted(mode: str, outlier: float, where: str) -> None:
    values = np.append(np.linspace(0.90, 0.95, 40), outlier)
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    limit_metric(axes, values, mode)
    low, high = axes.get_ylim()
    assert low <= 0.90 < 0.95 <= high
    assert not low <= outlier <= high
    assert [text.get_text() for text in axes.texts] == [f"1 trial lies {where} the picture"]


@pytest.mark.parametrize(("mode", "outlier"), [("max", -50.0), ("min", 50.0)])
def test_what_is_to_be_kept_never_falls_off(mode: str, outlier: float) -> None:
    values = np.append(np.linspace(0.90, 0.95, 40), [outlier, 10 * outlier])
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    limit_metric(axes, values, mode, keep=np.array([outlier, 0.92]))
    low, high = axes.get_ylim()
    assert low < outlier < high
    assert not low < 10 * outlier < high
    assert axes.texts[0].get_text().startswith("1 trial lies")


def test_a_metric_is_named_with_its_direction() -> None:
    assert name_metric("accuracy", "max") == "accuracy (higher is better)"
    assert name_metric("a\nb" * 40, "min").endswith("… (lower is better)")


def test_plain_numbers_have_neither_offset_nor_power() -> None:
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    axes.set_ylim(92.11, 92.14)
    axes.yaxis.set_major_formatter(plain_formatter())
    axes.yaxis.set_ticks([92.11, 92.12])
    assert [label.get_text() for label in axes.yaxis.get_ticklabels()] == ["92.11", "92.12"]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_good_trial_never_falls_off(mode: str) -> None:
    best = 5.0 if mode == "max" else -5.0
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    limit_metric(axes, np.append(np.linspace(0.90, 0.95, 40), best), mode)
    low, high = axes.get_ylim()
    assert low < best < high
    assert not axes.texts


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e9])
def test_trials_that_are_all_alike_have_room(value: float) -> None:
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    limit_metric(axes, np.full(5, value), "max")
    low, high = axes.get_ylim()
    assert low < value < high


@pytest.mark.parametrize(("costs", "scale"), [([1e5, 2e5, 9e5], "linear"), ([1e3, 1e6], "log"), ([0.0, 1e6], "linear")])
def test_costs_that_span_much_are_drawn_on_a_logarithmic_axis(costs: list[float], scale: str) -> None:
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    scale_cost(axes, np.array(costs), None)
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low < min(costs) <= max(costs) < high


def test_the_limit_is_in_the_picture_and_named() -> None:
    _, axes = new_axes(3.0, top=0.5, bottom=0.7)
    scale_cost(axes, np.array([1e5, 2e5]), 3.5e5)
    low, high = axes.get_xlim()
    assert low < 3.5e5 < high
    assert [text.get_text() for text in axes.texts] == ["limit 350 k"]
