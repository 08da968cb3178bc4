"""What a data folder holds after a trial, and how a command ended."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.torture.launcher import Done


def digests(data: Path) -> dict[str, str]:
    """The content digest of each stage's newest artifact."""
    found = {}
    for link in sorted(data.glob("[0-9]*/latest")):
        manifest = json.loads((link / "artifact.json").read_text())
        found[manifest["stage"]] = manifest["digest"]
    return found


def champion(data: Path) -> str:
    """The digest of the champion's content; empty if there is none."""
    moves = sorted(data.glob("champion/*.json"))
    return json.loads(moves[-1].read_text())["digest"] if moves else ""


def temporary_files(data: Path) -> list[str]:
    """What an interrupted write leaves: folders in staging or scratch, and files that never got their name."""
    found = [path for path in data.rglob(".*") if path.name not in {".locks", ".verified", ".parts", ".pages.json"}]
    return sorted(path.relative_to(data).as_posix() for path in found if ".locks" not in path.parts)


def one_line(done: Done, *words: str) -> str | None:
    """What is wrong with a failure that must end in one line of ours that contains the words."""
    if done.code == 124:
        return "hangs"
    if done.code not in {1, 2} and "Traceback" not in done.err:
        return f"code {done.code}: {done.message}"
    return one_line_of(done.err, *words)


def one_line_of(err: str, *words: str) -> str | None:
    """What is wrong with this output on standard error: it must have one line of ours that contains the words."""
    lines = [line for line in err.splitlines() if line.startswith("corpusflow: ")]
    last = (err.strip().splitlines() or [""])[-1]
    if "Traceback" in err:
        return f"traceback: {last}"
    if len(lines) != 1:
        return f"{len(lines)} lines of ours: {last}"
    missing = [word for word in words if word.lower() not in lines[0].lower()]
    return f"lacks {', '.join(missing)}: {lines[0]}" if missing else None
