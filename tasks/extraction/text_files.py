"""Files of the corpus: read, decoded and hashed, with an error that names the file and the byte."""

from __future__ import annotations

import codecs
import errno
import hashlib
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.shared.errors import CorpusError
from tasks.shared.progress import logger
from tasks.shared.store.known_files import KnownFiles

BLOCK_BYTES = 2**20
GUESS_BYTES = 4096
"""Bytes from the beginning of a file that its encoding is guessed from."""
_SYSTEM_FILE = re.compile(
    r"(?:eh)?thumbs\.db|desktop\.ini|icon\r|__macosx|@eadir"  # of Windows, macOS and Synology
    r"|~\$.*|#.*#|.*~|.*\.(?:bak|swp|swo)",  # of Office, Emacs, Vim and others: locks and backups
    re.IGNORECASE | re.DOTALL,
)
_MOST_NAMES = 10
_TABLES = {".csv", ".tsv", ".jsonl", ".ndjson"}
_KINDS = {
    b"PK\x03\x04": "a workbook, another document of an office program, or a zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook or another document of an old office program",
    b"%PDF-": "a PDF document",
    b"{\\rtf": "an RTF document",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PAR1": "Parquet",
    b"SQLite format 3\0": "a database of SQLite",
}
_STARTS = tuple(_KINDS)
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


def is_system_file(name: str) -> bool:
    """Whether a file or a folder is one that systems and editors leave next to texts, such as Thumbs.db or a.txt~."""
    return _SYSTEM_FILE.fullmatch(name) is not None


def warn_of_tables(stage: str, files: Iterable[tuple[str, Path]]) -> None:
    """Names the files, given as (name, path), that are called like a table and read as one text each."""
    tables = [name for name, path in files if path.suffix.lower() in _TABLES]
    warn_of(stage, "{} file(s) with the name of a table, each read as one text, not row by row", tables)


def warn_of(stage: str, what: str, names: Sequence[str]) -> None:
    """Logs what was found of something, and the first ten names; nothing without names.

    In `what`, {} stands for the number, and (s) for the ending of a plural.
    """
    if names:
        more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
        what = what.format(f"{len(names):,}").replace("(s)", "s" * (len(names) > 1))
        logger(stage).warning("%s: %s: %s%s", stage, what, ", ".join(sorted(names)[:_MOST_NAMES]), more)


def read_text(file: Path, encoding: str, setting: str = "extraction.folder.encoding") -> str:
    """The text of a file, without a byte order mark.

    Raises CorpusError if the file cannot be read, with the offset of the first byte that is not in `encoding`, or of
    the first NUL. `setting` is what names the encoding, for messages.
    """
    try:
        with file.open("rb", buffering=0) as opened:  # half of the system calls of Path.read_bytes
            content = opened.read()
    except OSError as error:
        raise unreadable(file, error) from error
    return decode(content, file, encoding, f"set {setting}")


def decode(content: bytes, file: object, encoding: str, advice: str) -> str:
    """The content of a file as text, as `read_text` gives it; `advice` says what to do about another encoding."""
    if kind := guess_kind(content):
        raise CorpusError(f"{file}: this is {kind}, not text; save its text, or remove the file")
    if encoding == "utf-8" and (wide := guess_wide_encoding(content)) is not None:
        raise CorpusError(f"{file}: this is {wide[:6].upper()} ({wide}), not UTF-8; save it as UTF-8, or {advice}")
    require_mark(content, file, encoding, advice)
    marked = encoding == "utf-8" and content.startswith(codecs.BOM_UTF8)
    codec = "utf-8-sig" if marked else encoding
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        offset = error.start + (len(codecs.BOM_UTF8) if marked else 0)
        raise CorpusError(
            f"{file}: not {encoding} at byte {offset} (0x{content[offset]:02x}); save it as {encoding}, or {advice}"
        ) from error
    if "\0" in text:
        offset = len(text[: text.index("\0")].encode(codec))
        raise CorpusError(
            f"{file}: NUL at byte {offset}, so not text in {encoding}; remove a binary file, convert a UTF-16 one"
        )
    return text


def require_mark(content: bytes, file: object, encoding: str, advice: str) -> None:
    """Raises CorpusError for UTF-16 or UTF-32 without a byte order mark: either order of bytes gives some text."""
    if content and encoding in _MARKS and not content.startswith(_MARKS[encoding]):
        raise CorpusError(
            f"{file}: no byte order mark, with which {encoding} begins; {advice} ({encoding}-le or {encoding}-be, for "
            "example)"
        )


def guess_kind(content: bytes) -> str | None:
    """What a file is that begins like something other than text."""
    if not content.startswith(_STARTS):
        return None
    return next(kind for start, kind in _KINDS.items() if content.startswith(start))


def guess_wide_encoding(content: bytes) -> str | None:
    """utf-16, utf-16-le, utf-16-be or utf-32 if the content looks like it, with or without a byte order mark.

    Without a mark, UTF-16 shows by Latin letters and spaces: half of the bytes are NUL, and they are every other byte.
    """
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = content[:GUESS_BYTES]
    if 0 not in head:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros > max(1, len(head) / 8) and others == 0 and len(head) % 2 == 0:
            return name
    return None


def digest_files(files: Iterable[tuple[str, Path]], known: KnownFiles | None = None) -> str:
    """sha256 over the digests of the names and the contents of the files, in this order.

    Files that are in `known` are not read. Raises CorpusError for an unreadable file.
    """
    digest, known = hashlib.sha256(), known or KnownFiles()
    for name, path in files:
        try:
            content = known.digest(path)
        except OSError as error:
            raise unreadable(path, error) from error
        digest.update(hashlib.sha256(name.encode()).digest() + bytes.fromhex(content))
    return digest.hexdigest()


def require_utf8_name(name: str, folder: object) -> None:
    """Raises CorpusError for the name of a file or a folder that is not UTF-8: an id could not be made of it."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{folder}: the name {name!r} is not UTF-8; rename it") from error


def unreadable(path: Path, error: OSError) -> CorpusError:
    """The error for a file or a folder that the system does not let us read."""
    advice = "check its permissions" if error.errno in {errno.EACCES, errno.EPERM} else "correct the path, or the disk"
    return CorpusError(f"{path}: not readable ({error.strerror or error}); {advice}")


def what_it_is(path: Path) -> str:
    """`a folder`, `a file`, `a pipe or a device`; empty if nothing is there. Raises CorpusError if nobody may ask."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name with NUL
        return ""
    except OSError as error:
        raise unreadable(path, error) from error
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "a pipe or a device"
