"""An expectation and its result in words: column, limit, what was observed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tasks.shared.checks.report import Expected
from tasks.shared.errors import one_line

MARKS = {"holds": "✓", "warns": "!", "stops": "✗"}
_ROWS = re.compile(r"^(\d+) of (\d+) rows$")
_NUMBER = re.compile(r"(?:[ /]|[ /]part-|^part-)\d+$")
_VALUES_SHOWN = 8


def verdict(result: Expected) -> str:
    """`holds`, `warns` or `stops`."""
    if result.success:
        return "holds"
    return "stops" if result.severity == "critical" else "warns"


def column(result: Expected) -> str:
    """The column or columns that the expectation is about; empty for one about the number of rows."""
    arguments = result.arguments
    names = arguments.get("column_list") or [arguments.get(key) for key in ("column", "column_A")]
    return ", ".join(str(name) for name in names if name)


def limit(result: Expected) -> str:
    """What is expected of the column, for example `at least 20`."""
    kind, arguments = result.expectation, result.arguments
    if kind == "schema":
        return "columns and types as in the contract"
    words = next((words for part, words in _LIMITS.items() if part in kind), None)
    if words is not None:
        return words(arguments)
    bounds = " and ".join(_bounds(arguments))
    if not bounds:
        return kind.replace("_", " ")
    return f"{bounds} rows" if "row_count" in kind else f"{'length ' if 'lengths' in kind else ''}{bounds}"


def _bounds(arguments: Mapping[str, Any]) -> Iterator[str]:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None and low == high:
        yield f"exactly {number(low)}"
        return
    if low is not None:
        yield f"{'more than' if arguments.get('strict_min') else 'at least'} {number(low)}"
    if high is not None:
        yield f"{'less than' if arguments.get('strict_max') else 'at most'} {number(high)}"


def _one_of(values: list[Any]) -> str:
    if len(values) == 1:
        return number(values[0])
    return f"one of {_listed(values)}"


def _equal_set(arguments: Mapping[str, Any]) -> str:
    return f"values are exactly {_listed(arguments.get('value_set', []))}"


def _in_set(arguments: Mapping[str, Any]) -> str:
    return _one_of(arguments.get("value_set", []))


def _equal(arguments: Mapping[str, Any]) -> str:
    return f"equal to {arguments.get('column_B')}"


def _greater(arguments: Mapping[str, Any]) -> str:
    return f"{'at least' if arguments.get('or_equal') else 'more than'} {arguments.get('column_B')}"


_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "not_be_null": lambda _: "present in every row",
    "compound_columns_to_be_unique": lambda _: "unique together",
    "to_be_unique": lambda _: "unique",
    "to_equal_set": _equal_set,
    "to_be_in_set": _in_set,
    "pair_values_to_be_equal": _equal,
    "to_be_greater_than": _greater,
}
"""The words for an expectation whose name has this part."""


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - _VALUES_SHOWN:,} more" if len(values) > _VALUES_SHOWN else ""
    return ", ".join(map(str, values[:_VALUES_SHOWN])) + more


def observed(result: Expected) -> str:
    """What was observed: a value, or how many rows do not meet the limit and the range of their values."""
    found = _ROWS.match(result.observed) if isinstance(result.observed, str) else None
    if result.observed is None:
        return "as expected" if result.success else "not as expected"
    if found is None:
        return number(result.observed)
    failed, rows = int(found[1]), int(found[2])
    if not rows:
        return "no rows"
    text = f"not so in {failed:,} of {rows:,} rows" if failed else f"so in {'all ' if rows > 1 else ''}{_rows(rows)}"
    if result.range is None:
        return text
    low, high = result.range
    return f"{text}: {number(low)}" + ("" if low == high else f" to {number(high)}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def number(value: Any) -> str:
    """A value for people: thousands separators, four significant digits."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def sentence(result: Expected, stage: str = "") -> str:
    """The expectation, what was observed, example rows and the reason, in one line.

    A batch called like the `stage`, which the line begins with, is not named again.
    """
    about = [name for name in (result.batch, column(result)) if name not in {"", stage}]
    text = ": ".join([*about, f"expected {limit(result)}, found {observed(result)}"])
    shown = "; ".join(examples(result)) if len(result.examples) > 1 or isinstance(result.observed, str) else ""
    return one_line(f"{text}{f', for example {shown}' if shown else ''} ({result.reason})", 1000)


def examples(result: Expected) -> list[str]:
    """The example rows or values, each on one line."""
    return [
        one_line(", ".join(f"{key} {number(one)}" for key, one in value.items()), 200)
        if isinstance(value, Mapping)
        else one_line(number(value), 200)
        for value in result.examples
    ]


def merged(results: Sequence[Expected]) -> list[Expected]:
    """The results in order; those of numbered batches of one table, which have the same expectations, are joined."""
    found: dict[tuple[str, ...], list[Expected]] = {}
    for result in results:
        batch = _NUMBER.sub("", result.batch) or "parts"
        key = (batch, result.expectation, json.dumps(result.arguments, sort_keys=True), result.reason, result.severity)
        found.setdefault(key, []).append(result)
    return [_joined(key[0], group) for key, group in found.items()]


def _joined(batch: str, group: Sequence[Expected]) -> Expected:
    counts = [_ROWS.match(str(each.observed)) for each in group]
    if len(group) == 1 or not all(counts):
        return next((each for each in group if not each.success), group[0]).model_copy(update={"batch": batch})
    failed, rows = (sum(int(count[i]) for count in counts if count) for i in (1, 2))
    ranges = [each.range for each in group if each.range is not None]
    return group[0].model_copy(
        update={
            "batch": batch,
            "success": all(each.success for each in group),
            "observed": f"{failed} of {rows} rows",
            "examples": [example for each in group for example in each.examples][:5],
            "range": (min(r[0] for r in ranges), max(r[1] for r in ranges)) if ranges else None,
        }
    )


def in_words(result: Expected) -> dict[str, Any]:
    """The parts of the line about an expectation, as `corpusflow inspect --json` prints them."""
    return {
        "verdict": verdict(result),
        "column": column(result),
        "limit": limit(result),
        "found": observed(result),
        "reason": result.reason,
    }
