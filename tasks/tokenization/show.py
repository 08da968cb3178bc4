"""How token ids are shown: as text again."""

from __future__ import annotations

from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.ui.preview import Decode


def decoder(store: Store, artifact: Artifact) -> Decode | None:
    """Turns token ids back into text, with the vocabulary that the artifact was made with; None if it names none."""
    made_with = artifact.lineage.get("vocabulary")
    if made_with is None:
        return None
    from tasks.vocabulary.tokenizer import Encoder

    return Encoder.from_file(store.place("04_vocabulary", made_with["fingerprint"]) / "tokenizer.json").decode
