"""`python -m tasks.training.distributed.agent SPEC`: torchrun's agent starts the workers, and ends all if one fails.

Like `torchrun --standalone`, but without a port open to other machines: the processes find each other through a file,
and exchange tensors on the loopback interface. If one fails, the agent prints all exit codes as a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tasks.training.distributed.spec import LaunchSpec

LOOPBACK = "127.0.0.1"
SECONDS_TO_END = 5
"""Grace period before a process is killed."""


def main() -> None:
    """Returns when all processes have finished training; exits with 1 if one fails."""
    spec = LaunchSpec.read(sys.argv[1])
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # that store listens on all interfaces
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=spec.processes,
        run_id="training",
        rdzv_backend="c10d",
        rdzv_endpoint=str(spec.file("agent")),
        rdzv_configs={"store_type": "file"},
        local_addr=LOOPBACK,
        max_restarts=0,
        shutdown_timeout=SECONDS_TO_END,
        logs_specs=DefaultLogsSpecs(log_dir=spec.folder),
    )
    try:
        elastic_launch(config, sys.executable)("-m", spec.worker, sys.argv[1])
    except ChildFailedError as error:
        exit_codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        sys.stdout.write(json.dumps({"exit_codes": exit_codes}) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
