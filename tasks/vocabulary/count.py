"""Counts the pieces of texts, which BPE merges bytes within: of one part in whatever process, and of all parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import regex

from tasks.shared.parts.beside import Place
from tasks.shared.parts.part import Part
from tasks.splitting.documents import read_split_part
from tasks.vocabulary.tokenizer_file import PATTERN

FILE = "pieces.arrow"
ROWS_AT_A_TIME, CHARACTERS_AT_A_TIME = 2**20, 2**24
_COUNTED = pa.schema([("piece", pa.binary()), ("count", pa.int64())])
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")
_OTHER_SPACE = re.compile(r"[^\S \n]|  ")


def count_part(part: Part, folder: Path, training: Place) -> dict[str, int]:
    """Counts the pieces of the training texts in a part of the cleaned documents; returns their number.

    `training` is the place of their rows of the splits (`assign_parts`).
    """
    found = 0

    def counted() -> Iterator[str]:
        nonlocal found
        for document in read_split_part(part, training.read()):
            found += 1
            yield document.text

    with pa.ipc.new_stream(folder / FILE, _COUNTED, options=_ZSTD) as file:
        file.write_table(_count(counted()))
    return {"training": found}


def count_pieces(texts: Iterable[str], pattern: str = PATTERN) -> Counter[str]:
    """How often the texts have each piece; the pattern is one of `tokenizer_file.py`."""
    pieces, counts = (column.to_pylist() for column in _count(texts, pattern).columns)
    return Counter(dict(zip(map(bytes.decode, pieces), counts, strict=True)))


def _count(texts: Iterable[str], pattern: str = PATTERN) -> pa.Table:
    """Distinct pieces and their counts.

    No piece spans a single space between other than spaces: it begins with it. So such texts are cut there first, and
    the pattern, which takes most of the time, cuts each distinct word once, all in one call.
    """
    cut = _compiled(pattern).findall
    pieces, rests, size, tables = Counter[str](), list[str](), 0, list[pa.Table]()
    for text in texts:
        first, space, rest = text.partition(" ")
        if _OTHER_SPACE.search(text) or not space:
            pieces.update(cut(text))
            continue
        pieces.update(cut(first))
        rests.append(rest)
        size += len(rest)
        if size > CHARACTERS_AT_A_TIME:
            tables.append(_count_words(rests, cut, pieces))
            rests, size = [], 0
    tables.append(_count_words(rests, cut, pieces))
    tables.append(_table([piece.encode() for piece in pieces], list(pieces.values())))
    return _summed(tables)


def _count_words(texts: Sequence[str], cut: Callable[[str], list[str]], pieces: Counter[str]) -> pa.Table:
    """Counts the pieces of words, each with a space before it; those of words with a line break go to `pieces`."""
    words = pc.list_flatten(pc.split_pattern(pa.array(texts, pa.string()), " ")).value_counts()
    names, times = words.field("values"), words.field("counts")
    plain = pc.invert(pc.or_(pc.match_substring(names, "\n"), pc.equal(names, "")))
    for word, number in zip(*(column.filter(pc.invert(plain)).to_pylist() for column in (names, times)), strict=True):
        for piece in cut(f" {word}"):
            pieces[piece] += number
    joined = "".join(f" {word}" for word in names.filter(plain).to_pylist())
    of_words = pa.array([piece.encode() for piece in cut(joined)], pa.binary())
    begins = pc.starts_with(of_words, " ").to_numpy(zero_copy_only=False)
    return _summed([_table(of_words, times.filter(plain).to_numpy()[np.cumsum(begins) - 1])])


def _table(pieces: Sequence[bytes] | pa.Array, counts: Sequence[int] | npt.NDArray[np.int64]) -> pa.Table:
    return pa.table([pa.array(pieces, pa.binary()), pa.array(counts, pa.int64())], schema=_COUNTED)


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    """The counts of equal pieces together, each piece where it is first."""
    whole = pa.concat_tables(tables)
    return whole.group_by("piece", use_threads=False).aggregate([("count", "sum")]).rename_columns(_COUNTED.names)


def merged_counts(files: Sequence[Path]) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """The distinct pieces of all parts, and how often each occurs."""
    tables: list[pa.Table] = [_COUNTED.empty_table()]
    for number, path in enumerate(files, 1):
        with pa.memory_map(str(path)) as file:
            tables.append(pa.ipc.open_stream(file).read_all())
        if number == len(files) or sum(table.num_rows for table in tables[1:]) > max(
            tables[0].num_rows, ROWS_AT_A_TIME
        ):
            tables = [_summed(tables)]
    return tables[0]["piece"].to_pylist(), tables[0]["count"].to_numpy()


@lru_cache(maxsize=2)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)
