"""A user's file: how ``task``, ``plan`` and models are found in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from raynas.api.plan import Plan
from raynas.errors import RaynasError, TaskError
from raynas.explore import BY_VALUE
from raynas.oneshot import Task


def load_task_file(path: str | Path) -> tuple[Task, Plan]:
    """Run a file and take its ``task``, and its ``plan`` where it has one.

    What the file defines goes to workers by value: they need not be able to import it. Files beside it can be imported
    here, as from a script; on workers only if they are installed there or shipped with the job.

    Raises:
        TaskError: there is no such file, it raises, or it defines no task.
    """
    path = Path(path)
    if not path.is_file():
        raise TaskError(f"there is no file {path}; give the path of a Python file that defines task = raynas.Task(...)")
    module = _run(path)
    task, plan = getattr(module, "task", None), getattr(module, "plan", Plan())
    if not isinstance(task, Task):
        found = "nothing" if task is None else f"a {type(task).__name__}"
        raise TaskError(f"{path} defines {found} under the name task; expected task = raynas.Task(model=..., loss=..., ...)")
    if not isinstance(plan, Plan):
        raise TaskError(f"{path} defines a {type(plan).__name__} under the name plan; expected raynas.Plan(...)")
    return task, plan


def load_model(path: str | Path, name: str) -> nn.Module:
    """Run a file and make the model that it defines under ``name``: a class or a function without arguments, a task, a model.

    Raises:
        TaskError: there is no such file, it raises, or it defines no model under that name.
    """
    path = Path(path)
    if not path.is_file():
        raise TaskError(f"there is no file {path}; give the path of a Python file")
    found: Any = getattr(_run(path), name, None)
    try:
        model = _make_model(found)
    except Exception as error:
        raise TaskError(f"{path}: {name} raised {type(error).__name__} when it was called: {error}") from error
    if not isinstance(model, nn.Module):
        what = "nothing" if model is None else f"a {type(model).__name__}"
        raise TaskError(f"{path} defines {what} under the name {name}; expected a model, or what makes one without arguments")
    return model


def _make_model(found: Any) -> Any:
    if isinstance(found, Task):
        return found.model()
    return found() if callable(found) and not isinstance(found, nn.Module) else found


def _run(path: Path) -> ModuleType:
    name = f"raynas_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path} is no Python file; its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    setattr(module, BY_VALUE, True)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except RaynasError:
        raise
    except Exception as error:
        raise TaskError(f"{path} raised {type(error).__name__} when it was run: {error}") from error
    finally:
        sys.path.remove(folder)
    return module
