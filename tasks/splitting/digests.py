"""Digests of texts and of names as 16 bytes each, in arrays: half of what their digits take.

Sixteen zeros stand for a text whose digest is not known.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.extraction.document import text_bytes

BYTES = 16
TYPE = np.dtype(f"S{BYTES}")
"""NumPy compares such values byte by byte; that it takes zeros at the end for padding makes no two of them equal."""
UNKNOWN = b""
Digests = npt.NDArray[np.bytes_]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
CHUNK = 65_536
"""Digests that are looked up at a time, so that what is found of them takes little memory."""


def digests_of_texts(digits: pa.StringArray) -> Digests:
    """Digests from their 32 hexadecimal digits; "" is not known.

    What is not such a number (no version of corpusflow wrote it) is taken for a name: equal ones have equal digests.
    """
    content, ends = text_bytes(digits)
    if len(content) == 2 * BYTES * len(digits) and (np.diff(ends) == 2 * BYTES).all():
        found = _from_digits(bytes(content))
        if found is not None:
            return np.frombuffer(found, TYPE)
    return np.frombuffer(b"".join(map(_digest, digits.to_pylist())), TYPE)


def _digest(digits: str) -> bytes:
    if not digits:
        return bytes(BYTES)
    found = _from_digits(digits.encode()) if len(digits) == 2 * BYTES else None
    return hashlib.blake2b(digits.encode(), digest_size=BYTES, person=b"name").digest() if found is None else found


def _from_digits(content: bytes) -> bytes | None:
    """None if these are not hexadecimal digits, or some of them capital."""
    try:
        found = binascii.unhexlify(content)
    except binascii.Error:
        return None
    return found if binascii.hexlify(found) == content else None


def digests_of_names(names: pa.StringArray, seed: int) -> Digests:
    """Sorting names by these digests shuffles them; a digest depends on nothing but the name and the seed."""
    keyed, found = hashlib.blake2b(digest_size=BYTES, key=seed.to_bytes(8, "little")), bytearray()
    for name in names.cast(pa.binary()).to_pylist():
        digest = keyed.copy()  # in half of the time that a new one takes
        digest.update(name)
        found += digest.digest()
    return np.frombuffer(found, TYPE)


def find_in(known: Digests, digests: Digests) -> Iterator[tuple[slice, Mask, Ints]]:
    """Which of the digests are among the `known` ones, which are sorted: some thousand at a time.

    Yields their slice, which of them are found, and the places of those that are among `known`.
    """
    for start in range(0, len(digests) if len(known) else 0, CHUNK):
        part = slice(start, min(start + CHUNK, len(digests)))
        places = np.minimum(np.searchsorted(known, digests[part]), len(known) - 1)
        found = known[places] == digests[part]
        yield part, found, places[found]
