"""Finds texts that occur under more than one label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

EXAMPLES = 5


class LabelConflicts:
    """The documents of every repeated text, with their labels. Adding a document twice changes nothing.

    In memory stay a digest, an id and a label for each document.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[str, str]] = {}
        self._repeated: dict[bytes, dict[str, str]] = {}

    def add(self, digest: str, doc_id: str, label: str) -> None:
        """Notes a document: the digest of its text, its id and its label."""
        key = bytes.fromhex(digest)
        first_id, first_label = self._first.setdefault(key, (doc_id, label))
        if first_id != doc_id:
            self._repeated.setdefault(key, {first_id: first_label})[doc_id] = label

    def find(self) -> dict[str, dict[str, str]]:
        """The documents (doc_id → label) of each text with more than one label, by its digest."""
        return {key.hex(): documents for key, documents in self._repeated.items() if len(set(documents.values())) > 1}

    def other(self, digest: str, label: str) -> tuple[str, str] | None:
        """Id and label of the first document that has this text under another label; None if there is none."""
        documents = self._repeated.get(bytes.fromhex(digest), {})
        return next(((doc_id, other) for doc_id, other in documents.items() if other != label), None)


def examples(found: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, int]]:
    """For some texts: a document of each of its labels in words, at most three labels, and its number of documents.

    `found` has the documents of each text, by source, and their labels.
    """
    for documents in list(found.values())[:EXAMPLES]:
        of_label: dict[str, str] = {}
        for source, label in documents.items():
            of_label.setdefault(label, source)
        shown = [f"{source} ({label})" for label, source in list(of_label.items())[:3]]
        more = f" and {len(of_label) - 3} more labels" if len(of_label) > 3 else ""
        yield f"{', '.join(shown)}{more}", len(documents)


def describe(found: Mapping[str, Mapping[str, str]]) -> str:
    """The number of texts with more than one label, and some of them, in one sentence; `found` as in `examples`."""
    number = f"{len(found):,} text{' is' if len(found) == 1 else 's are'} there under more than one label"
    more = f"; and {len(found) - EXAMPLES:,} more" if len(found) > EXAMPLES else ""
    return f"{number}: {'; '.join(words for words, _ in examples(found))}{more}"
