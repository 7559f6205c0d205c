"""The pictures of a training: what shares a panel, what is refused, and that names stay names."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from raynas.errors import OptionError
from raynas.report import to_svg
from raynas.report.training_figures import TrainingFigures, read_training_figures
from raynas.report.training_plot import MAX_PANELS, panels_of, plot_probabilities, plot_training
from raynas.space import SearchSpace
from tests.report.conftest import write_training


def texts(figure: Figure) -> str:
    root = ElementTree.fromstring(to_svg(figure))
    return "\n".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.fixture
def figures(tmp_path: Path, space: SearchSpace) -> TrainingFigures:
    found = read_training_figures(write_training(tmp_path, space))
    assert found is not None
    return found


def with_names(*names: str) -> TrainingFigures:
    return TrainingFigures({10: dict.fromkeys(names, 0.5), 20: dict.fromkeys(names, 0.75)})


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (("loss", "learning_rate"), ["Loss"]),
        (("valid_f1", "loss", "valid_loss"), ["Loss", "f1 on the validation data"]),
        (("loss", "alpha/op/a", "entropy", "temperature"), ["Loss", "Entropy of the probabilities, in nats"]),
        (
            ("loss", "controller/reward", "controller/baseline", "controller/entropy"),
            ["Loss", "Entropy of the controller, in nats", "Reward of the controller"],
        ),
        (("expected_cost", "baseline", "mine"), ["Expected cost", "Loss that others are compared with", "mine"]),
        (("valid_loss", "valid_a"), ["Loss", "a on the validation data"]),
    ],
)
def test_panels_hold_what_belongs_together(names: tuple[str, ...], titles: list[str]) -> None:
    panels = panels_of(with_names(*names))
    assert [panel.title for panel in panels] == titles
    drawn = [name for panel in panels for name, _ in panel.lines]
    assert sorted(drawn) == sorted(
        name for name in names if not name.startswith("alpha/") and name not in ("learning_rate", "temperature")
    )


def test_there_are_not_too_many_panels() -> None:
    assert len(panels_of(with_names("loss", *map(str, range(20))))) == MAX_PANELS


def test_lines_are_the_figures_and_their_last_values_are_written(figures: TrainingFigures) -> None:
    drawn = plot_training(figures)
    assert len(drawn.axes) == 3  # loss, accuracy, entropy
    loss = drawn.axes[0].lines
    assert loss[0].get_xdata() == pytest.approx([20 * number for number in range(1, 61)])
    assert loss[0].get_ydata() == pytest.approx([2 / number for number in range(1, 61)])
    assert loss[2].get_xdata() == pytest.approx([200 * number for number in range(1, 7)])
    shown = texts(drawn)
    for text in ("Loss", "training", "validation", "accuracy on the validation data", "0.03333", "0.01667", "1,200", "step"):
        assert text in shown, text


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [-3.0, 2.0], [1e-9, 2e-9], [1e12, 3e12], [2.4e6, 2.5e6]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    figures = TrainingFigures({7 * number: {"loss": value} for number, value in enumerate(values)})
    low, high = plot_training(figures).axes[0].get_ylim()
    assert low < min(values) <= max(values) < high
    to_svg(plot_training(figures))


@pytest.mark.parametrize("name", ["a$b$", "<i>acc</i>", "line\nbreak\x07"])
def test_any_name_can_be_drawn(name: str) -> None:
    shown = texts(plot_training(with_names(name, f"valid_{name}")))
    assert shown.count(" ".join(name.split("\n")).replace("\x07", " ")) == 2


def test_probabilities_have_a_row_for_each_candidate(space: SearchSpace, figures: TrainingFigures) -> None:
    shown = texts(plot_probabilities(space, figures, learnt=space.unrank(0)))
    for key, domain in space.items():
        assert key in shown
        assert all(label in shown for label in domain.labels[:11])
    assert "9 others" in shown  # of the widths
    assert "probability  0 %" in shown
    assert "step 20" in shown
    assert "step 1,200" in shown
    assert "layer1" not in texts(plot_probabilities(space, figures, max_keys=1))


def test_what_is_not_there_is_refused(space: SearchSpace) -> None:
    with pytest.raises(OptionError, match="no probabilities to draw"):
        plot_probabilities(space, with_names("loss"))
    with pytest.raises(OptionError, match="no figures to draw"):
        plot_training(with_names("learning_rate"))


def test_the_same_picture_has_the_same_characters(space: SearchSpace, figures: TrainingFigures) -> None:
    for plot in (lambda: plot_training(figures), lambda: plot_probabilities(space, figures)):
        first = to_svg(plot())
        assert first == to_svg(plot())
        assert "<script" not in first
