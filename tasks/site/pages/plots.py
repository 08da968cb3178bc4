"""The plots of an artifact: balance of labels and lengths next to the champion's, and learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.cleaning.schema import CONFLICTS_DATASET
from tasks.evaluation.schema import DOUBTFUL, MISTAKES, WORDS
from tasks.site.drawing.charts import HALF, Chart, Histogram, Value, histogram, line_chart
from tasks.site.reading.tables import Lengths, Table
from tasks.training.schema import HISTORY_FILE

LABELS_SHOWN = 40
LISTS = {CONFLICTS_DATASET, DOUBTFUL, MISTAKES, WORDS}
"""Tables that list exceptions: their balance says nothing."""
CURVES = {
    "loss": {"train_loss": "training", "validation_loss": "out of fold"},
    "accuracy": {"train_window_accuracy": "training windows", "validation_accuracy": "out of fold"},
}


@dataclass(frozen=True)
class Bar:
    """A value's count, and its shares here and in the champion's artifact, from 0 to 1."""

    name: str
    count: int
    share: float
    before: float | None


@dataclass(frozen=True)
class Balance:
    """How often each value of a column occurs, most frequent first."""

    column: str
    table: str
    bars: Sequence[Bar]
    more: int
    largest: float


def balances(tables: Sequence[Table], before: Sequence[Table]) -> list[Balance]:
    """The balance of each counted column of a table, next to the champion's; of equal ones the first."""
    earlier = {table.name: table.counts for table in before}
    found: list[Balance] = []
    for table in tables:
        for column, counts in table.counts.items():
            balance = _balance(table.name, column, counts, earlier.get(table.name, {}).get(column))
            known = any((each.column, each.bars) == (column, balance.bars) for each in found)
            if table.name not in LISTS and not known:
                found.append(balance)
    return found


def _balance(table: str, column: str, counts: Mapping[str, int], before: Mapping[str, int] | None) -> Balance:
    total, former = max(1, sum(counts.values())), max(1, sum((before or {}).values()))
    names = sorted({*counts, *(before or {})}, key=lambda name: (-counts.get(name, 0), name))
    bars = [
        Bar(
            name,
            count := counts.get(name, 0),
            count / total,
            None if before is None else before.get(name, 0) / former,
        )
        for name in names
    ]
    largest = max([max(bar.share, bar.before or 0.0) for bar in bars], default=1.0)
    return Balance(column, table, bars[:LABELS_SHOWN], len(bars) - len(bars[:LABELS_SHOWN]), largest or 1.0)


@dataclass(frozen=True)
class LengthChart:
    """The lengths of a table's texts, and those of the champion's; None if there are none to compare with."""

    now: Lengths
    before: Lengths | None
    drawn: Histogram


def length_charts(tables: Sequence[Table], before: Sequence[Table]) -> Iterator[tuple[str, LengthChart]]:
    """The lengths of each table that has texts, by its name."""
    earlier = {table.name: table.lengths for table in before}
    for table in tables:
        if table.lengths:
            former = earlier.get(table.name)
            yield (
                table.name,
                LengthChart(table.lengths, former, histogram(table.lengths.values, former.values if former else ())),
            )


def learning_curves(path: Path) -> dict[str, Chart]:
    """Loss and accuracy over the epochs, mean over the networks."""
    if not (path / HISTORY_FILE).exists():
        return {}
    from tasks.training.history import read_history

    history = read_history(path)
    charts = {}
    for title, lines in CURVES.items():
        series = [
            (name, [Value(float(epoch), float(y)) for epoch, y in zip(history["epoch"], history[column], strict=True)])
            for column, name in lines.items()
            if column in history
        ]
        ticks = [(float(epoch), f"{epoch:.0f}") for epoch in history["epoch"]]
        step = max(1, len(ticks) // 12)
        chart = line_chart(series, ticks[::step], floor=0.0, width=HALF)
        if chart is not None:
            charts[title] = chart
    return charts
