"""Shows token ids as text."""

from __future__ import annotations

from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.ui.preview import Decode
from tasks.vocabulary.schema import FOLDER, TOKENIZER


def decoder(store: Store, artifact: Artifact) -> Decode | None:
    """Decodes token ids with the vocabulary that the artifact was made with; None if its lineage names none."""
    made_with = artifact.lineage.get("vocabulary")
    if made_with is None:
        return None
    from tasks.vocabulary.tokenizer import Encoder

    return Encoder.from_file(store.place(FOLDER, made_with["fingerprint"]) / TOKENIZER).decode
