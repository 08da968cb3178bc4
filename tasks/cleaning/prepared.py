"""The prepared parts of a corpus together: some 20 bytes in memory for each document, its facts when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tasks.cleaning.duplicates import repeated
from tasks.cleaning.parts import read_facts
from tasks.cleaning.shingles import Hashes
from tasks.shared.parts.make import Made
from tasks.shared.parts.part import Part

Numbers = npt.NDArray[np.int64]


class Fact(NamedTuple):
    """What is known of a document that is long enough."""

    doc_id: str
    label: str
    digest: str


class Prepared:
    """The documents of all parts, known by their positions."""

    def __init__(self, parts: Sequence[Part], made: Made, bands: Path) -> None:
        """Reads what `prepare_part` has made; the folder `bands` gets a file for each band of the signatures."""
        self._parts, self._made, self._bands = parts, made, bands
        self.reasons: Counter[str] = Counter()
        """Documents that are dropped already."""
        starts, enough, digests, signed = [0], list[Numbers](), list[Hashes](), list[Numbers]()
        bands.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            writers: list[IO[bytes]] = []
            for part in parts:
                facts = read_facts(made.folder(part))
                rows = np.flatnonzero(pc.is_null(facts["reason"]))
                self.reasons.update(facts["reason"].drop_null().to_pylist())
                enough.append(starts[-1] + rows)
                digests.append(_beginnings(facts["digest"].take(rows).to_pylist()))
                signed.append(starts[-1] + np.flatnonzero(pc.is_valid(facts["bands"])))
                starts.append(starts[-1] + facts.num_rows)
                for number, band in enumerate(_by_band(facts["bands"].drop_null().to_pylist())):
                    if number == len(writers):
                        writers.append(files.enter_context(self._file(number).open("wb")))
                    writers[number].write(band.tobytes())
        self.starts: Numbers = np.array(starts)
        """The position of the first document of each part, and the number of documents, [parts + 1]."""
        self._enough: Numbers = np.concatenate([*enough, np.zeros(0, np.int64)])
        self._digests: Hashes = np.concatenate([*digests, np.zeros(0, np.uint64)])
        self.signed: Numbers = np.concatenate([*signed, np.zeros(0, np.int64)])
        """The positions of the documents with a signature, in order."""

    def repeated(self) -> Numbers:
        """The positions, in order, of the documents whose text another one has, too, and of hardly any others."""
        places, _ = repeated(self._digests)
        return np.sort(self._enough[places])

    def bands(self) -> Iterator[Hashes]:
        """Of each band the number of every document with a signature."""
        for number in range(len(list(self._bands.iterdir()))):
            yield np.fromfile(self._file(number), np.uint64)

    def facts(self, positions: Numbers) -> dict[int, Fact]:
        """Those of the documents at these positions, which are in order."""
        found: dict[int, Fact] = {}
        for part, rows, own in self.by_part(positions):
            table = read_facts(self._made.folder(part)).select(Fact._fields).take(rows)
            facts = map(Fact, *(column.to_pylist() for column in table.columns))
            found |= dict(zip(own.tolist(), facts, strict=True))
        return found

    def by_part(self, positions: Numbers) -> Iterator[tuple[Part, Numbers, Numbers]]:
        """The parts that have documents at these positions, with the rows of these and the positions."""
        bounds = np.searchsorted(positions, self.starts)
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            own = positions[bounds[number] : bounds[number + 1]]
            yield self._parts[number], own - self.starts[number], own

    def _file(self, band: int) -> Path:
        return self._bands / f"{band:04d}.u64"


def _beginnings(digests: Sequence[str]) -> Hashes:
    """The first 64 bits of digests in hexadecimal."""
    return np.frombuffer(bytes.fromhex("".join(digests)), np.uint64)[::2]


def _by_band(signatures: Sequence[bytes]) -> Hashes:
    """Signatures as numbers, [bands, documents]."""
    return np.frombuffer(b"".join(signatures), np.uint64).reshape(len(signatures), -1).T if signatures else _NONE


_NONE = np.zeros((0, 0), np.uint64)
