"""``Cell``: a small graph whose nodes choose their inputs and operators, as in NASNet and DARTS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.nn.frozen import WiredCell
from raynas.nn.input_choice import InputChoice
from raynas.nn.layer_choice import LayerChoice
from raynas.nn.mutable_scope import MutableScope
from raynas.nn.varying import Choices, Varying, check_forward

Factory = Callable[[int, int], nn.Module]


class Cell(MutableScope, Varying):
    """A graph of nodes: each picks some of what came before it, applies an operator to each pick and adds the results.

    Before node ``i`` came the inputs of the cell and the nodes 0 to ``i - 1``. A node picks ``num_ops_per_node`` different ones
    of them (Liu et al., "DARTS", ICLR 2019, section 2.1; in NASNet, Zoph et al., CVPR 2018, both picks may be the same). So a
    cell of ``n`` nodes with ``p`` predecessors, ``k`` operators a node and ``c`` candidates has
    prod(binomial(p + i, k) * c**k for i < n) architectures.

    Every candidate has weights of its own for each input that it may be applied to, since an operator that reads an input of
    the cell may need another stride than one that reads a node.

    Args:
        op_candidates: makes a candidate when called with the number of the node and the number of the input: a mapping of
            names, or a list.
        num_nodes: how many nodes there are.
        num_ops_per_node: how many inputs a node picks.
        num_predecessors: how many inputs the cell has; at least ``num_ops_per_node``.
        merge_op: the output: ``"all"`` nodes, or those that no other reads (``"loose_end"``; how many depends on the
            architecture), concatenated along dimension 1.
        key: cells with one key share all decisions; the keys are ``<key>.node<i>.inputs`` and ``<key>.node<i>.op<j>``.
            ``None``: they are paths.

    Raises:
        ModelError: the numbers do not fit each other.

    Shapes:
        Called with ``num_predecessors`` tensors (batch, channels, \\*), gives (batch, channels * number of nodes merged, \\*).

    Example:
        >>> import torch
        >>> from raynas.nn import generate_search_space
        >>> ops = {"skip": lambda node, input: nn.Identity(), "conv": lambda node, input: nn.Conv2d(8, 8, 3, padding=1)}
        >>> cell = Cell(ops, num_nodes=2, num_ops_per_node=2, num_predecessors=2, key="cell")
        >>> generate_search_space(cell).size
        48
    """

    def __init__(
        self,
        op_candidates: Mapping[str, Factory] | Sequence[Factory],
        num_nodes: int,
        num_ops_per_node: int = 1,
        num_predecessors: int = 1,
        merge_op: Literal["all", "loose_end"] = "all",
        *,
        key: str | None = None,
    ) -> None:
        super().__init__(key)
        if num_nodes < 1 or not 1 <= num_ops_per_node <= num_predecessors:
            raise ModelError(
                f"Cell {key or ''}: {num_nodes} nodes, {num_ops_per_node} operators a node, {num_predecessors} predecessors; "
                "expected at least one node, and as many predecessors as operators a node"
            )
        if merge_op not in ("all", "loose_end"):
            raise ModelError(f"Cell {key or ''}: merge_op is {merge_op!r}; expected 'all' or 'loose_end'")
        self.num_predecessors, self.merge_op = num_predecessors, merge_op
        named = op_candidates if isinstance(op_candidates, Mapping) else dict(enumerate(op_candidates))
        if not all(callable(make) and not isinstance(make, nn.Module) for make in named.values()):
            raise ModelError(
                f"Cell {key or ''}: found {list(named.values())!r}; expected functions that make a candidate, "
                "called with the number of the node and that of the input"
            )
        self.nodes = nn.ModuleList(
            Node({str(name): make for name, make in named.items()}, number, (num_predecessors + number, num_ops_per_node), key)
            for number in range(num_nodes)
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        if len(inputs) == 1 and isinstance(inputs[0], list | tuple):
            inputs = tuple(inputs[0])
        if len(inputs) != self.num_predecessors:
            raise ModelError(f"Cell {self.key!r}: found {len(inputs)} inputs; expected {self.num_predecessors}")
        states, used = list(inputs), set[int]()
        for node in self.nodes:
            output, sources = node(states)
            states.append(output)
            used.update(sources)
        return torch.cat([states[index] for index in self._merged(used)], dim=1)

    def _merged(self, used: set[int]) -> list[int]:
        numbers = range(self.num_predecessors, self.num_predecessors + len(self.nodes))
        return [number for number in numbers if self.merge_op == "all" or number not in used]

    def to_plain(self, choices: Choices) -> nn.Module:
        check_forward(type(self), "to_plain", "WiredCell")
        nodes, used = [], set[int]()
        for node in cast(Iterable[Node], self.nodes):
            sources = choices.indices(node.inputs)
            used.update(sources)
            nodes.append((sources, node.plain_ops(choices, sources)))
        return WiredCell(nodes, self._merged(used))


class Node(nn.Module):
    """One node of a cell.

    Args:
        factories: make the candidates.
        number: of the node.
        sizes: how many states there are before it, and how many of them it picks.
        key: of the cell.
    """

    def __init__(self, factories: Mapping[str, Factory], number: int, sizes: tuple[int, int], key: str | None) -> None:
        super().__init__()
        num_states, num_ops = sizes
        prefix = None if key is None else f"{key}.node{number}"
        self.inputs = InputChoice(
            num_states, n_chosen=num_ops, reduction="none", return_mask=True, key=prefix and f"{prefix}.inputs"
        )
        self.ops = nn.ModuleList()
        for slot in range(num_ops):
            # Picks ascend: this one leaves at least slot states before it and num_ops - 1 - slot after it.
            sources = range(slot, num_states - (num_ops - 1 - slot))
            candidates = {
                name: ByInput({source: make(number, source) for source in sources}) for name, make in factories.items()
            }
            self.ops.append(LayerChoice(candidates, key=prefix and f"{prefix}.op{slot}"))

    def forward(self, states: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """The sum of the operators' outputs, and the numbers of the states that were read."""
        picked, mask = self.inputs(states)
        sources = mask.nonzero().flatten().tolist()
        if len(sources) != len(self.ops):
            raise ModelError(f"key {self.inputs.key!r}: {len(sources)} inputs are picked; expected {len(self.ops)}")
        outputs = [op(state, source) for op, state, source in zip(self.ops, picked, sources, strict=True)]
        return sum(outputs[1:], start=outputs[0]), sources

    def plain_ops(self, choices: Choices, sources: Sequence[int]) -> list[nn.Module]:
        """The operator chosen for each pick, of its modules the one that reads the state picked."""
        plain = []
        for op, source in zip(cast(Iterable[LayerChoice], self.ops), sources, strict=True):
            candidate = cast(ByInput, op.candidates[choices.indices(op)[0]])
            plain.append(choices.copy(candidate.by_input[str(source)]))
        return plain


class ByInput(nn.Module):
    """One candidate, with a module for each state that it may be applied to."""

    def __init__(self, by_input: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.by_input = nn.ModuleDict({str(source): module for source, module in by_input.items()})

    def forward(self, state: Tensor, source: int) -> Any:
        return self.by_input[str(source)](state)
