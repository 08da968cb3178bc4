"""Counts the pieces of texts, which BPE merges bytes within: of one part in whatever process, and of all parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import regex

from tasks.extraction.document import Document
from tasks.shared.parts.beside import Place
from tasks.shared.parts.part import Part
from tasks.splitting.documents import read_split_part
from tasks.vocabulary.tokenizer_file import PATTERN

FILE = "pieces.arrow"
ROWS_AT_A_TIME = 2**20
_COUNTED = pa.schema([("piece", pa.binary()), ("count", pa.int64())])
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")
_OTHER_SPACE = re.compile(r"[^\S \n]|  ")


def count_part(part: Part, folder: Path, training: Place) -> dict[str, int]:
    """Counts the pieces of the training texts in a part of the cleaned documents; returns their number.

    `training` is the place of their rows of the splits (`assign_parts`).
    """
    texts = 0

    def counted(rows: Iterable[Document]) -> Iterable[str]:
        nonlocal texts
        for texts, row in enumerate(rows, 1):  # noqa: B007 (their number)
            yield row.text

    counts = count_pieces(counted(read_split_part(part, training.read())))
    pieces = pa.array((piece.encode() for piece in counts), pa.binary())
    with pa.ipc.new_stream(folder / FILE, _COUNTED, options=_ZSTD) as file:
        file.write_table(pa.table([pieces, pa.array(counts.values(), pa.int64())], schema=_COUNTED))
    return {"training": texts}


def count_pieces(texts: Iterable[str], pattern: str = PATTERN) -> Counter[str]:
    """How often the texts have each piece; the pattern is one of `tokenizer_file.py`.

    No piece spans a single space between other than spaces: it begins with it. So such texts are cut there first, and
    the pattern, which takes most of the time, cuts each distinct word once.
    """
    words, pieces, cut = Counter[str](), Counter[str](), _compiled(pattern).findall
    for text in texts:
        if _OTHER_SPACE.search(text):
            pieces.update(cut(text))
        else:
            first, *others = text.split(" ")
            pieces.update(cut(first))
            words.update(others)
    for word, times in words.items():
        for piece in cut(f" {word}"):
            pieces[piece] += times
    return pieces


def merged_counts(files: Sequence[Path]) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """The distinct pieces of all parts, and how often each occurs."""
    tables: list[pa.Table] = [_COUNTED.empty_table()]
    for number, path in enumerate(files, 1):
        with pa.memory_map(str(path)) as file:
            tables.append(pa.ipc.open_stream(file).read_all())
        if number == len(files) or sum(table.num_rows for table in tables[1:]) > max(
            tables[0].num_rows, ROWS_AT_A_TIME
        ):
            summed = pa.concat_tables(tables).group_by("piece").aggregate([("count", "sum")])
            tables = [summed.rename_columns(_COUNTED.names)]
    return tables[0]["piece"].to_pylist(), tables[0]["count"].to_numpy()


@lru_cache(maxsize=2)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)
