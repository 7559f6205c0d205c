"""A user's file: how ``task`` and ``plan`` are found in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from raynas.api.plan import Plan
from raynas.errors import RaynasError, TaskError
from raynas.oneshot import BY_VALUE, Task


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
