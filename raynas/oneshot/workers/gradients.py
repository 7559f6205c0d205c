"""``GradientAverager``: gradients of many workers become one, of those parameters only that took part in the step.

``DistributedDataParallel`` either sends every parameter of the supernet at every step, or searches the graph for those that
took part. Here the choices say it before backward begins, so that buckets are sent while backward still runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raynas.errors import TrainingError

BUCKET_BYTES = 2 << 20  # large enough for the network, small enough to begin while backward runs


@dataclass
class _Bucket:
    """Parameters that travel together, all of one dtype, and which of them have arrived.

    Attributes:
        missing: numbers of those whose gradient backward has not made yet.
        flat: what is sent: the gradients one after the other; a large one alone is its own, and nothing is copied.
    """

    numbers: list[int]
    missing: set[int]
    flat: Tensor | None = None
    work: Any = None


class GradientAverager:
    """Sums gradients over all workers.

    Which parameters are expected is said before backward and is the same on all workers, and so is the order in which
    buckets are sent: nothing depends on which gradients a worker happens to have. What has not arrived when backward ends is
    sent as zeros. Last of all goes for each parameter a 1 from the workers that have a gradient, so that one that nobody used
    is left with ``grad`` None, without momentum and decay; and a 1 from those that have a gradient that was not expected: then
    all workers send what is left over.

    Args:
        parameters: those that are trained, in the same order on all workers.
        size: how many workers there are; with 1 nothing is done.
        bucket_bytes: how much travels at once; a parameter of a quarter of that travels alone.

    Attributes:
        bytes_sent: what this worker has handed to collectives so far.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], size: int, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.bytes_sent = 0
        self._parameters = list(parameters)
        self._size, self._bucket_bytes = size, bucket_bytes
        self._expected: list[int] = []
        self._buckets: list[_Bucket] = []
        self._bucket_of: dict[int, _Bucket] = {}
        self._next, self._armed = 0, False
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
        self._expected = [number for number in numbers if self._parameters[number].requires_grad]
        self._buckets, self._bucket_of, self._next, self._armed = [], {}, 0, True
        filling: dict[torch.dtype, _Bucket] = {}
        room: dict[torch.dtype, int] = {}
        for number in reversed(self._expected):  # backward begins at the end
            parameter = self._parameters[number]
            kind, alone = parameter.dtype, 4 * parameter.nbytes >= self._bucket_bytes
            if alone or kind not in filling or room[kind] < parameter.nbytes:
                bucket = _Bucket([], set())
                self._buckets.append(bucket)
                if not alone:
                    filling[kind], room[kind] = bucket, self._bucket_bytes
            else:
                bucket = filling[kind]
            if not alone:
                room[kind] -= parameter.nbytes
            bucket.numbers.append(number)
            bucket.missing.add(number)
            self._bucket_of[number] = bucket

    def finish(self) -> None:
        """Called after backward: send what has not been sent, wait, and put the sums where the gradients are."""
        if self._size == 1:
            return
        self._armed = False
        for bucket in self._buckets[self._next :]:
            self._send(bucket)
        left_over = [
            number
            for number, parameter in enumerate(self._parameters)
            if parameter.grad is not None and number not in self._bucket_of
        ]
        if self._receive(self._count_users(bool(left_over))):
            self._sum_left_over(left_over)
        self._buckets, self._bucket_of = [], {}

    def _arrived(self, number: int, _: Tensor) -> None:
        bucket = self._bucket_of.get(number) if self._armed else None
        if bucket is None:
            return
        bucket.missing.discard(number)
        while self._next < len(self._buckets) and not self._buckets[self._next].missing:
            self._send(self._buckets[self._next])
            self._next += 1

    def _send(self, bucket: _Bucket) -> None:
        pieces = []
        for number in bucket.numbers:
            parameter = self._parameters[number]
            if parameter.grad is not None and parameter.grad.layout != torch.strided:
                raise TrainingError("several workers cannot sum sparse gradients; make the Embedding with sparse=False")
            pieces.append(parameter.new_zeros(parameter.numel()) if parameter.grad is None else parameter.grad.reshape(-1))
        bucket.flat = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        self.bytes_sent += bucket.flat.nbytes
        bucket.work = dist.all_reduce(bucket.flat, async_op=True)

    def _count_users(self, left_over: bool) -> list[float]:
        """For each parameter expected how many workers have a gradient; at the end how many have one left over."""
        used = [self._parameters[number].grad is not None for number in self._expected]
        counts = torch.tensor([*used, left_over], dtype=torch.float32, device=self._parameters[0].device)
        dist.all_reduce(counts)
        self.bytes_sent += counts.nbytes
        listed: list[float] = counts.tolist()
        return listed

    def _receive(self, counts: list[float]) -> bool:
        """Put the sums in their places; whether some worker has something left over."""
        users = dict(zip(self._expected, counts, strict=False))
        for bucket in self._buckets:
            bucket.work.wait()
            assert bucket.flat is not None
            sizes = [self._parameters[number].numel() for number in bucket.numbers]
            for number, piece in zip(bucket.numbers, torch.split(bucket.flat, sizes), strict=True):
                parameter = self._parameters[number]
                parameter.grad = piece.view_as(parameter) if users[number] else None
        return bool(counts[-1])

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
