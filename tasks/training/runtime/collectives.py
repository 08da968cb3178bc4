"""The processes that train one model together: what each takes of a batch, and how their parts become the whole.

All of them hold the same weights, and draw the same batches. Of each batch a process takes its share, and the gradients
are summed, so that a step is the one that a single process would make, but for rounding: a mean over the batch must
therefore be `batch_mean`, since the mean of the processes' means is another one where windows weigh differently.

A process alone is a group of one: then nothing is exchanged and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

T = TypeVar("T")


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0; the first one validates, writes checkpoints and reports."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(batch: NDArray[np.int64]) -> NDArray[np.int64]:
    """This process's part of a batch [windows].

    Every process takes all of a batch that has fewer windows than there are processes; `batch_mean` sets it right.
    """
    return batch[rank() :: count()] if len(batch) >= count() else batch


def takers(batch: NDArray[np.int64]) -> int:
    """How many processes take each window of the batch."""
    return 1 if len(batch) >= count() else count()


def batch_mean(total: Tensor, weight: Tensor) -> Tensor:
    """This process's part of the mean over the whole batch: `total` of its windows over the `weight` of all windows.

    Both are scalars. The parts add up to the mean, and their gradients to its gradient.
    """
    return total / summed(weight)


def summed(values: Tensor) -> Tensor:
    """The sum over the processes, without a gradient."""
    if not dist.is_initialized():
        return values
    values = values.detach().clone()
    dist.all_reduce(values)
    return values


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, handed to all: what they decide by must not differ by a rounding."""
    if not dist.is_initialized():
        return make()
    made: list[Any] = [make() if rank() == 0 else None]
    dist.broadcast_object_list(made)
    answer: T = made[0]
    return answer


class _Call(nn.Module):
    """A function of a model as a module, so that DistributedDataParallel sees the whole forward pass."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def synchronized(model: nn.Module, function: Callable[..., T]) -> Callable[..., T]:
    """`function`, a forward pass through `model`, such that its backward pass sums the gradients of all processes."""
    if not dist.is_initialized():
        return function
    together = DistributedDataParallel(_Call(model, function))
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    add_up = _sum_in_order if on_cpu else _sum
    together.register_comm_hook(None, lambda _, bucket: add_up(bucket))
    return together


def _sum_in_order(bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Adds up in the order of the ranks.

    How gloo's own sum rounds depends on where a value lies in the bucket, and DistributedDataParallel lays its buckets
    out anew after the first step: a training that goes on from a checkpoint would differ from one that was never
    interrupted.
    """
    parts = [torch.empty_like(bucket.buffer()) for _ in range(count())]
    gathered = dist.all_gather(parts, bucket.buffer(), async_op=True).get_future()

    def add(_: torch.futures.Future[Any]) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    summed_up: torch.futures.Future[Tensor] = gathered.then(add)
    return summed_up


def _sum(bucket: GradBucket) -> torch.futures.Future[Tensor]:
    reduced = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    summed_up: torch.futures.Future[Tensor] = reduced.then(lambda done: done.value()[0])
    return summed_up
