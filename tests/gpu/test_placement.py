"""Nothing is computed on the CPU with what belongs on the device: seen on a device that is not there, and so on any machine."""

import copy

import pytest
import torch

from raynas.oneshot import METHODS
from tests.gpu.conftest import MakeTrainer
from tests.gpu.pretended import DEVICE, Pretended


def test_the_device_that_is_not_there_keeps_its_tensors_apart() -> None:
    with Pretended():
        there = torch.ones(3).to(DEVICE)
        assert (there.device, (there * 2).device) == (DEVICE, DEVICE)
        assert (there * torch.tensor(2.0) + 1).tolist() == [3, 3, 3]
        assert there[torch.tensor([0, 2])].tolist() == [1, 1]
        assert there.to("cpu").device.type == "cpu"
        for mixed in (
            lambda: there + torch.ones(3),
            lambda: torch.ones(3).add_(there),
            lambda: torch.tensor(1.0).add_(there[0]),
        ):
            with pytest.raises(RuntimeError, match="two devices"):
                mixed()


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")  # torch believes what the device is called
@pytest.mark.parametrize("method", METHODS)
def test_training_begun_on_the_cpu_goes_on_elsewhere(method: str, make: MakeTrainer) -> None:
    cpu = torch.device("cpu")
    trainer = make(method, cpu)
    for step in range(2):
        trainer.train_step(trainer.batches.step(0, step))
        trainer.step += 1
    state, own = copy.deepcopy((trainer.state_dict(), trainer.worker_state_dict()))
    with Pretended():
        moved = make(method, DEVICE)
        moved.load_state_dict(state)
        moved.load_worker_state_dict(own)
        moved.train()
        weights = {name: tensor.to(cpu) for name, tensor in moved.model.state_dict().items()}
        assert {tensor.device for tensor in moved.model.state_dict().values()} == {DEVICE}
    trainer.load_worker_state_dict(own)  # the generators are one for both
    trainer.train()
    assert moved.figures == trainer.figures
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(weights[name], tensor), name
