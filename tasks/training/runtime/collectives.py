"""Data parallelism: each process's shard of a batch, and how the shards' gradients become the batch's gradient.

All processes hold the same weights and draw the same batches. Each takes its shard of a batch, and the gradients are
summed, so that a step equals that of a single process except for rounding. A mean over the batch must therefore be
`batch_mean`: the mean of the processes' means differs from it if windows have different weights.

A single process is a group of one: it exchanges nothing.
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


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0; rank 0 validates, writes checkpoints and reports."""
    return dist.get_rank() if dist.is_initialized() else 0


def shard(batch: NDArray[np.int64]) -> NDArray[np.int64]:
    """This process's shard of a batch [windows].

    With fewer windows than processes, every process takes the whole batch; `batch_mean` corrects for it.
    """
    return batch[rank() :: world_size()] if len(batch) >= world_size() else batch


def replication(batch: NDArray[np.int64]) -> int:
    """Number of processes that take each window of the batch."""
    return 1 if len(batch) >= world_size() else world_size()


def batch_mean(total: Tensor, weight: Tensor) -> Tensor:
    """This process's term of the mean over the whole batch: its windows' `total` over the `weight` of all windows.

    Both are scalars. The terms add up to the mean, and their gradients to its gradient.
    """
    return total / all_reduce_sum(weight)


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over the processes, without a gradient."""
    if not dist.is_initialized():
        return values
    values = values.detach().clone()
    dist.all_reduce(values)
    return values


def broadcast_from_rank0(make: Callable[[], T]) -> T:
    """The result of `make` on rank 0, in every process: decisions must not depend on each process's rounding."""
    if not dist.is_initialized():
        return make()
    results: list[Any] = [make() if rank() == 0 else None]
    dist.broadcast_object_list(results)
    result: T = results[0]
    return result


class _Forward(nn.Module):
    """A function of a model as a module, so that DistributedDataParallel sees the whole forward pass."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def wrap_ddp(model: nn.Module, function: Callable[..., T]) -> Callable[..., T]:
    """`function`, a forward pass through `model`, with a backward pass that sums the gradients of all processes."""
    if not dist.is_initialized():
        return function
    wrapped = DistributedDataParallel(_Forward(model, function))
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    reduce = _sum_in_rank_order if on_cpu else _sum
    wrapped.register_comm_hook(None, lambda _, bucket: reduce(bucket))
    return wrapped


def _sum_in_rank_order(bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Adds up in the order of the ranks.

    The rounding of gloo's own sum depends on a value's place in the bucket, and DistributedDataParallel rearranges its
    buckets after the first step: a resumed training would differ from an uninterrupted one.
    """
    gradients = [torch.empty_like(bucket.buffer()) for _ in range(world_size())]
    gathered = dist.all_gather(gradients, bucket.buffer(), async_op=True).get_future()

    def add(_: torch.futures.Future[Any]) -> Tensor:
        total = gradients[0]
        for gradient in gradients[1:]:
            total += gradient
        return total

    total: torch.futures.Future[Tensor] = gathered.then(add)
    return total


def _sum(bucket: GradBucket) -> torch.futures.Future[Tensor]:
    reduced = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    total: torch.futures.Future[Tensor] = reduced.then(lambda done: done.value()[0])
    return total
