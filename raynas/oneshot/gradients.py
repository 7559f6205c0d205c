"""``GradientAverager``: gradients of many workers become one, of those parameters only that took part in the step.

``DistributedDataParallel`` either sends every parameter of the supernet at every step, or searches the graph for those that
took part. Here the choices say it before backward begins, so that buckets are sent while backward still runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raynas.errors import TrainingError

BUCKET_BYTES = 4 << 20  # large enough for the network, small enough to begin while backward runs
MAX_KNOWN_FLAGS = 10_000


@dataclass
class _Bucket:
    """Parameters that travel together, all of one dtype, and which of them have arrived.

    Attributes:
        missing: numbers of those whose gradient backward has not made yet.
        flat: what is sent: the gradients, then for each a 1 if this worker has one, then whether something is left over.
    """

    numbers: list[int]
    missing: set[int]
    flat: Tensor | None = None
    work: Any = None


class GradientAverager:
    """Sums gradients over all workers.

    Which parameters are expected is said before backward and is the same on all workers, and so is the order in which
    buckets are sent: nothing depends on which gradients a worker happens to have. What has not arrived when backward ends is
    sent as zeros. Beside each gradient goes a 1 from the workers that have one, so that a parameter that nobody used is left
    with ``grad`` None, without momentum and decay. A gradient that was not expected is announced with the last bucket, and
    then all workers send what is left over.

    Args:
        parameters: those that are trained, in the same order on all workers.
        size: how many workers there are; with 1 nothing is done.
        bucket_bytes: how much travels at once.

    Attributes:
        bytes_sent: what this worker has handed to collectives so far.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], size: int, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.bytes_sent = 0
        self._parameters = list(parameters)
        self._size, self._bucket_bytes = size, bucket_bytes
        self._buckets: list[_Bucket] = []
        self._bucket_of: dict[int, _Bucket] = {}
        self._next, self._armed = 0, False
        self._known_flags: dict[tuple[tuple[bool, ...], torch.dtype], Tensor] = {}
        if size > 1:
            for number, parameter in enumerate(self._parameters):
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(partial(self._arrived, number))  # type: ignore[no-untyped-call]

    def expect(self, numbers: Sequence[int]) -> None:
        """Called before the last backward of a step: from now on, what arrives is sent.

        Args:
            numbers: which parameters take part on any worker, in ascending order.
        """
        if self._size == 1:
            return
        self._buckets, self._bucket_of, self._next, self._armed = [], {}, 0, True
        filling: dict[torch.dtype, _Bucket] = {}
        room: dict[torch.dtype, int] = {}
        for number in reversed(numbers):  # backward begins at the end
            parameter = self._parameters[number]
            if not parameter.requires_grad:
                continue
            kind = parameter.dtype
            if kind not in filling or room[kind] < parameter.nbytes:
                filling[kind], room[kind] = _Bucket([], set()), self._bucket_bytes
                self._buckets.append(filling[kind])
            filling[kind].numbers.append(number)
            filling[kind].missing.add(number)
            room[kind] -= parameter.nbytes
            self._bucket_of[number] = filling[kind]

    def finish(self) -> None:
        """Called after backward: send what has not been sent, wait, and put the sums where the gradients are."""
        if self._size == 1:
            return
        self._armed = False
        left_over = [
            number
            for number, parameter in enumerate(self._parameters)
            if parameter.grad is not None and number not in self._bucket_of
        ]
        if not self._buckets:
            self._buckets.append(_Bucket([], set()))
        for bucket in self._buckets[self._next :]:
            self._send(bucket, bool(left_over))
        if self._receive():
            self._sum_left_over(left_over)
        self._buckets, self._bucket_of = [], {}

    def _arrived(self, number: int, _: Tensor) -> None:
        bucket = self._bucket_of.get(number) if self._armed else None
        if bucket is None:
            return
        bucket.missing.discard(number)
        while self._next < len(self._buckets) - 1 and not self._buckets[self._next].missing:
            self._send(self._buckets[self._next], left_over=False)  # the last one waits for ``finish``
            self._next += 1

    def _send(self, bucket: _Bucket, left_over: bool) -> None:
        pieces, used = [], []
        for number in bucket.numbers:
            parameter = self._parameters[number]
            if parameter.grad is not None and parameter.grad.layout != torch.strided:
                raise TrainingError("several workers cannot sum sparse gradients; make the Embedding with sparse=False")
            used.append(parameter.grad is not None)
            pieces.append(parameter.new_zeros(parameter.numel()) if parameter.grad is None else parameter.grad.reshape(-1))
        like = self._parameters[bucket.numbers[0]] if bucket.numbers else self._parameters[0]
        bucket.flat = torch.cat([*pieces, self._flags((*used, left_over), like)])
        self.bytes_sent += bucket.flat.nbytes
        bucket.work = dist.all_reduce(bucket.flat, async_op=True)

    def _flags(self, flags: tuple[bool, ...], like: Tensor) -> Tensor:
        """As numbers on the device, where most of the time they lie already."""
        kind = (flags, like.dtype)
        if kind not in self._known_flags:
            if len(self._known_flags) >= MAX_KNOWN_FLAGS:
                self._known_flags.clear()
            self._known_flags[kind] = torch.tensor(flags, dtype=like.dtype, device=like.device)
        return self._known_flags[kind]

    def _receive(self) -> bool:
        """Put the sums in their places; whether some worker has something left over."""
        counts: list[Tensor] = []
        pieces: list[tuple[int, Tensor]] = []
        for bucket in self._buckets:
            bucket.work.wait()
            assert bucket.flat is not None
            sizes = [self._parameters[number].numel() for number in bucket.numbers]
            *summed, count = torch.split(bucket.flat, [*sizes, len(sizes) + 1])
            counts.append(count.float())
            pieces += zip(bucket.numbers, summed, strict=True)
        listed = torch.cat(counts).tolist()  # one wait for the device
        ends = set(itertools.accumulate(len(count) for count in counts))
        used = [flag for number, flag in enumerate(listed, 1) if number not in ends]
        for (number, piece), count in zip(pieces, used, strict=True):
            parameter = self._parameters[number]
            parameter.grad = piece.view_as(parameter) if count else None
        return bool(listed[-1])

    def _sum_left_over(self, left_over: Sequence[int]) -> None:
        """Sum the gradients that nobody expected, once all workers know which there are on any of them."""
        which = torch.zeros(len(self._parameters), dtype=torch.int32, device=self._parameters[0].device)
        which[list(left_over)] = 1
        dist.all_reduce(which)
        self.bytes_sent += which.nbytes
        for number in which.nonzero().flatten().tolist():
            parameter = self._parameters[number]
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            self.bytes_sent += parameter.grad.nbytes
