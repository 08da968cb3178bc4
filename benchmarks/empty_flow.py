"""An empty Prefect flow of eight cached tasks: the yardstick for a run that reuses everything.

python -m benchmarks.empty_flow
"""

from __future__ import annotations

from flows.ops.environment import configure_prefect
from flows.ops.log_lines import configure_logging

configure_prefect()

from prefect import Task, flow  # noqa: E402 (reads the settings when imported)


def nothing(number: int) -> int:
    return number


@flow(persist_result=False)
def empty() -> None:
    task = Task(
        nothing,
        cache_key_fn=lambda _, given: f"empty-{given['number']}",
        persist_result=True,
        result_serializer="json",
    )
    for number in range(8):
        task(number)


if __name__ == "__main__":
    configure_logging()
    empty()
