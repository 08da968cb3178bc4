"""Text files of a table as streams of UTF-8: decompressed, decoded, without a byte order mark."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tasks.extraction.text_files import (
    BLOCK_BYTES,
    GUESS_BYTES,
    guess_kind,
    guess_wide_encoding,
    require_mark,
    unreadable,
)
from tasks.shared.errors import CorpusError

COMPRESSED = ".gz"


@contextmanager
def open_utf8(file: Path, encoding: str, setting: str) -> Iterator[IO[bytes]]:
    """The content of a file in `encoding`, as a stream of UTF-8 bytes; a file named .gz is decompressed.

    `setting` is what names the encoding, for messages. Raises CorpusError for a file that cannot be read or
    decompressed, for bytes that are not in `encoding`, and for a beginning that is not of UTF-8. Bytes that claim to be
    UTF-8 pass unchecked: see `require_utf8`.
    """
    with _open(file) as raw:
        if encoding != "utf-8":
            yield io.BufferedReader(_Utf8(file, raw, encoding, setting), BLOCK_BYTES)
            return
        head = raw.read(GUESS_BYTES)
        if kind := guess_kind(head):
            raise CorpusError(f"{file}: this is {kind}, not text; {_advice(file, kind)}")
        if (wide := guess_wide_encoding(head)) is not None:
            raise CorpusError(f"{file}: this is {wide[:6].upper()}, not UTF-8; set {setting} to {wide}")
        raw.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
        yield raw


def _advice(file: Path, kind: str) -> str:
    if "gzip" in kind:
        twice = file.suffix.lower() == COMPRESSED
        return "it was compressed twice: decompress it once" if twice else f"name it {file.name}{COMPRESSED}"
    return f"name it {file.stem}.parquet" if kind == "Parquet" else "export it as CSV in UTF-8"


def require_utf8(file: Path, setting: str) -> None:
    """Raises CorpusError with the offset of the first byte of the content that is not UTF-8."""
    decoder = _Decoder(file, "utf-8", setting)
    with _open(file) as raw:
        while block := raw.read(BLOCK_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    compressed = file.suffix.lower() == COMPRESSED
    try:
        with file.open("rb") as raw:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if compressed else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{file}: damaged gzip file ({error}); write it again") from error
    except OSError as error:
        raise unreadable(file, error) from error


class _Decoder:
    """Decodes a file block by block; an error names the file and the byte."""

    def __init__(self, file: Path, encoding: str, setting: str) -> None:
        self._file, self._encoding, self._setting = file, encoding, setting
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self.offset = 0

    def decode(self, block: bytes, final: bool = False) -> str:
        if not self.offset:
            require_mark(block, self._file, self._encoding, f"set {self._setting}")
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            at = self.offset - pending + error.start
            raise CorpusError(
                f"{self._file}: not {self._encoding.upper()} at byte {at}; "
                f"save it as {self._encoding.upper()}, or set {self._setting}"
            ) from error
        self.offset += len(block)
        return text


class _Utf8(io.RawIOBase):
    """The content of a file, decoded and encoded anew."""

    def __init__(self, file: Path, raw: IO[bytes], encoding: str, setting: str) -> None:
        self._raw, self._decoder = raw, _Decoder(file, encoding, setting)
        self._ended = False
        self._rest = self._next().removeprefix(codecs.BOM_UTF8)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest and not self._ended:
            self._rest = self._next()
        given = self._rest[: len(buffer)]
        buffer[: len(given)] = given
        self._rest = self._rest[len(given) :]
        return len(given)

    def _next(self) -> bytes:
        block = self._raw.read(BLOCK_BYTES)
        self._ended = not block
        return self._decoder.decode(block, self._ended).encode()
