"""Progress of fitting the head, in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.shared.progress import SECONDS_BETWEEN_LINES, logger

if TYPE_CHECKING:
    from tasks.tokenization.store import Chunk

log = logger("training")


class HeadProgress:
    """Logs progress of fitting the head every few seconds; `tokens` is the total to read."""

    def __init__(self, tokens: int) -> None:
        self._tokens, self._read, self._logged = tokens, 0, time.monotonic()

    def reading(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Passes on what is read, and counts its tokens."""
        for chunk in chunks:
            yield chunk
            self._read += len(chunk.ids)
            self._log("reading the texts with the language model, %d%%", round(100 * self._read / self._tokens))
        if self._read == self._tokens:
            log.info("training: fitting the head")

    def fitted(self, heads: int, total: int) -> None:
        """Reports how many of the heads are fitted."""
        self._log("fitting the head, %d of %d", heads, total)

    def _log(self, message: str, *numbers: int) -> None:
        if time.monotonic() - self._logged >= SECONDS_BETWEEN_LINES:
            self._logged = time.monotonic()
            log.info("training: " + message, *numbers)
