"""``docs/searchers.md``: its searchers pass the contract, find what the page says, and its table names what is installed."""

import io
import re
import tomllib
from contextlib import redirect_stdout
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import raynas
from raynas.explore.plugins import GROUP
from raynas.testing import SearcherContract

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "searchers.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
CONTRACT = sorted(name for name in dir(SearcherContract) if name.startswith("test_"))
PAPER = re.compile(r"(?:^|; )([A-Z]\w+)(?: and \w+| et al\.)?,.*? (\d{4})")
ROWS = re.findall(r"^\| `(\w+)` \| (.*?) \| .*? \| (.*?) ?\|$", PAGE, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page defines; under ``printed`` what it printed, under ``runs`` its folder of runs."""
    folder = tmp_path_factory.mktemp("page")
    names: dict[str, Any] = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"docs/searchers.md, block {number}", "exec"), names)
    return names | {"printed": printed.getvalue(), "runs": folder / "runs"}


@pytest.mark.parametrize("named", CONTRACT)
def test_the_example_passes_the_whole_contract(named: str, page: dict[str, Any]) -> None:
    getattr(page["TestElite"](), named)()


@pytest.mark.parametrize("name", ["Guess", "Elite", "Patient", "ShortThenLong", "FrontElite"])
def test_so_do_the_steps_on_the_way(name: str, page: dict[str, Any]) -> None:
    class Contract(SearcherContract):
        def make_searcher(self, seed: int) -> Any:
            return page[name](seed)

    for named in CONTRACT:
        getattr(Contract(), named)()


def _best(page: dict[str, Any], name: str, seed: int, **options: Any) -> float:
    return raynas.search(page["space"], page["evaluate"], searcher=page[name](seed), num_trials=200, **options).best.value


def test_the_example_learns(page: dict[str, Any]) -> None:
    guessed, learnt = ([_best(page, name, seed) for seed in range(8)] for name in ("Guess", "Elite"))
    assert sum(learnt) / 8 > sum(guessed) / 8 + 0.15
    assert float(page["printed"].splitlines()[1]) > float(page["printed"].splitlines()[0])


def test_one_waits_and_one_repeats_with_a_larger_budget(page: dict[str, Any]) -> None:
    most: list[int] = []
    space, evaluate, search = page["space"], page["evaluate"], {"num_trials": 30, "max_concurrent": 16, "engine": "local"}
    raynas.search(space, evaluate, searcher=page["Patient"](0), on_event=lambda at: most.append(at.num_running), **search)
    assert max(most) == 4
    trials = raynas.search(space, evaluate, searcher=page["ShortThenLong"](0), **search).trials
    assert set(trials["budget"].to_pylist()) == {1, 9}


def test_the_constraint_and_the_objectives_are_kept(page: dict[str, Any]) -> None:
    constrained, front = page["printed"].splitlines()[2:4]
    assert constrained.startswith("Architecture(layer0=")
    assert "skip" not in constrained
    assert front.count("ParetoPoint") >= 3


def test_the_resumed_search_is_the_undisturbed_one(page: dict[str, Any]) -> None:
    searcher = page["ResumableElite"](seed=0)
    folder = {"storage_path": page["runs"], "name": "elite", "resume": True}
    resumed = raynas.search(page["space"], page["evaluate"], searcher=searcher, num_trials=60, **folder)
    whole = raynas.search(page["space"], page["evaluate"], searcher=page["ResumableElite"](seed=0), num_trials=60)
    assert resumed.trials["digest"].to_pylist() == whole.trials["digest"].to_pylist()


def test_tuners_of_others_are_told_results(page: dict[str, Any]) -> None:
    assert page["printed"].splitlines()[4:] == [f"{op} 0.25" for op in page["ops"]]


def test_the_entry_point_is_of_the_right_group() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert tomllib.loads(block) == {"project": {"entry-points": {GROUP: {"elite": "my_package.elite:ResumableElite"}}}}


def test_the_table_names_what_is_installed() -> None:
    installed = {point.name for point in distribution("raynas").entry_points if point.group == GROUP}
    assert {name for name, _, _ in ROWS} == installed


@pytest.mark.parametrize(("name", "method", "needs"), ROWS, ids=[name for name, _, _ in ROWS])
def test_the_table_names_paper_and_extra_as_the_file_does(name: str, method: str, needs: str) -> None:
    text = (ROOT / "searchers" / f"{name}.py").read_text()
    papers = PAPER.findall(method)
    assert len(papers) == (name != "grid")
    for author, year in papers:
        assert re.search(rf"{author}\b[^;]*?{year}", text, flags=re.DOTALL), f"{name}: {author} {year} is not in its file"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {f"`raynas[{extra}]`" for extra in extras if f"searchers/{name}.py" in _line_of(extra)}
    assert wanted == ({needs} - {""})


def _line_of(extra: str) -> str:
    """The lines of an extra in ``pyproject.toml``, with the comments that say who needs it."""
    return (ROOT / "pyproject.toml").read_text().split(f"\n{extra} = [")[1].split("\n]")[0]


def test_the_page_is_short() -> None:
    assert PAGE.count("\n") <= 250
