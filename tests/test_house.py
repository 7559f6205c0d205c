"""The rules of the house that can be checked by a machine: layers, names, the mirrored tree, sizes."""

import ast
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RAYNAS = ROOT / "raynas"
SOURCES = sorted([*RAYNAS.rglob("*.py"), *(ROOT / "searchers").glob("*.py")])

# What each folder may import, beside the standard library, raynas.errors and raynas.storage.
LAYERS = {
    "space": set(),
    "explore": {"pyarrow", "space"},
    "nn": {"torch", "space"},
    "mutators": {"torch", "space", "nn"},
    "weights": {"torch", "safetensors", "pyarrow", "numpy", "xxhash", "space", "nn"},
    "oneshot": {"torch", "numpy", "tensorboardX", "space", "nn", "mutators", "weights"},
    "zoo": {"torch", "space", "nn"},
    "runtime": {"ray", "torch", "pyarrow", "numpy", "space", "explore", "nn", "mutators", "weights", "oneshot"},
    "report": {"matplotlib", "pyarrow", "numpy", "space", "explore"},
    "api": {
        *("torch", "pyarrow", "safetensors"),
        *("space", "explore", "nn", "mutators", "weights", "oneshot", "report", "runtime"),
    },
    "testing": {"pytest", "hypothesis", "numpy", "torch", "space", "explore", "nn", "weights"},
    "cli": {"click", "rich", "raynas"},
    "searchers": {"numpy", "torch", "optuna", "space", "explore"},
}


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Every import of a file: full module name, line, whether it is inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.is_relative_to(ROOT / "searchers"), f"{path}:{node.lineno} is relative"
            module = "raynas_searchers" if node.level else node.module or ""
            found.append((module, node.lineno, id(node) in inside))
    return found


def folder_of(path: Path) -> str:
    relative = path.relative_to(ROOT).parts
    return "searchers" if relative[0] == "searchers" else relative[1] if len(relative) > 2 else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_imports_only_what_its_row_names(path: Path) -> None:
    folder = folder_of(path)
    if not folder:
        return
    for name, line, in_function in imports(path):
        top, _, rest = name.partition(".")
        wanted = rest.partition(".")[0] if top == "raynas" and rest else top
        if top in sys.stdlib_module_names or wanted in (folder, "errors", "storage", "raynas_searchers"):
            continue
        assert wanted in LAYERS[folder], f"{path}:{line} imports {name}; {folder} may import {sorted(LAYERS[folder])}"
        if folder == "api" and wanted == "runtime":
            assert in_function, f"{path}:{line} imports the runtime at its top; Ray is loaded inside functions only"


def test_the_table_of_layers_names_every_folder() -> None:
    folders = {path.name for path in RAYNAS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders | {"searchers"} == set(LAYERS)


def test_no_public_name_is_the_name_of_a_module() -> None:
    import raynas

    modules = {path.stem if path.suffix else path.name for path in RAYNAS.iterdir() if path.name != "__pycache__"}
    assert not modules & set(raynas.__all__)


def test_public_names_are_sorted_and_the_same_three_times() -> None:
    import raynas

    assert raynas.__all__ == sorted(raynas.__all__)
    assert set(raynas.__all__) == {*raynas._HOMES, "__version__"}
    assert set(dir(raynas)) == set(raynas.__all__)
    tree = ast.parse((RAYNAS / "__init__.py").read_text())
    typed = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed - {None} == set(raynas._HOMES)


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_every_module_leaves_public_names_as_they_were() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.is_relative_to(RAYNAS)
    ]
    assert (
        run_python(
            "import raynas, importlib\n"
            "before = {name: getattr(raynas, name) for name in raynas.__all__}\n"
            f"for name in {names!r}: importlib.import_module(name)\n"
            "print([name for name in raynas.__all__ if getattr(raynas, name) is not before[name]])"
        )
        == "[]"
    )


def test_importing_raynas_loads_neither_torch_nor_ray() -> None:
    heavy = ("torch", "ray", "pyarrow", "matplotlib", "numpy")
    assert run_python(f"import raynas, sys; print([name for name in {heavy!r} if name in sys.modules])") == "[]"


def test_the_local_engine_and_training_in_process_load_no_ray(tmp_path: Path) -> None:
    assert (
        run_python(
            "import sys, torch, raynas\n"
            "from torch import nn\n"
            "data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))\n"
            "net = lambda: nn.Sequential(raynas.nn.LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2)], key='op'))\n"
            "import raynas.nn\n"
            "task = raynas.Task(model=net, loss=nn.functional.cross_entropy, train_data=data, valid_data=data, batch_size=4,\n"
            "                   optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))\n"
            f"raynas.train_supernet(task, num_workers=0, epochs=1, storage_path={str(tmp_path)!r}, name='net')\n"
            "space = raynas.generate_search_space(net())\n"
            "evaluate = raynas.inherited(task, registry='net')\n"
            "raynas.search(space, evaluate, metric='loss', mode='min', num_trials=2, engine='local')\n"
            "print('ray' in sys.modules)"
        )
        == "False"
    )


def test_every_module_has_its_tests_at_the_mirrored_place() -> None:
    missing = []
    for path in SOURCES:
        if path.name == "__init__.py" or not folder_of(path):
            continue
        relative = path.relative_to(RAYNAS) if path.is_relative_to(RAYNAS) else path.relative_to(ROOT)
        if not (ROOT / "tests" / relative.parent / f"test_{relative.name}").is_file():
            missing.append(str(relative))
    assert not missing, f"modules without tests: {missing}"


def test_files_and_functions_are_small() -> None:
    too_long = []
    for path in SOURCES:
        text = path.read_text()
        if text.count("\n") > 300:
            too_long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
                if length > 40:
                    too_long.append(f"{path.name}: {node.name} has {length} lines")
    assert not too_long, too_long


def test_extras_say_which_file_needs_them() -> None:
    lines = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("[project.scripts]")[0]
    wanted = [line for line in lines.splitlines() if line.startswith('    "') and "raynas[" not in line]
    assert wanted
    assert not [line for line in wanted if "#" not in line and "pytest>" not in line]


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    needed = {re.split(r"[;>\[ ]", requirement)[0].lower() for requirement in requires("raynas") or []}
    assert needed - {"raynas"} <= pinned
