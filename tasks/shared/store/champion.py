"""Which model is in use: `champion.json` in the data folder, a pointer that moves and remembers where it was.

Every move adds a line, so the file is its own history; it is replaced in one step, so a reader never sees half of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.shared.errors import ArtifactError, InputError, first_fault
from tasks.shared.files import write_text
from tasks.shared.store.artifacts import Artifact, Store, damage, now, read_manifest

By = Literal["promotion", "hand", "rollback"]
MODELS = "06_models"


class Reign(BaseModel):
    """One move of the pointer: which model came into use, when, through whom and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Fingerprint of the model's artifact."""
    digest: str
    """Digest of its content: a model built again to the same weights is the same champion."""
    since: str
    by: By
    reason: str
    run: str | None = None


class Champion(BaseModel):
    """The moves, the oldest first; the last one holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reigns: tuple[Reign, ...] = Field(min_length=1)

    @property
    def present(self) -> Reign:
        """The model in use."""
        return self.reigns[-1]

    @property
    def earlier(self) -> list[Reign]:
        """What a rollback goes back through, the nearest first: moves that were not taken back themselves."""
        stack: list[Reign] = []
        for reign in self.reigns:
            if reign.by == "rollback":
                stack.pop()
            else:
                stack.append(reign)
        return stack[-2::-1]

    @property
    def deposed(self) -> set[str]:
        """Digests of the models that a person took out of use; no run brings them back by itself."""
        gone: set[str] = set()
        for before, after in zip(self.reigns, self.reigns[1:], strict=False):
            if after.by != "promotion":
                gone.add(before.digest)
            gone.discard(after.digest)
        return gone

    def recent(self, former: int) -> list[str]:
        """Fingerprints of the champion and of the `former` other models that were champion last."""
        names = dict.fromkeys(reign.model for reign in reversed(self.reigns))
        return list(names)[: former + 1]


def champion_file(store: Store) -> Path:
    """Where the pointer lies."""
    return store.root / "champion.json"


def read_champion(store: Store) -> Champion | None:
    """The champion, or None where there is none yet; raises ArtifactError for a file that cannot be understood."""
    path = champion_file(store)
    try:
        return Champion.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: not a champion's record ({first_fault(error)}); correct it, or move it away: "
            "the next run's model is then judged like a first one"
        ) from error


def crown(store: Store, model: Artifact, by: By, reason: str, run: str | None = None) -> Champion:
    """Makes the model the champion."""
    with _alone(store):
        return _move(store, read_champion(store), model.fingerprint, model.digest, by, reason, run)


def promote_over(store: Store, rival: str | None, model: Artifact, reason: str, run: str) -> bool:
    """Makes the model the champion if the one it was compared with (a fingerprint) still is; says whether."""
    with _alone(store):
        champion = read_champion(store)
        if (champion.present.model if champion else None) != rival:
            return False
        _move(store, champion, model.fingerprint, model.digest, "promotion", reason, run)
        return True


def roll_back(store: Store) -> Champion:
    """Brings the champion before this one back; raises InputError where there was none."""
    with _alone(store):
        champion = read_champion(store)
        if champion is None or not champion.earlier:
            raise InputError(f"{champion_file(store)}: no earlier champion to go back to; choose a model with --set ID")
        before = champion.earlier[0]
        fault = damage(store.place(MODELS, before.model))
        if fault is not None:
            raise ArtifactError(f"{fault}; the earlier champion cannot come back, choose another with --set ID")
        reason = f"rolled back from {champion.present.model}"
        return _move(store, champion, before.model, before.digest, "rollback", reason, None)


def find_model(store: Store, start: str) -> Artifact:
    """The model whose fingerprint begins so; raises InputError for none or several, ArtifactError for a damaged one."""
    found = [path for path in store.all(MODELS) if path.name.startswith(start)]
    if len(found) != 1 or not start:
        there = ", ".join(path.name for path in found or store.all(MODELS)) or "none"
        problem = "several models begin so" if len(found) > 1 else "no model begins so"
        raise InputError(f"{store.root / MODELS}: {start!r}: {problem}; there are: {there}")
    fault = damage(found[0])
    if fault is not None:
        raise ArtifactError(f"{fault}; a damaged model cannot be the champion")
    return read_manifest(found[0])


def model_in_use(store: Store) -> tuple[Artifact, str]:
    """The champion, or the newest model where there is none; and in words which of them.

    Raises ArtifactError for a damaged champion, InputError where there is no model at all.
    """
    champion = read_champion(store)
    if champion is None:
        artifact = store.latest(MODELS)
        if artifact is None:
            raise InputError(f"{store.root / MODELS}: no training artifact yet; `corpusflow run` makes one")
        return artifact, "the newest model; there is no champion yet"
    place = store.place(MODELS, champion.present.model)
    fault = damage(place)
    if fault is not None:
        raise ArtifactError(
            f"{champion_file(store)}: the champion is damaged ({fault}); run again, or go back with "
            "`corpusflow champion --rollback`, or choose another with --set ID"
        )
    return read_manifest(place), f"the champion since {champion.present.since}"


def _move(
    store: Store, champion: Champion | None, model: str, digest: str, by: By, reason: str, run: str | None
) -> Champion:
    reign = Reign(model=model, digest=digest, since=now(), by=by, reason=reason, run=run)
    moved = Champion(reigns=(*(champion.reigns if champion else ()), reign))
    write_text(champion_file(store), moved.model_dump_json(indent=1) + "\n")
    return moved


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Two runs that end at once, or a run and a person, move the pointer one after the other."""
    path = store.root / ".locks" / "champion.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
