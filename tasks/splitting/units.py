"""What is divided: groups of documents that stay together, each counted to one label.

A group whose documents have different labels counts to its most frequent one (the first by name of equals).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Document(NamedTuple):
    """What splitting needs to know of a document."""

    doc_id: str
    label: str
    group: str


@dataclass
class Unit:
    """A group; `order` is its place in a shuffle; `part` where it is, or None."""

    group: str
    label: str
    size: int
    order: bytes
    part: str | None = None


def units(
    documents: Sequence[Document], seed: int, previous: Mapping[str, str] | None = None, parts: Sequence[str] = ()
) -> list[Unit]:
    """The groups of the documents, sorted by name; those with an earlier part (`previous`, by doc_id) keep it.

    When a new document ties groups that were in different parts, the first of them in `parts` takes all: given
    train, validation, test, no document that an earlier model may have learned from becomes a test document.
    """
    members: defaultdict[str, list[Document]] = defaultdict(list)
    for document in documents:
        members[document.group].append(document)
    earlier = previous or {}
    return [
        Unit(group, label_of(of_group), len(of_group), shuffled(group, seed), _first_part(of_group, earlier, parts))
        for group, of_group in sorted(members.items())
    ]


def label_of(of_group: Sequence[Document]) -> str:
    """The label that a group counts to."""
    counts = Counter(document.label for document in of_group)
    return min(counts, key=lambda label: (-counts[label], label))


def shuffled(name: str, seed: int) -> bytes:
    """A place in an order that looks random, and depends on nothing but the name and the seed."""
    return hashlib.blake2b(name.encode(), digest_size=16, key=seed.to_bytes(8, "little")).digest()


def small_labels(documents: Sequence[Document], least: int) -> dict[str, int]:
    """Labels that fewer than `least` groups count to, with that number."""
    counts = dict.fromkeys(sorted({document.label for document in documents}), 0)
    for unit in units(documents, seed=0):
        counts[unit.label] += 1
    return {label: count for label, count in counts.items() if count < least}


def without(documents: Sequence[Document], labels: Collection[str]) -> list[Document]:
    """The documents that have none of these labels."""
    return [document for document in documents if document.label not in labels]


def _first_part(of_group: Sequence[Document], earlier: Mapping[str, str], parts: Sequence[str]) -> str | None:
    found = {earlier[document.doc_id] for document in of_group if document.doc_id in earlier}
    return min(found, key=parts.index) if found else None
