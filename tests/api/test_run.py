import json
from pathlib import Path

import pytest

import raynas
from raynas.errors import RunNotFoundError

TASK = """
import torch
from torch import nn
import raynas
from raynas.nn import LayerChoice

torch.manual_seed(0)
inputs = torch.randn(160, 8)
data = torch.utils.data.TensorDataset(inputs, inputs[:, :3].argmax(1))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(LayerChoice([nn.Linear(8, 8), nn.Identity(), nn.Sequential(nn.Linear(8, 8), nn.ReLU())])
                                    for _ in range(3))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)

task = raynas.Task(
    model=Net,
    loss=nn.functional.cross_entropy,
    metrics={"accuracy": lambda output, target: (output.argmax(1) == target).float().mean()},
    optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    train_data=torch.utils.data.Subset(data, range(96)),
    valid_data=torch.utils.data.Subset(data, range(96, 160)),
    batch_size=32,
)
plan = raynas.Plan(supernet_epochs=3, num_trials=10, num_workers=0, engine="local", retrain_epochs=3, num_random=2,
                   max_params=200, searcher_options={"population_size": 5, "num_parents": 2})
"""


class Silent:
    """A display that remembers the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, _text: str) -> None:
        self.stages.append(name)

    def steps(self, *_: object) -> None:
        """Nothing to show."""

    def trials(self, *_: object) -> None:
        """Nothing to show."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(TASK)
    return path


def start(file: Path, name: str | None = None) -> tuple[raynas.Run, Silent]:
    display = Silent()
    _, plan = raynas.load_task_file(file)
    return raynas.start_run(file, display, plan=plan, storage_path=file.parent / "runs", name=name), display


def test_stages_that_are_done_are_not_done_again(file: Path) -> None:
    run, display = start(file)
    run.run("search")
    assert display.stages == ["space", "supernet", "search"]
    again = Silent()
    figures = raynas.Run(raynas.RunFolder.open(run.folder.path), again).run()
    assert again.stages == ["retrain", "report"]
    assert figures["valid_accuracy"] > 1 / 3  # a task without test data is judged on its validation data
    assert len(figures["random_valid_accuracy"]) == 2
    assert figures["params"] <= 200
    page = (run.folder.path / "report.html").read_text()
    assert "Training of the supernet" in page
    assert "Likeliest" not in page  # spos prefers nothing


def test_the_report_shows_what_the_method_has_learnt(file: Path) -> None:
    file.write_text(TASK.replace("raynas.Plan(", 'raynas.Plan(method="darts", method_options={"arch_lr": 0.1}, '))
    run, _ = start(file, "learnt")
    run.run()
    page = (run.folder.path / "report.html").read_text()
    learnt = run.folder.read_result()["supernet"]["architecture"]
    assert "Training of the supernet" in page
    assert "in bold if it is in the architecture that was learnt" in page
    for key, choice in learnt.items():
        assert f'<th scope="row">{key}</th><td>{choice["_value"]}</td><td>' in page


def test_a_search_that_is_cut_off_goes_on_where_it_was(file: Path) -> None:
    whole, _ = start(file, "whole")
    whole.run("search")
    cut, display = start(file, "cut")
    seen: list[int] = []

    def interrupt(_: object) -> None:
        seen.append(1)
        if len(seen) == 9:
            raise KeyboardInterrupt

    display.trials = interrupt  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        cut.run("search")
    assert "search" not in json.loads((cut.folder.path / "result.json").read_text())["seconds"]
    raynas.Run(cut.folder, Silent()).run("search")
    for name in ("best.json",):
        assert (cut.folder.path / name).read_text() == (whole.folder.path / name).read_text()
    assert cut.folder.read_result()["num_trials"] == whole.folder.read_result()["num_trials"] == 10


def test_random_architectures_are_different_and_within_the_limits(file: Path) -> None:
    run, _ = start(file)
    best = run.space.unrank(0)
    drawn = run._random_architectures(best)
    limits = run._limits()
    assert limits is not None
    assert len({architecture.digest for architecture in drawn}) == 2
    assert best not in drawn
    assert all(limits(architecture) for architecture in drawn)


def test_a_search_from_python_cannot_be_resumed_by_its_name(tmp_path: Path) -> None:
    space = raynas.SearchSpace({"op": {"_type": "choice", "_value": [1, 2]}})
    raynas.search(space, lambda trial: trial.report(accuracy=1), num_trials=1, storage_path=tmp_path)
    with pytest.raises(RunNotFoundError, match="resume=True"):
        raynas.Run(raynas.RunFolder.open(tmp_path / "search"), Silent())
