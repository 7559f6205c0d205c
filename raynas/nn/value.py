"""``Value``: a number or a name that depends on choices; its arithmetic; and what it can become.

The value that is itself chosen is in ``value_choice``.
"""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from raynas.errors import ModelError
from raynas.nn.frozen import Constant
from raynas.nn.varying import Choices, Varying

MAX_ASSIGNMENTS = 100_000
Decided = Mapping[int, Any]  # id of a chosen mutable -> its value


class Value(Varying):
    """A number or a name that depends on choices. Called, it gives the current one.

    Arithmetic (``width * 4``, ``width // heads``, ``-x``, ``round(x)``) gives derived values, which need no key; so do
    ``Value.max(a, b)`` and ``Value.min(a, b)``. Comparing is refused, since what it would give is not known yet; Python's own
    ``max`` compares, and is refused with it.

    As an attribute of a module, a value becomes a constant when the model is frozen, and is called as before.

    Example:
        >>> from raynas.nn import ValueChoice
        >>> width = ValueChoice([16, 32], key="width")
        >>> sorted(possible(width * 4))
        [64, 128]
        >>> sorted(possible(Value.max(width, 24)))
        [24, 32]
    """

    def evaluate(self, decided: Decided) -> Any:
        """What this value is once choices are made. Raises ``KeyError`` where one is not."""
        raise TypeError(f"{type(self).__name__} does not say what it becomes; define evaluate")

    def to_plain(self, choices: Choices) -> nn.Module:
        return Constant(self.evaluate(choices.decided))

    @staticmethod
    def max(*values: Any) -> DerivedValue:
        """The largest of several values or numbers."""
        return DerivedValue(_largest, values, "max")

    @staticmethod
    def min(*values: Any) -> DerivedValue:
        """The smallest of several values or numbers."""
        return DerivedValue(_smallest, values, "min")

    def __add__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.add, (self, other), "+")

    def __radd__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.add, (other, self), "+")

    def __sub__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.sub, (self, other), "-")

    def __rsub__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.sub, (other, self), "-")

    def __mul__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.mul, (self, other), "*")

    def __rmul__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.mul, (other, self), "*")

    def __truediv__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.truediv, (self, other), "/")

    def __rtruediv__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.truediv, (other, self), "/")

    def __floordiv__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.floordiv, (self, other), "//")

    def __rfloordiv__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.floordiv, (other, self), "//")

    def __mod__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.mod, (self, other), "%")

    def __rmod__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.mod, (other, self), "%")

    def __pow__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.pow, (self, other), "**")

    def __rpow__(self, other: Any) -> DerivedValue:
        return DerivedValue(operator.pow, (other, self), "**")

    def __neg__(self) -> DerivedValue:
        return DerivedValue(operator.neg, (self,), "-")

    def __round__(self, digits: int | None = None) -> DerivedValue:
        return DerivedValue(round, (self,) if digits is None else (self, digits), "round")

    def __floor__(self) -> DerivedValue:
        return DerivedValue(math.floor, (self,), "floor")

    def __ceil__(self) -> DerivedValue:
        return DerivedValue(math.ceil, (self,), "ceil")

    def __lt__(self, other: Any) -> bool:
        raise ModelError(
            f"{self} cannot be compared before it is chosen; write Value.max(a, b) or Value.min(a, b), "
            "or compare the current value, self.width() > 8, in forward"
        )

    __gt__ = __le__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int | float | str):
            raise ModelError(f"{self} cannot be compared before it is chosen; compare the current value, self.width() == 8")
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __index__(self) -> int:
        raise ModelError(f"{self} is not chosen yet; give it to a layer of raynas.nn, or call it in forward")


class DerivedValue(Value):
    """A value computed from others.

    Args:
        compute: gives the value from those of the operands.
        operands: values, numbers or names.
        name: how the operation is written.
    """

    def __init__(self, compute: Callable[..., Any], operands: tuple[Any, ...], name: str) -> None:
        super().__init__()
        for operand in operands:
            if not isinstance(operand, Value | int | float | str):
                raise ModelError(f"{name}: found {operand!r}; expected a value of raynas.nn, a number or a string")
        self.compute, self.operands, self.name = compute, operands, name
        for position, operand in enumerate(operands):
            if isinstance(operand, Value):
                self.add_module(str(position), operand)

    def forward(self) -> Any:
        return self._computed([current(operand) for operand in self.operands])

    def evaluate(self, decided: Decided) -> Any:
        return self._computed([evaluate(operand, decided) for operand in self.operands])

    def _computed(self, operands: list[Any]) -> Any:
        try:
            return self.compute(*operands)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ModelError(f"{self} cannot be computed from {operands}: {error}") from error

    def __repr__(self) -> str:
        if len(self.operands) == 2 and not self.name.isalpha():
            return f"({self.operands[0]} {self.name} {self.operands[1]})"
        return f"{self.name}({', '.join(map(str, self.operands))})"


class Chosen(Value):
    """A value that is chosen itself: a mutable with a key."""

    given_key: str | None

    def evaluate(self, decided: Decided) -> Any:
        return decided[id(self)]

    def possible(self) -> tuple[Any, ...]:
        """All values in the order of the search space."""
        raise TypeError(f"{type(self).__name__} does not say what it can become; define possible")


def _largest(*values: Any) -> Any:
    return builtins.max(values)  # of one too, unlike max(*values)


def _smallest(*values: Any) -> Any:
    return builtins.min(values)


def current(argument: Any) -> Any:
    """The current value of an argument: a value is called, in tuples too, anything else is itself."""
    if isinstance(argument, Value | Constant):  # a constant, where a frozen model's list holds a derived value
        return argument()
    return tuple(map(current, argument)) if isinstance(argument, tuple) else argument


def evaluate(argument: Any, decided: Decided) -> Any:
    """``current``, by given choices instead of a mutator's."""
    if isinstance(argument, Value):
        return argument.evaluate(decided)
    return tuple(evaluate(entry, decided) for entry in argument) if isinstance(argument, tuple) else argument


def possible(argument: Any) -> set[Any]:
    """All that an argument can become."""
    return {values[0] for values in joint(argument)}


def joint(*arguments: Any) -> Iterator[tuple[Any, ...]]:
    """What several arguments become together, for each way in which their choices can be made.

    Raises:
        ModelError: there are more than 100,000 ways.
    """
    groups: dict[Any, list[Chosen]] = {}
    for argument in arguments:
        for leaf in _leaves(argument):
            groups.setdefault(id(leaf) if leaf.given_key is None else leaf.given_key, []).append(leaf)
    options = [group[0].possible() for group in groups.values()]
    if math.prod(map(len, options)) > MAX_ASSIGNMENTS:
        raise ModelError(f"{arguments} depend on choices that can be made in more than {MAX_ASSIGNMENTS:,} ways")
    for picked in itertools.product(*options):
        decided = {id(leaf): value for group, value in zip(groups.values(), picked, strict=True) for leaf in group}
        yield tuple(evaluate(argument, decided) for argument in arguments)


def _leaves(argument: Any) -> list[Chosen]:
    if isinstance(argument, tuple):
        return [leaf for entry in argument for leaf in _leaves(entry)]
    return [module for module in argument.modules() if isinstance(module, Chosen)] if isinstance(argument, Value) else []
