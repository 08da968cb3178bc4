"""Texts from a table: Parquet, CSV, TSV or JSON Lines, or a folder of Parquet parts.

Tables are read a batch at a time. Rows are counted from 1, without a CSV's header and blank lines.

Without a doc_id column, a document's id is a hash of its text, followed by `-000002`, … for further rows with the same
text. Such an id stays the same when rows are added, removed or reordered, or a label is corrected. A row number would
change, and the document could move to another split.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote

import pyarrow as pa

from tasks.extraction.csv_rows import read_csv
from tasks.extraction.document import Document, documents_of, text_bytes
from tasks.extraction.ordering import sort_by_id
from tasks.extraction.rows import Columns, TableFile, TextFormat, read_json_lines, read_parquet
from tasks.extraction.schema import DOCUMENTS
from tasks.extraction.text_files import digest_files, unreadable, what_it_is
from tasks.extraction.text_stream import COMPRESSED
from tasks.shared import remote
from tasks.shared.errors import CorpusError
from tasks.shared.remote import RemoteFile
from tasks.shared.store.known_files import KnownFiles

UTF8 = TextFormat()
CHOOSE = "set extraction.table.path to"
_READERS = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}
MILLION = 1_000_000
"""The repetition from which an id has more digits, after a letter: letters sort after digits."""
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def table_files(path: Path, choose: str = CHOOSE) -> list[TableFile]:
    """The file, or the Parquet parts of the folder in the order of their names, with those in Hive's `KEY=VALUE`.

    Raises CorpusError for anything else, which says what to do with the words `choose`.
    """
    kind = what_it_is(path)
    if kind == "a folder":
        files = sorted(_parts(path, path, {}), key=lambda file: file.name)
        if not files:
            raise CorpusError(f"{path}: no .parquet file in this folder; {choose} a table")
        return files
    if not kind:
        raise CorpusError(f"{path}: no such file or folder; {choose} a table")
    if not _kind(path):
        raise CorpusError(
            f"{path}: unknown kind of table; {choose} a file in {', '.join(_READERS)} (all but "
            f"Parquet also as {COMPRESSED}), or a folder of Parquet"
        )
    if kind != "a file":
        raise CorpusError(f"{path}: {kind}, not a file; {choose} a table")
    return [TableFile(path, path.name)]


def _kind(path: PurePath) -> str:
    """The suffix that says how the file is read; empty if it is unknown."""
    suffix = path.suffix.lower()
    if suffix == COMPRESSED:
        suffix = PurePath(path.stem).suffix.lower()
        return suffix if suffix in _READERS and suffix != ".parquet" else ""
    return suffix if suffix in _READERS else ""


def _parts(folder: Path, root: Path, constants: dict[str, str | None]) -> Iterator[TableFile]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            if entry.suffix.lower() == ".parquet":
                yield TableFile(entry, entry.relative_to(root).as_posix(), constants)
        elif not entry.name.startswith("_"):  # _delta_log, _temporary
            key, equals, value = entry.name.partition("=")
            if equals:
                yield from _parts(entry, root, constants | {unquote(key): _partition_value(value)})
            elif _holds_parquet(entry):
                raise CorpusError(
                    f"{entry}: .parquet files in a subfolder that is not named KEY=VALUE; move them up, or away"
                )


def _holds_parquet(folder: Path) -> bool:
    """Whether a .parquet file is anywhere below a folder. Raises CorpusError for a subfolder that may not be read."""

    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from error

    return any(name.lower().endswith(".parquet") for _, _, names in os.walk(folder, onerror=refuse) for name in names)


def _remote_files(url: str, choose: str) -> list[tuple[RemoteFile, dict[str, str | None]]]:
    """The file at a URL, or the Parquet parts below it, each with the columns that Hive's folders name."""
    files = remote.listed(url)
    if len(files) == 1 and files[0].url == url and _kind(PurePosixPath(files[0].name)):
        return [(files[0], {})]
    found = []
    for file in files:
        *folders, name = file.name.split("/")
        if not name.endswith(".parquet") or any(part.startswith((".", "_")) for part in (*folders, name)):
            continue
        pairs = [folder.partition("=") for folder in folders]
        if not all(equals for _, equals, _ in pairs):
            raise CorpusError(f"{file.url}: in a subfolder that is not named KEY=VALUE; move it up, or away")
        found.append((file, {unquote(key): _partition_value(value) for key, _, value in pairs}))
    if not found:
        raise CorpusError(
            f"{url}: no .parquet file there, and not a table in {', '.join(_READERS)}; {choose} another URL"
        )
    return found


def _partition_value(value: str) -> str | None:
    return None if value == _NULL_PARTITION else unquote(value)


def documents(path: Path | str, columns: Columns, text_format: TextFormat = UTF8) -> Iterator[Document]:
    """The rows as documents, sorted by id. Raises CorpusError with file and row for anything unreadable."""
    for batch in batches(path, columns, text_format):
        yield from documents_of(batch)


def batches(path: Path | str, columns: Columns, text_format: TextFormat = UTF8) -> Iterator[pa.RecordBatch]:
    """The same as record batches with the columns of `DOCUMENTS`."""
    found = _batches(path, columns, text_format)
    if columns.doc_id:
        return sort_by_id(found)
    return _number_repeats(sort_by_id(map(_with_hashes, found)))


def rows(path: Path | str, columns: Columns, text_format: TextFormat = UTF8) -> Iterator[Document]:
    """The rows as documents in the order of the files; the doc_id is empty if no column has it."""
    for batch in _batches(path, columns, text_format):
        yield from documents_of(batch)


def _batches(path: Path | str, columns: Columns, text_format: TextFormat) -> Iterator[pa.RecordBatch]:
    if isinstance(path, str):
        for remote_file, constants in _remote_files(path, columns.choose):
            with remote.local_copy(remote_file) as copy:
                file = TableFile(copy, remote_file.name, constants)
                yield from _READERS[_kind(copy)](file, columns, text_format)
    else:
        for file in table_files(path, columns.choose):
            yield from _READERS[_kind(file.path)](file, columns, text_format)


def digest(path: Path | str, choose: str = CHOOSE, known: KnownFiles | None = None) -> str:
    """sha256 over names and contents of the files; does not read those in `known`. `choose` as in `table_files`.

    Of files behind a URL, the storage's checksums count instead of the contents.
    """
    if isinstance(path, str):
        return remote.digest(file for file, _ in _remote_files(path, choose))
    return digest_files(((file.name, file.path) for file in table_files(path, choose)), known)


def _with_hashes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with the hashes of their texts as ids."""
    content, ends = text_bytes(batch["text"])
    ids = [hashlib.sha256(content[start:end]).hexdigest()[:16] for start, end in pairwise(ends.tolist())]
    return batch.set_column(0, DOCUMENTS.field("doc_id"), pa.array(ids, pa.string()))


def _number_repeats(ordered: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Makes the ids of repeated texts distinct, so that they sort as strings as they do as numbers."""
    previous, repetitions = "", 1
    for batch in ordered:
        ids = batch["doc_id"].to_pylist()
        for place, doc_id in enumerate(ids):
            repetitions = repetitions + 1 if doc_id == previous else 1
            previous = doc_id
            if repetitions > 1:
                ids[place] = f"{doc_id}-{repetitions:06d}" if repetitions < MILLION else f"{doc_id}-m{repetitions:012d}"
        yield batch.set_column(0, DOCUMENTS.field("doc_id"), pa.array(ids, pa.string()))
