import sys
from pathlib import Path

import pytest

import raynas
from raynas.errors import TaskError

GOOD = """
import torch
from torch import nn
import raynas
from raynas.nn import LayerChoice
data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
task = raynas.Task(model=lambda: nn.Sequential(LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2)])), train_data=data,
                   loss=nn.functional.cross_entropy, optimizer=torch.optim.SGD, valid_data=data)
"""


def test_task_and_plan_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD + "plan = raynas.Plan(seed=5)\n")
    task, plan = raynas.load_task_file(path)
    assert isinstance(task, raynas.Task)
    assert plan.seed == 5


def test_files_beside_it_can_be_imported_and_the_path_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "beside_the_task.py").write_text("SEED = 6\n")
    path = tmp_path / "mine.py"
    path.write_text(GOOD + "from beside_the_task import SEED\nplan = raynas.Plan(seed=SEED)\n")
    before = list(sys.path)
    assert raynas.load_task_file(path)[1].seed == 6
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines nothing under the name task"),
        ("task = 3\n", "defines a int under the name task"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("def f(:\n", "SyntaxError"),
        (GOOD + "plan = {}\n", "expected raynas.Plan"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(TaskError, match=message):
        raynas.load_task_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no file .*nothing\.py"):
        raynas.load_task_file(tmp_path / "nothing.py")
    (tmp_path / "task.txt").write_text(GOOD)
    with pytest.raises(TaskError, match=r"end in \.py"):
        raynas.load_task_file(tmp_path / "task.txt")


MODELS = """
import torch
from torch import nn
import raynas
from raynas.nn import LayerChoice
class Net(nn.Sequential):
    def __init__(self, width=3):
        super().__init__(LayerChoice([nn.Linear(width, 2), nn.Linear(width, 2)]))
made = Net(4)
def broken():
    raise LookupError("no such width")
"""


@pytest.mark.parametrize(("name", "width"), [("Net", 3), ("made", 4)])
def test_a_model_is_made_or_taken(tmp_path: Path, name: str, width: int) -> None:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    assert raynas.load_model(path, name)[0].candidates[0].in_features == width
    path.write_text(GOOD)
    assert raynas.generate_search_space(raynas.load_model(path, "task")).size == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", "defines nothing under the name Missing"),
        ("nn", "defines a module"),
        ("broken", "LookupError.*no such width"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    with pytest.raises(TaskError, match=message):
        raynas.load_model(path, name)
