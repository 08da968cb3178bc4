"""The model in use, and the models before it: a file per move, `champion/000001.json` and on, in the data folder.

A move is a new file whose number follows that of the newest one, and files never change. Of several processes that read
the same newest move and make the next one, one succeeds, on whichever machine and whether locks work there or not: a
compare and swap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.shared.errors import ArtifactError, InputError, first_problem
from tasks.shared.files import create_text, listed
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
    number: int = 0
    """That of the last move's file."""

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
                del stack[-1:]
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


def champion_folder(store: Store) -> Path:
    """The folder of the moves."""
    return store.root / "champion"


def read_champion(store: Store) -> Champion | None:
    """The champion, or None if there is none yet; raises ArtifactError if a file of it is invalid."""
    former = store.root / "champion.json"
    if former.exists() and not champion_folder(store).exists():
        raise ArtifactError(
            f"{former}: written by an earlier version; move it away, and choose the champion with "
            "`corpusflow champion --set ID`"
        )
    try:
        files = [path for path in listed(champion_folder(store), "*.json") if path.stem.isdecimal()]
    except OSError as error:
        raise ArtifactError(f"{champion_folder(store)}: cannot be read ({error.strerror})") from error
    if not files:
        return None
    return Champion(history=tuple(map(_read_move, files)), number=int(files[-1].stem))


def _read_move(path: Path) -> Promotion:
    try:
        return Promotion.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: not a champion's record ({first_problem(error)}); correct it, or move it away: if it is the "
            "newest, the champion before it is in use again"
        ) from error


def set_champion(store: Store, model: Artifact, by: ChosenBy, reason: str, run: str | None = None) -> Champion:
    """Makes the model the champion."""
    while True:
        moved = _append(store, read_champion(store), model.fingerprint, model.digest, by, reason, run)
        if moved is not None:
            return moved


def replace_champion_if(store: Store, expected: str | None, model: Artifact, reason: str, run: str) -> bool:
    """Compare and swap: makes the model the champion if the current one is still `expected` (a fingerprint).

    Returns whether it did.
    """
    while True:
        champion = read_champion(store)
        if (champion.current.model if champion else None) != expected:
            return False
        if _append(store, champion, model.fingerprint, model.digest, "promotion", reason, run) is not None:
            return True


def roll_back(store: Store) -> Champion:
    """Restores the previous champion; raises InputError if there was none, ArtifactError if it is damaged."""
    while True:
        champion = read_champion(store)
        if champion is None or not champion.earlier:
            raise InputError(
                f"{champion_folder(store)}: no earlier champion to go back to; choose a model with --set ID"
            )
        before = champion.earlier[0]
        verified_model(
            store.place(MODELS, before.model), "the earlier champion cannot come back, choose another with --set ID"
        )
        reason = f"rolled back from {champion.current.model}"
        moved = _append(store, champion, before.model, before.digest, "rollback", reason, None)
        if moved is not None:
            return moved


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
) -> Champion | None:
    """Makes the move after those of `champion`; None if another process has made it."""
    promotion = Promotion(model=model, digest=digest, since=now(), by=by, reason=reason, run=run)
    number = champion.number + 1 if champion else 1
    if not create_text(champion_folder(store) / f"{number:06d}.json", promotion.model_dump_json(indent=1) + "\n"):
        return None
    return Champion(history=(*(champion.history if champion else ()), promotion), number=number)
