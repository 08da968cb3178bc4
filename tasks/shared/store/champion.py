"""The model in use: `champion.json` in the data folder, a pointer that keeps its history.

Every move appends an entry. The file is replaced in one step, so nobody reads a half-written one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.shared.errors import ArtifactError, InputError, first_problem
from tasks.shared.files import write_text
from tasks.shared.store.artifacts import Artifact, Store, find_damage, now, read_manifest

ChosenBy = Literal["promotion", "hand", "rollback"]
MODELS = "07_models"


class Promotion(BaseModel):
    """One move of the pointer: the model that became champion, when, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Fingerprint of the model's artifact."""
    digest: str
    """Digest of its content: a model rebuilt with the same weights is the same champion."""
    since: str
    by: ChosenBy
    reason: str
    run: str | None = None


class Champion(BaseModel):
    """The champion and its predecessors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: tuple[Promotion, ...] = Field(min_length=1)
    """Oldest first; the last one is current."""

    @property
    def current(self) -> Promotion:
        """The model in use."""
        return self.history[-1]

    @property
    def earlier(self) -> list[Promotion]:
        """What rollbacks return to, most recent first; moves that were rolled back are left out."""
        stack: list[Promotion] = []
        for promotion in self.history:
            if promotion.by == "rollback":
                stack.pop()
            else:
                stack.append(promotion)
        return stack[-2::-1]

    @property
    def withdrawn(self) -> set[str]:
        """Digests of the models that a person replaced; a run never promotes them again."""
        digests: set[str] = set()
        for before, after in zip(self.history, self.history[1:], strict=False):
            if after.by != "promotion":
                digests.add(before.digest)
            digests.discard(after.digest)
        return digests

    def recent(self, former: int) -> list[str]:
        """Fingerprints of the champion and of the last `former` other champions."""
        names = dict.fromkeys(promotion.model for promotion in reversed(self.history))
        return list(names)[: former + 1]


def champion_file(store: Store) -> Path:
    """Path of the pointer."""
    return store.root / "champion.json"


def read_champion(store: Store) -> Champion | None:
    """The champion, or None if there is none yet; raises ArtifactError if the file is invalid."""
    path = champion_file(store)
    try:
        return Champion.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: not a champion's record ({first_problem(error)}); correct it, or move it away: "
            "the next run's model is then judged like a first one"
        ) from error


def set_champion(store: Store, model: Artifact, by: ChosenBy, reason: str, run: str | None = None) -> Champion:
    """Makes the model the champion."""
    with store.lock("champion"):
        return _append(store, read_champion(store), model.fingerprint, model.digest, by, reason, run)


def replace_champion_if(store: Store, expected: str | None, model: Artifact, reason: str, run: str) -> bool:
    """Compare and swap: makes the model the champion if the current one is still `expected` (a fingerprint).

    Returns whether it did.
    """
    with store.lock("champion"):
        champion = read_champion(store)
        if (champion.current.model if champion else None) != expected:
            return False
        _append(store, champion, model.fingerprint, model.digest, "promotion", reason, run)
        return True


def roll_back(store: Store) -> Champion:
    """Restores the previous champion; raises InputError if there was none, ArtifactError if it is damaged."""
    with store.lock("champion"):
        champion = read_champion(store)
        if champion is None or not champion.earlier:
            raise InputError(f"{champion_file(store)}: no earlier champion to go back to; choose a model with --set ID")
        before = champion.earlier[0]
        verified_model(
            store.place(MODELS, before.model), "the earlier champion cannot come back, choose another with --set ID"
        )
        reason = f"rolled back from {champion.current.model}"
        return _append(store, champion, before.model, before.digest, "rollback", reason, None)


def find_model(store: Store, prefix: str) -> Artifact:
    """The model whose fingerprint starts with `prefix`.

    Raises InputError for no match or several, ArtifactError for a damaged model.
    """
    models = list(store.all(MODELS))
    matches = [path for path in models if prefix and path.name.startswith(prefix)]
    if len(matches) != 1:
        problem = "several models start with it" if matches else "no model starts with it"
        names = ", ".join(path.name for path in matches or models) or "none"
        raise InputError(f"{store.root / MODELS}: {prefix!r}: {problem}; available: {names}")
    return verified_model(matches[0], "a damaged model cannot be the champion")


def model_in_use(store: Store) -> tuple[Artifact, str]:
    """The champion, or the newest model if there is no champion yet; and which of the two, in words.

    Its files are verified. Raises ArtifactError for a damaged model, InputError if there is no model at all.
    """
    champion = read_champion(store)
    if champion is None:
        artifact = store.latest(MODELS)
        if artifact is None:
            raise InputError(f"{store.root / MODELS}: no training artifact yet; `corpusflow run` makes one")
        place = store.locate(artifact)
        return verified_model(place, "run again"), "the newest model; there is no champion yet"
    advice = (
        "run again, or go back with `corpusflow champion --rollback`, or choose another champion with "
        "`corpusflow champion --set ID`"
    )
    model = verified_model(store.place(MODELS, champion.current.model), advice)
    return model, f"the champion since {champion.current.since}"


def verified_model(folder: Path, advice: str) -> Artifact:
    """The manifest of a model after hashing its files; raises ArtifactError, ending with `advice`, if one differs."""
    fault = find_damage(folder)
    if fault is not None:
        raise ArtifactError(f"{fault}; {advice}")
    return read_manifest(folder)


def _append(
    store: Store, champion: Champion | None, model: str, digest: str, by: ChosenBy, reason: str, run: str | None
) -> Champion:
    promotion = Promotion(model=model, digest=digest, since=now(), by=by, reason=reason, run=run)
    moved = Champion(history=(*(champion.history if champion else ()), promotion))
    write_text(champion_file(store), moved.model_dump_json(indent=1) + "\n")
    return moved
