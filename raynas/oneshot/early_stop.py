"""``EarlyStop``: training ends when validation no longer gets better."""

from __future__ import annotations

from typing import Any


class EarlyStop:
    """Counts validations without a better figure.

    Args:
        patience: how many of them end the training; ``None``: none does.
        mode: ``"max"`` or ``"min"``, which figures are better.

    Attributes:
        best: the best figure so far; ``None`` before the first.
        num_without: validations since then.
    """

    def __init__(self, patience: int | None, mode: str) -> None:
        self.patience, self._sign = patience, 1 if mode == "max" else -1
        self.best: float | None = None
        self.num_without = 0

    def tell(self, value: float) -> bool:
        """Take in a figure; whether training should stop. A figure that is no number is not better."""
        if self.best is None or self._sign * value > self._sign * self.best:
            self.best, self.num_without = value, 0
        else:
            self.num_without += 1
        return self.patience is not None and self.num_without >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "num_without": self.num_without}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.num_without = state["best"], state["num_without"]
