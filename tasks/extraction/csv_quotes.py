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
"""A longer quoted field is an error; likely its quote never closes."""
PIECE_BYTES = 2**20
"""Bytes that are read at a time: the parser holds several blocks, and longer ones take more memory and more time."""
MAX_SUSPECTS = 100_000
_LONGEST_LABEL = 100


class QuoteError(ValueError):
    """A quoted field that breaks the rules; `excerpt` is its beginning, or what follows its closing quote.

    One that is `too_long` may break no other rule.
    """

    def __init__(self, problem: str, excerpt: bytes, too_long: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.too_long = problem, too_long
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
        self._held, self._row_end = b"", 0
        self.suspects: Counter[str] = Counter()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes: whole rows, `size` bytes at most; a part of a row only if it is longer, or the last one."""
        size = MAX_FIELD_BYTES if size < 0 else size
        while not self._row_end and len(self._held) < size:
            piece = self._stream.read(min(PIECE_BYTES, size))
            self._held += piece
            self._look_through(piece)
            if not piece:
                break
        given = self._held[: min(self._row_end or size, size)]
        self._held, self._row_end = self._held[len(given) :], max(0, self._row_end - len(given))
        return given

    def _look_through(self, piece: bytes) -> None:
        """Checks the next bytes, and keeps where the last whole row ends."""
        if self._open:
            data, first, self._open, self._last = self._open + piece, 0, b"", NEWLINE[0]
        else:
            data, first = piece, piece.find(QUOTE)
        end = self._check(data, first, at_end=not piece)
        if end >= 0:
            self._row_end = len(self._held) - len(data) + end + 1
        if piece:
            self._last = piece[-1]

    def _check(self, data: bytes, start: int, at_end: bool) -> int:
        """Goes through the quoted fields of some bytes, from the first quote on; keeps a field that they cut.

        Returns the place of the last line break outside of quotes, -1 if there is none. bytes.find is several times as
        fast as a regular expression.
        """
        find, around, length = data.find, self._around_field, len(data)
        outside, gaps = 0, []  # where the bytes outside of quotes begin; those before, with their ends
        while start >= 0:
            if (data[start - 1] if start else self._last) not in around:
                start = find(QUOTE, start + 1)  # an ordinary character of a field without quotes
                continue
            end = find(QUOTE, start + 1)
            while 0 <= end < length - 1 and data[end + 1] == QUOTE[0]:
                end = find(QUOTE, end + 2)
            gaps.append((outside, start))
            if end < 0 or end == length - 1:
                outside = length
                if not at_end:
                    self._keep_open(data[start:])
                    break
                if end < 0:
                    raise QuoteError("a quote opens and never closes", data[start:])
            if end < length - 1 and data[end + 1] not in around:
                raise QuoteError("text follows the closing quote", data[start : end + 40])
            if (last_line := data.rfind(NEWLINE, start, end)) >= 0:
                self._look_for_rows(data, start + 1, last_line + 1, end)
            outside = end + 1
            start = find(QUOTE, end + 1)
        found = (data.rfind(NEWLINE, *gap) for gap in reversed([*gaps, (outside, length)]))
        return next((place for place in found if place >= 0), -1)

    def _keep_open(self, field: bytes) -> None:
        if len(field) > MAX_FIELD_BYTES:
            raise QuoteError(f"a quote opens and does not close within {MAX_FIELD_BYTES >> 20} MiB", field, True)
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
