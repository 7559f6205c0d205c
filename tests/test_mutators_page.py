"""``docs/mutators.md``: its examples run in their order, and do what the page says."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from raynas.nn import freeze, generate_search_space

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "mutators.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def run(wanted: str = "") -> dict[str, Any]:
    """The names after the blocks up to and with the first that holds ``wanted``."""
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/mutators.md, block {number}", "exec"), names)
        if wanted and wanted in block:
            break
    return names


def test_the_examples_run_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    names = run()
    printed = capsys.readouterr().out
    assert printed.count("torch.Size([32, 3])") == 2
    assert re.search(r"key 'op': .*\(2,\).*\(3,\)", printed)
    assert "has a mutator already" in printed
    assert printed.count("Architecture(op=") == 2
    assert names["architecture"].to_dict().keys() == {"op", "skip"}


def test_the_page_is_short() -> None:
    assert PAGE.count("\n") < 200


def test_weights_are_learnt_and_are_not_the_models() -> None:
    names = run("class Weighted")
    mutator, model = names["mutator"], names["model"]
    own = {id(parameter) for parameter in mutator.parameters()}
    assert len(own) == 2
    assert not own & {id(parameter) for parameter in model.parameters()}
    assert all(logits.abs().sum() > 0 for logits in mutator.logits)
    assert all(weights.requires_grad for weights in mutator.sample_search().values())
    mutator.reset()
    names["nn"].functional.cross_entropy(model(names["x"]), names["y"]).backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        model(names["x"]).sum().backward()  # as the page warns
    plain = freeze(model, mutator.export_architecture())
    mutator.apply_architecture(mutator.export_architecture())
    assert torch.equal(plain(names["x"]), model(names["x"]))


def test_two_paths_are_drawn_at_every_call() -> None:
    names = run("class TwoPaths")
    model, x = names["model"], names["x"]
    model.op.return_mask = True
    masks = {tuple(model.op(x)[1].tolist()) for _ in range(30)}
    assert masks == {(True, True, False), (True, False, True), (False, True, True)}


@pytest.mark.parametrize("num_inputs", [1, 3, None])
def test_the_random_mutator_draws_everything(num_inputs: int | None) -> None:
    names = run("class Coin")
    skip = names["InputChoice"](n_candidates=3, n_chosen=num_inputs, key="skip")
    mutator = names["Coin"](names["nn"].Sequential(skip, names["Net"]().op))
    drawn = {mutator.export_architecture().digest for _ in range(400)}
    assert len(drawn) == generate_search_space(names["nn"].Sequential(*mutator.mutables)).size
