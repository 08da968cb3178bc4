"""The Brown Corpus in NLTK's data layout: finding, downloading and reading it.

NLTK provides the layout (`corpora/brown.zip`, or the unpacked folder), the search path `NLTK_DATA`, the index with the
checksum, and the downloader. Its reader is not used: with its detokenizer it takes twenty seconds for the 500 texts. A
test checks that both readers give the same words and tags.

In the corpus each token is `word/tag`, each line a sentence or a headline (tags ending in `-hl`), and blank lines
separate paragraphs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.extraction.detokenize import detokenize
from tasks.extraction.document import Document
from tasks.shared.errors import CorpusError, DownloadError
from tasks.shared.progress import logger

_CATEGORIES = "cats.txt"
DOWNLOAD_TIMEOUT = 60.0
"""Seconds without data after which a download fails."""
_BLANK_LINES = re.compile(r"\n\s*\n")
TaggedParagraph = list[tuple[str, str]]


def search_path(*folders: Path) -> list[Path]:
    """The NLTK data folders to look in: those named in `NLTK_DATA`, then `folders`."""
    named = os.environ.get("NLTK_DATA", "").split(os.pathsep)
    return [Path(name).expanduser() for name in named if name] + list(folders)


def find(data_folders: Sequence[Path]) -> Path | None:
    """The first `corpora/brown.zip` or unpacked `corpora/brown` in these NLTK data folders."""
    for folder in data_folders:
        for name in ("brown.zip", "brown"):
            candidate = folder / "corpora" / name
            if candidate.is_file() or (candidate / _CATEGORIES).is_file():
                return candidate
    return None


def download(data_folder: Path, index: str | None = None) -> Path:
    """Downloads the corpus into `data_folder` with NLTK's downloader, which verifies the index's checksum.

    `index` is the URL of another index than NLTK's. Raises DownloadError, which says how to get the corpus by hand.
    """
    from nltk.downloader import Downloader, ErrorMessage, ProgressMessage  # takes a second to import

    log = logger("extraction")
    log.info("extraction: Brown Corpus not found; downloading it to %s (3 MB)", data_folder)
    data_folder.mkdir(parents=True, exist_ok=True)
    with _socket_timeout(DOWNLOAD_TIMEOUT):
        for message in Downloader(index).incr_download("brown", str(data_folder)):
            if isinstance(message, ProgressMessage):
                log.info("extraction: Brown Corpus, %.0f %% downloaded", message.progress)
            elif isinstance(message, ErrorMessage):
                _remove_download(data_folder / "corpora")
                raise not_found(data_folder, str(message.message))
    corpus = find([data_folder])
    if corpus is None:
        raise not_found(data_folder, "NLTK's downloader reported success, but left no corpus")
    return corpus


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Sets the default timeout, because NLTK's downloader sets none and would wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _remove_download(corpora: Path) -> None:
    """Keeps the next run from finding an archive with a wrong checksum."""
    (corpora / "brown.zip").unlink(missing_ok=True)
    shutil.rmtree(corpora / "brown", ignore_errors=True)


def not_found(data_folder: Path, reason: str) -> DownloadError:
    """The error that says how to get the corpus."""
    return DownloadError(
        f"Brown Corpus not found ({reason}). Three ways to get it: run again with access to "
        f"raw.githubusercontent.com; or put brown.zip (from https://www.nltk.org/nltk_data/) at "
        f"{data_folder / 'corpora' / 'brown.zip'}; or set NLTK_DATA to a folder that has corpora/brown.zip"
    )


def documents(corpus: Path) -> Iterator[Document]:
    """All texts of the corpus in the order of their ids, as prose; the label is the genre.

    `corpus` is what `find` returned. Raises CorpusError for a damaged archive and a missing or unreadable text.
    """
    with Files(corpus) as files:
        for doc_id, genre in sorted(files.genres()):
            paragraphs = tagged_paragraphs(files.text(doc_id))
            prose = detokenize([word for word, _ in paragraph] for paragraph in paragraphs)
            yield Document(doc_id, genre, f"brown/{doc_id}", prose)


def tagged_paragraphs(text: str) -> list[TaggedParagraph]:
    """(word, tag) pairs of each paragraph, in the corpus's own spelling of both.

    Headlines, which the corpus has on lines of their own within a paragraph, become paragraphs.
    """
    paragraphs: list[TaggedParagraph] = []
    for block in _BLANK_LINES.split(text):
        runs_on = started = False
        for line in block.splitlines():
            if not (tokens := [_word_and_tag(token) for token in line.split()]):
                continue
            headline = "-hl" in line and _is_headline(tokens)
            dateline = tokens[0][0] == "--"  # the headline before it is the place: `Salem (AP) -- …`
            if started and (dateline or (runs_on and not headline)):
                paragraphs[-1] += tokens
            else:
                paragraphs.append(tokens)
            runs_on, started = not headline, True
    return paragraphs


def _is_headline(tokens: TaggedParagraph) -> bool:
    """Whether most words have a headline's tag, and one of them is more than a number or a letter."""
    words = [(word, tag) for word, tag in tokens if word[:1].isalnum()]
    tagged = [word for word, tag in words if "-hl" in tag]
    return 2 * len(tagged) > len(words) and any(len(word) > 2 and word[0].isalpha() for word in tagged)


def _word_and_tag(token: str) -> tuple[str, str]:
    word, _, tag = token.rpartition("/")  # a word may contain slashes, a tag never does
    return word, tag


def digest(corpus: Path) -> str:
    """sha256 over genres and texts: the same wherever the corpus lies, packed or unpacked."""
    total = hashlib.sha256()
    with Files(corpus) as files:
        for name in (_CATEGORIES, *sorted(doc_id for doc_id, _ in files.genres())):
            content = files.read(name)
            total.update(f"{name}:{len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()


class Files:
    """The corpus's files by name, from its archive or its folder."""

    def __init__(self, corpus: Path) -> None:
        self.corpus = corpus
        self._archive: zipfile.ZipFile | None = None
        self._read: Callable[[str], bytes] = lambda name: (corpus / name).read_bytes()

    def __enter__(self) -> Files:
        if self.corpus.is_file():
            try:
                self._archive = archive = zipfile.ZipFile(self.corpus)
            except (zipfile.BadZipFile, OSError) as error:
                raise self._damaged(error) from error
            self._read = lambda name: archive.read(f"brown/{name}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def read(self, name: str) -> bytes:
        """A file's content. Raises CorpusError if it is missing or damaged."""
        try:
            return self._read(name)
        except (KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(error) from error

    def text(self, name: str) -> str:
        """A file's content as text; the whole corpus is ASCII."""
        try:
            return self.read(name).decode("ascii")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{self.corpus}: {name} is not ASCII at byte {error.start}; get brown.zip again"
            ) from error

    def genres(self) -> list[tuple[str, str]]:
        """(doc_id, genre) of each line of cats.txt."""
        lines = [line.split() for line in self.text(_CATEGORIES).splitlines() if line.strip()]
        for line in lines:
            if len(line) != 2 or not line[0].isalnum():
                raise CorpusError(f"{self.corpus}: {_CATEGORIES} has the line {' '.join(line)!r}; get brown.zip again")
        return [(doc_id, genre) for doc_id, genre in lines]

    def _damaged(self, error: Exception) -> CorpusError:
        return CorpusError(f"{self.corpus}: not readable ({error}); delete it and get it again")
