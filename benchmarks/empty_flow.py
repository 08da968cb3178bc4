"""An empty Prefect flow of eight cached tasks: what a run in which nothing is to do is measured against.

python -m benchmarks.empty_flow
"""

from __future__ import annotations

from flows.ops import environment

environment.settle()

from prefect import Task, flow  # noqa: E402 (the settings must be there first)


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
    environment.speak_plainly()
    empty()
