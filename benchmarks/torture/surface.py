"""What an attacker could reach: code that a file brings in, open ports, secrets, permissions, known vulnerabilities."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.processes import descendants, free_port
from benchmarks.torture.state import one_line
from tasks.shared.files import file_digest
from tasks.shared.store.artifacts import MANIFEST
from tasks.shared.store.fingerprint import PROJECT, digest_of

PICKLES = 12
PICKLE = "a pickle planted in a model, a checkpoint, a corpus or Prefect's results is never loaded"
PORTS = "the listening sockets of a run and of its temporary server are on the loopback alone"
PRIVATE = "the password of Prefect's server is in no log, record, page or artifact"
MODES = "what a run writes is writable by its owner alone"
SCANNED = "bandit finds nothing; pip-audit knows no vulnerability in requirements.lock, or the lock is new"
LOCK_DAYS = 90
PASSWORD = "torture-" + "s3cret"


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    for index in range(max(2, round(PICKLES * share))):
        yield Trial(PICKLE, f"{PICKLE} {index}", partial(planted, lab, index))
    yield Trial(PORTS, PORTS, partial(ports, lab))
    yield Trial(PRIVATE, PRIVATE, partial(secret, lab))
    yield Trial(MODES, MODES, partial(modes, lab))
    yield Trial(SCANNED, f"{SCANNED}: bandit", bandit)
    yield Trial(SCANNED, f"{SCANNED}: pip-audit", partial(audit, lab))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def planted(lab: Lab, index: int, folder: Path, rng: random.Random) -> str | None:
    """A pickle in place of some file, with a manifest that fits it."""
    lab.reference(folder)
    mark = folder / "exploded"
    bomb = pickle.dumps(Bomb(mark))
    model = (folder / "data/07_models/latest").resolve()
    files = sorted(path for path in model.rglob("*") if path.is_file() and path.name != MANIFEST)
    if index % 2 == 0:
        file = files[index // 2 % len(files)]
        file.write_bytes(bomb)
        seal_again(model, file)
    else:
        trained = (folder / "data/06_rnn/latest").resolve()
        shutil.rmtree(model)
        shutil.rmtree(trained)
        scratch = trained.with_name(f".scratch-{trained.name}-00000000-1-0") / "fold-0"
        scratch.mkdir(parents=True)
        digest = hashlib.sha256(bomb).hexdigest()
        for name in (f"epoch-00001-{digest}.safetensors", f"epoch-00001-{digest[:32]}.safetensors", "x.pkl", "x.pt"):
            (scratch / name).write_bytes(bomb)
        (folder / "texts/label0/p.pkl").write_bytes(bomb)
    ends = [lab.launcher.run(folder, "predict", "-", stdin="apple1 river1 the of"), lab.launcher.run(folder, "run")]
    if mark.exists():
        return "the pickle was loaded"
    wrong = [wrong for done in ends if done.code != 0 and (wrong := one_line(done))]
    return wrong[0] if wrong else None


def seal_again(place: Path, file: Path) -> None:
    """An attacker can write a manifest that fits."""
    manifest = json.loads((place / MANIFEST).read_text())
    manifest.pop("seal", None)
    manifest["files"][file.relative_to(place).as_posix()] |= {"sha256": file_digest(file), "bytes": file.stat().st_size}
    (place / MANIFEST).write_text(json.dumps(manifest | {"seal": digest_of(manifest)}))


def ports(lab: Lab, folder: Path, _: random.Random) -> str | None:
    """Looks at the sockets of the command and of its descendants while it runs."""
    lab.reference_run().texts_to(folder)
    environment = lab.base_environment | {"PREFECT_HOME": str(folder / "home")}
    with (folder / "out").open("wb") as out:
        where = {"cwd": folder, "env": environment, "stdout": out, "stderr": out, "start_new_session": True}
        process = subprocess.Popen([sys.executable, "-m", "flows.cli", "run"], **where)  # type: ignore[call-overload]
    seen: set[str] = set()
    until = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < until:
        seen |= listening([process.pid, *descendants(process.pid)])
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(120)
    outside = sorted(address for address in seen if not address.startswith(("127.", "::1")))
    if not seen:
        return f"no socket seen: {(folder / 'out').read_text()[-200:]}"
    return f"listens on {outside}" if outside else None


def listening(pids: list[int]) -> set[str]:
    """The addresses that the processes listen on."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*") if Path(f"/proc/{pid}/fd").exists() else ():
            try:
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(_address(fields[1].partition(":")[0]))
    return found


def _address(hexadecimal: str) -> str:
    if len(hexadecimal) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(hexadecimal)))
    return "::1" if hexadecimal == "0" * 24 + "01000000" else hexadecimal


def secret(lab: Lab, folder: Path, _: random.Random) -> str | None:
    """A run with a password, against a server that does not ask for it; and one against nothing."""
    lab.reference_run().texts_to(folder)
    launcher = lab.new_launcher({"PREFECT_API_URL": lab.server, "PREFECT_API_AUTH_STRING": f"admin:{PASSWORD}"})
    done = launcher.run(folder, "run")
    launcher.stop()
    if done.code != 0:
        return f"code {done.code}: {done.message}"
    nowhere = lab.new_launcher({"PREFECT_API_URL": f"http://admin:{PASSWORD}@127.0.0.1:{free_port()}/api"})
    refused = nowhere.run(folder, "run")
    nowhere.stop()
    if PASSWORD in done.out + done.err + refused.out + refused.err:
        return f"printed: {refused.message}"
    told = [path for path in folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    return f"in {told[0]}" if told else None


def modes(lab: Lab, folder: Path, _: random.Random) -> str | None:
    """With the usual umask nobody else may write."""
    lab.reference_run().texts_to(folder)
    done = lab.launcher.run(folder, "run")
    if done.code != 0:
        return done.message
    paths = [path for path in (folder / "data").rglob("*") if not path.is_symlink() and ".locks" not in path.parts]
    loose = [path for path in paths if path.stat().st_mode & 0o022]
    return f"{loose[0]}: {loose[0].stat().st_mode:o}" if loose else None


def bandit(folder: Path, _: random.Random) -> str | None:
    """What `make check` asks for."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--configfile", "pyproject.toml", "-r", "flows", "tasks"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr)[-400:]


def audit(lab: Lab, folder: Path, _: random.Random) -> str | None:
    """Asks the index of vulnerabilities; where it cannot be reached, the date of the lock counts and is noted."""
    lock = PROJECT / "requirements.lock"
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *options, "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if "No known vulnerabilities found" in said and "could not be audited" not in said:
        lab.notes[SCANNED] = "pip-audit has asked its index"
        return None
    if re.search(r"Found \d+ known vulnerabilit", said):
        return done.stdout[-400:]
    dated = ["git", "log", "-1", "--format=%ct", "--", lock.name]
    told = subprocess.run(dated, cwd=PROJECT, capture_output=True, text=True, check=False).stdout
    made = datetime.fromtimestamp(float(told or lock.stat().st_mtime), UTC)
    lab.notes[SCANNED] = f"pip-audit cannot reach its index; the lock is of {made:%Y-%m-%d}"
    age = datetime.now(UTC) - made
    return None if age < timedelta(days=LOCK_DAYS) else f"requirements.lock is {age.days} days old: make lock"
