"""Groups of documents that belong together: connected components by union-find."""

from __future__ import annotations


class Groups:
    """Documents that were tied together, directly or through others.

    Only documents that were tied cost memory; a group is named by its smallest doc_id.
    (Union-find with path halving: Tarjan and van Leeuwen, Worst-case analysis of set union algorithms, 1984.)
    """

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def of(self, doc_id: str) -> str:
        """The smallest doc_id of the document's group; its own when it is alone."""
        parent = self._parent
        while (above := parent.get(doc_id, doc_id)) != doc_id:
            parent[doc_id] = doc_id = parent.get(above, above)
        return doc_id

    def tie(self, one: str, other: str) -> None:
        """Makes two documents, and all that are tied to them, one group."""
        first, second = sorted((self.of(one), self.of(other)))
        if first != second:
            self._parent[second] = first
