r"""The quotes of a CSV, checked as its bytes pass on to the parser.

pyarrow's parser takes a quote that never closes for a text that goes on to the end of the file, and drops the quotes
around `"The Onion" said`. Here the first is an error, and so is anything between a closing quote and the next separator
(RFC 4180). A quote inside a field that does not begin with one is an ordinary character, for pyarrow too.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import IO

QUOTE, NEWLINE = b'"', b"\n"
MAX_FIELD_BYTES = 31 * 2**20
"""A longer quoted field is an error; likely its quote never closes. Blocks of this size too: from 32 MiB
on, glibc asks the system for new memory for each block, which takes longer than to check it."""
MAX_SUSPECTS = 100_000
_LONGEST_LABEL = 100


class QuoteError(ValueError):
    """A quoted field that breaks the rules; `excerpt` is its beginning, or what follows its closing quote."""

    def __init__(self, problem: str, excerpt: bytes) -> None:
        super().__init__(problem)
        self.problem = problem
        self.excerpt = " ".join(excerpt[:60].decode(errors="ignore").split())


class QuoteChecker(io.RawIOBase):
    """A stream of CSV that raises QuoteError where the quotes break the rules, and otherwise passes the bytes on.

    `suspects` counts the quoted fields whose last line looks like a row, by what it has in the column number `label`:
    a quote that was left open, and then closed by a quote of a later row, swallows the rows between.
    """

    def __init__(self, stream: IO[bytes], separator: str, columns: int, label: int | None) -> None:
        self._stream = stream
        self._separator, self._columns, self._label = separator.encode(), columns, label
        self._around_field = {*self._separator, *b"\r\n"}
        self._last, self._open = NEWLINE[0], b""
        self.suspects: Counter[str] = Counter()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        block = self._stream.read(size)
        if self._open:
            opened, self._open, self._last = self._open, b"", NEWLINE[0]
            self._check(opened + block, 0, at_end=not block)
        elif (first := block.find(QUOTE)) >= 0:
            self._check(block, first, at_end=False)
        if block:
            self._last = block[-1]
        return block

    def _check(self, data: bytes, start: int, at_end: bool) -> None:
        """Goes through the quoted fields of a block, from its first quote on; keeps a field that the block cuts.

        bytes.find is several times as fast as a regular expression.
        """
        find, around, length = data.find, self._around_field, len(data)
        while start >= 0:
            if (data[start - 1] if start else self._last) not in around:
                start = find(QUOTE, start + 1)  # an ordinary character of a field without quotes
                continue
            end = find(QUOTE, start + 1)
            while 0 <= end < length - 1 and data[end + 1] == QUOTE[0]:
                end = find(QUOTE, end + 2)
            if end < 0 or end == length - 1:
                if not at_end:
                    return self._keep_open(data[start:])
                if end < 0:
                    raise QuoteError("a quote opens and never closes", data[start:])
            if end < length - 1 and data[end + 1] not in around:
                raise QuoteError("text follows the closing quote", data[start : end + 40])
            if (last_line := data.rfind(NEWLINE, start, end)) >= 0:
                self._look_for_rows(data, start + 1, last_line + 1, end)
            start = find(QUOTE, end + 1)
        return None

    def _keep_open(self, field: bytes) -> None:
        if len(field) > MAX_FIELD_BYTES:
            raise QuoteError(f"a quote opens and does not close within {MAX_FIELD_BYTES >> 20} MiB", field)
        self._open = field

    def _look_for_rows(self, data: bytes, start: int, last_line: int, end: int) -> None:
        """The last line of a field that swallowed rows is the row with the quote that closed it."""
        separator, wanted = self._separator, self._columns - 1
        if data.count(separator, last_line, end) != wanted or not wanted or len(self.suspects) >= MAX_SUSPECTS:
            return
        if self._label is not None:
            name = data[last_line:end].split(separator)[self._label]
            if 0 < len(name) < _LONGEST_LABEL:
                self.suspects[name.decode(errors="ignore").strip()] += 1
        elif all(line.count(separator) == wanted for line in data[start:end].split(NEWLINE)[1:]):
            self.suspects[""] += 1
