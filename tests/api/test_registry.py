import pickle
from pathlib import Path

import torch

import raynas
from raynas.api.registry import ray_is_running


def test_without_ray_it_lies_in_this_process_and_is_mirrored(tiny_task: raynas.Task, tmp_path: Path) -> None:
    if ray_is_running():
        raynas_registry = raynas.WeightRegistry("api-registry-with-ray", tmp_path)
    else:
        raynas_registry = raynas.WeightRegistry("api-registry", tmp_path)
    model = tiny_task.model()
    version = raynas_registry.publish(model)
    architecture = raynas.generate_search_space(model).unrank(0)
    fetched = raynas_registry.fetch(architecture, version=version)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in fetched.items())
    assert (tmp_path / "versions" / "000001.json").is_file()


def test_it_goes_to_another_process_by_its_name(tiny_task: raynas.Task, tmp_path: Path) -> None:
    registry = raynas.WeightRegistry("api-registry-pickled", tmp_path)
    version = registry.publish(tiny_task.model())
    copy = pickle.loads(pickle.dumps(registry))
    assert (copy.name, copy.storage_path, copy.versions()) == (registry.name, str(tmp_path), [version])
