"""Files behind a URL: listed, identified, and copied to this machine to be read.

fsspec reads the storage; s3:// needs the extra `s3`, https:// the extra `http`. Credentials come from where the
storage's own tools look for them (for S3: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL, ~/.aws), never from the
URL, which is written into logs and records.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tasks.shared.batched import batched
from tasks.shared.errors import CorpusError, DownloadError, one_line

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}
"""The extra of this project that brings what a protocol needs."""
AT_A_TIME = 64
"""Small files that are fetched together."""
_IDENTITY = ("ETag", "etag", "Content-MD5", "md5Hash", "md5", "content_md5")
_TIME = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created")
_LIBRARIES = frozenset({"aiohttp", "aiobotocore", "botocore", "fsspec", "s3fs"})


def is_url(value: object) -> bool:
    """Whether a setting is a URL."""
    return isinstance(value, str) and _URL.match(value) is not None


def checked_url(value: str) -> str:
    """The URL. Raises ValueError for an unknown protocol, a password, and a query, which may hold one."""
    from fsspec.registry import known_implementations

    parts = urlsplit(value)
    if parts.scheme not in known_implementations:
        raise ValueError(f"{parts.scheme}:// is no protocol that fsspec knows; give s3://, https:// or a path")
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError(
            "a URL with a user, a password or a query is not read, since it is written into logs and records; put "
            "credentials where the storage's tools look for them (AWS_ACCESS_KEY_ID, ~/.aws)"
        )
    return value


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL; `name` is its path below the URL that was listed."""

    url: str
    name: str
    system: Any
    path: str
    info: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """What tells this content from another, as the storage says: its checksum, else size and time; else empty."""
        size = self.info.get("size")
        for key in (*_IDENTITY, *_TIME):
            if self.info.get(key) is not None:
                return f"{key} {self.info[key]} {size}"
        return ""


def listed(url: str) -> list[RemoteFile]:
    """The file at a URL, or all files below it, sorted by name.

    Raises CorpusError if there is none or it may not be read, DownloadError if the storage does not answer.
    """
    with _explained(url):
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        root = str(path).rstrip("/")
        if PurePosixPath(urlsplit(url).path).suffix and system.isfile(path):
            found = {root: system.info(path)}
            base = root.rpartition("/")[0]
        else:
            found, base = system.find(root, detail=True), root
        files, over_http = [], bool({"http", "https"} & {*system.protocol})
        for place, info in sorted(found.items()):
            name = str(place).removeprefix(base).lstrip("/")
            shown = f"{url.rstrip('/')}/{name}" if base == root else url
            if over_http:  # whose listings are pages of links: quoted names and nothing else
                files.append(RemoteFile(shown, unquote(name), system, str(place), dict(system.info(place))))
            else:
                files.append(RemoteFile(shown, name, system, str(place), dict(info)))
        if not files:
            raise FileNotFoundError(url)
        return sorted(files, key=lambda file: file.name)


def digest(files: Iterable[RemoteFile]) -> str:
    """sha256 over the names and the identities of the files; one without identity is read, and its content counts."""
    total = hashlib.sha256()
    for file in files:
        identity = file.identity.encode() or contents_digest(file)
        for part in (file.name.encode(), identity):
            total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def contents_digest(file: RemoteFile) -> bytes:
    """sha256 of a file's content."""
    with local_copy(file) as copy, copy.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def contents(files: Iterable[RemoteFile]) -> Iterator[tuple[RemoteFile, bytes]]:
    """The content of small files, in order; some are in memory at a time."""
    for group in batched(files, AT_A_TIME):
        with _explained(group[0].url):  # `cat` would take [ and * in a name for a pattern
            found = group[0].system.cat_ranges([file.path for file in group], None, None, on_error="raise")
        yield from zip(group, found, strict=True)


@contextmanager
def local_copy(file: RemoteFile) -> Iterator[Path]:
    """A copy of the file on this machine, as long as the block lasts; errors in it name the URL."""
    with tempfile.TemporaryDirectory(prefix="corpusflow-") as folder:
        copy = Path(folder) / PurePosixPath(file.name).name
        with _explained(file.url):
            file.system.get_file(file.path, str(copy))
        try:
            yield copy
        except CorpusError as error:
            raise type(error)(str(error).replace(str(copy), file.url)) from error


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Errors of storage as one line that names the URL."""
    scheme = urlsplit(url).scheme
    try:
        yield
    except CorpusError:
        raise
    except ImportError as error:
        extra = f"`pip install '.[{EXTRAS[scheme]}]'`" if scheme in EXTRAS else f"what fsspec needs for {scheme}://"
        raise CorpusError(f"{url}: cannot be read here ({one_line(error)}); install {extra}") from error
    except FileNotFoundError as error:
        raise CorpusError(f"{url}: no such file or folder; correct extraction's path") from error
    except PermissionError as error:
        raise CorpusError(f"{url}: access refused ({one_line(error)}); check the credentials and rights") from error
    except Exception as error:
        if "Credentials" in type(error).__name__:
            raise CorpusError(f"{url}: no credentials ({one_line(error)}); set them as the storage expects") from error
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _LIBRARIES:
            raise DownloadError(f"{url}: the storage does not answer as it should ({one_line(error)})") from error
        raise
