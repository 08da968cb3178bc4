"""`python -m tasks.training.distributed.agent ORDER`: torchrun's agent: starts the processes, ends all if one fails.

What `torchrun --standalone` does, but no port is opened to other machines: the processes find each other by a file, and
exchange tensors on the loopback interface. If one fails, a line of JSON says how each ended.
"""

from __future__ import annotations

import json
import os
import sys

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tasks.training.distributed.spec import Order

LOOPBACK = "127.0.0.1"
SECONDS_TO_END = 5
"""How long a process may take to end before it is killed."""


def main() -> None:
    """Returns when all processes have trained to the end; exits with 1 if not."""
    order = Order.read(sys.argv[1])
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # that store would listen to other machines
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=order.processes,
        run_id="training",
        rdzv_backend="c10d",
        rdzv_endpoint=str(order.file("agent")),
        rdzv_configs={"store_type": "file"},
        local_addr=LOOPBACK,
        max_restarts=0,
        shutdown_timeout=SECONDS_TO_END,
        logs_specs=DefaultLogsSpecs(log_dir=order.folder),
    )
    try:
        elastic_launch(config, sys.executable)("-m", order.worker, sys.argv[1])
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        sys.stdout.write(json.dumps({"codes": codes}) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
