"""Groups of documents that stay together, as units that are assigned to a split, each counted under one label.

A group whose documents have different labels counts under its most frequent one (of equals that of its first text).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.extraction.document import Document


@dataclass
class Unit:
    """A group with its number of documents, its place in a shuffled order, and its split, None while it has none.

    `name` is what the place depends on: the name of the group, or the smallest digest of its texts.
    """

    group: str
    name: str
    label: str
    size: int
    shuffle_key: bytes
    split: str | None = None


def units(
    documents: Sequence[Document],
    seed: int,
    previous: Mapping[str, str] | None = None,
    splits: Sequence[str] = (),
    by_text: bool = False,
) -> list[Unit]:
    """The groups of the documents, sorted by name; those with an earlier split (`previous`, by doc_id) keep it.

    With `by_text` they are sorted and shuffled by the digests of their texts, whatever their documents are called.

    A new document can join groups that were in different splits; all then go to the first of these in `splits`. With
    train, validation, test, no document that an earlier model may have learned from becomes a test document.
    """
    members = _by_group(documents)
    earlier = previous or {}
    names = {group: (min(d.digest for d in each) if by_text else "") or group for group, each in members.items()}
    return [
        Unit(
            group=group,
            name=names[group],
            label=majority_label(of_group),
            size=len(of_group),
            shuffle_key=shuffle_key(names[group], seed),
            split=_earlier_split(of_group, earlier, splits),
        )
        for group, of_group in sorted(members.items(), key=lambda item: (names[item[0]], item[0]))
    ]


def labels_of_groups(documents: Sequence[Document]) -> dict[str, str]:
    """The label that each group counts under, by the group's name."""
    return {group: majority_label(of_group) for group, of_group in _by_group(documents).items()}


def _by_group(documents: Sequence[Document]) -> dict[str, list[Document]]:
    members: defaultdict[str, list[Document]] = defaultdict(list)
    for document in documents:
        members[document.group].append(document)
    return members


def majority_label(of_group: Sequence[Document]) -> str:
    """The label that a group counts under."""
    counts = Counter(document.label for document in of_group)
    if len(counts) == 1:
        return of_group[0].label
    first = {document.label: document.digest for document in sorted(of_group, key=lambda d: d.digest, reverse=True)}
    return min(counts, key=lambda label: (-counts[label], first[label], label))


def shuffle_key(name: str, seed: int) -> bytes:
    """Sorting by these keys shuffles names; a key depends on nothing but the name and the seed."""
    return hashlib.blake2b(name.encode(), digest_size=16, key=seed.to_bytes(8, "little")).digest()


def small_labels(documents: Sequence[Document], group_labels: Iterable[str], min_groups: int) -> dict[str, int]:
    """Labels that fewer than `min_groups` groups count under, with that number.

    `group_labels` has the label of each group of the documents, as `units` and `labels_of_groups` give them.
    """
    counts = dict.fromkeys(sorted({document.label for document in documents}), 0)
    for label in group_labels:
        counts[label] += 1
    return {label: count for label, count in counts.items() if count < min_groups}


def exclude_labels(documents: Sequence[Document], labels: Collection[str]) -> list[Document]:
    """The documents that have none of these labels."""
    return [document for document in documents if document.label not in labels]


def _earlier_split(of_group: Sequence[Document], earlier: Mapping[str, str], splits: Sequence[str]) -> str | None:
    names = {earlier[document.doc_id] for document in of_group if document.doc_id in earlier}
    return min(names, key=splits.index) if names else None
