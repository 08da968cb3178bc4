"""Files of the corpus: read, decoded and hashed, with an error that names the file and the byte."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable
from pathlib import Path

from tasks.shared.errors import CorpusError

BLOCK_BYTES = 2**20


def read_text(file: Path, encoding: str) -> str:
    """The text of a file, without a byte order mark.

    Raises CorpusError if the file cannot be read, with the offset of the first byte that is not in `encoding`, or of
    the first NUL.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
    marked = encoding == "utf-8" and content.startswith(codecs.BOM_UTF8)
    codec = "utf-8-sig" if marked else encoding
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        offset = error.start + (len(codecs.BOM_UTF8) if marked else 0)
        raise CorpusError(
            f"{file}: not {encoding} at byte {offset} (0x{content[offset]:02x}); "
            f"save it as {encoding}, or set extraction.folder.encoding"
        ) from error
    if "\0" in text:
        offset = len(text[: text.index("\0")].encode(codec))
        raise CorpusError(
            f"{file}: NUL at byte {offset}, so not text in {encoding}; remove a binary file, convert a UTF-16 one"
        )
    return text


def digest_files(files: Iterable[tuple[str, Path]]) -> str:
    """sha256 over the names and the contents of the files, in this order. Raises CorpusError for an unreadable file."""
    digest = hashlib.sha256()
    for name, path in files:
        try:
            with path.open("rb") as file:
                digest.update(f"{name}:{path.stat().st_size}\n".encode())
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
        except OSError as error:
            raise unreadable(path, error) from error
    return digest.hexdigest()


def unreadable(path: Path, error: OSError) -> CorpusError:
    """The error for a file or a folder that the system does not let us read."""
    return CorpusError(f"{path}: not readable ({error.strerror or error}); check its permissions")
