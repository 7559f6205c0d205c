"""Which operators and connections should a small network for handwritten digits have?

The file to copy: everything that a search needs is here. Run it with ``raynas run examples/digits.py``.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import raynas
from raynas.nn import InputChoice, LayerChoice

CHANNELS = 12


def conv(kernel: int, groups: int = 1) -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=groups, bias=False)


def candidates() -> dict[str, nn.Module]:
    """What a layer may do; all of it keeps the shape (batch, CHANNELS, 8, 8)."""
    return {
        "identity": nn.Identity(),
        "pool": nn.AvgPool2d(3, stride=1, padding=1),
        "conv1x1": nn.Sequential(conv(1), nn.BatchNorm2d(CHANNELS), nn.ReLU()),
        "separable3x3": nn.Sequential(conv(3, groups=CHANNELS), conv(1), nn.BatchNorm2d(CHANNELS), nn.ReLU()),
        "conv3x3": nn.Sequential(conv(3), nn.BatchNorm2d(CHANNELS), nn.ReLU()),
    }


class Net(nn.Module):
    """A 1x1 stem, three stages of residual layers, and a head that sees two of the stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, CHANNELS, 1, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.ModuleList(LayerChoice(candidates(), key=f"stage{stage}.layer{layer}") for layer in range(depth))
            for stage, depth in enumerate((2, 2, 2), 1)
        )
        self.skip = InputChoice(choose_from=["stage1", "stage2", "stage3"], n_chosen=2, key="head.inputs")
        self.pool = LayerChoice({"average": nn.AdaptiveAvgPool2d(2), "max": nn.AdaptiveMaxPool2d(2)}, key="head.pool")
        self.norm, self.head = nn.BatchNorm2d(CHANNELS), nn.Linear(CHANNELS * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        outputs = []
        for stage in self.stages:
            for layer in stage:
                x = x + layer(x)  # without the residual, the weights that architectures share would not rank them
            outputs.append(x)
        x = self.pool(self.norm(self.skip(outputs)))
        return self.head(x.flatten(1))


def digits(start: int, stop: int) -> TensorDataset:
    """Real scans from the scikit-learn wheel: 1,797 images of 8 x 8 grey values, in a fixed random order."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))[start:stop]
    inputs = torch.tensor(images[order], dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return TensorDataset(inputs, torch.tensor(labels[order]))


def accuracy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (output.argmax(1) == target).float().mean()


task = raynas.Task(
    model=Net,
    loss=nn.functional.cross_entropy,
    metrics={"accuracy": accuracy},
    optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-2),
    schedule=lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
    train_data=lambda: digits(0, 1000),
    valid_data=lambda: digits(1000, 1400),
    test_data=lambda: digits(1400, 1797),
    batch_size=64,
)

plan = raynas.Plan(
    supernet_epochs=120,
    num_trials=200,
    searcher="spos_evolution",
    searcher_options={"population_size": 40},
    max_flops=350_000,  # of one forward pass; so taking the largest candidate everywhere is not the answer
    retrain_epochs=12,
    num_random=5,
)
