"""The image: non-root, pinned, without secrets, and every file that it copies exists."""

from __future__ import annotations

import json
import re

from conftest import PROJECT

SECRETS = re.compile(r"(?i)secret|token|passw|credential|api_?key|auth_string")


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments; comments dropped, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (PROJECT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def final_stage() -> list[tuple[str, str]]:
    lines = instructions()
    last = max(number for number, (name, _) in enumerate(lines) if name == "FROM")
    return lines[last:]


def allowed_in_context() -> list[str]:
    lines = (PROJECT / ".dockerignore").read_text().split()
    return [line[1:] for line in lines if line.startswith("!")]


def test_it_runs_as_a_user_that_is_not_root():
    users = [arguments for name, arguments in final_stage() if name == "USER"]
    assert users
    assert all(int(user) > 0 for user in users)  # a number, so that Kubernetes sees that it is not root


def test_the_base_is_pinned_and_so_is_every_package():
    tags = [arguments for name, arguments in instructions() if name == "ARG" and arguments.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=3\.\d+-slim-\w+", tags[0])
    installs = [arguments for name, arguments in instructions() if name == "RUN" and "pip install" in arguments]
    assert installs
    assert all("--requirement requirements.lock" in line or "--no-deps" in line for line in installs)
    assert all("--no-cache-dir" in line for line in installs)


def test_there_is_a_variant_for_the_cpu_and_one_for_cuda():
    stages = {arguments.split(" AS ")[1] for name, arguments in instructions() if name == "FROM"}
    assert {"build-cpu", "build-cuda"} <= stages
    assert ("ARG", "VARIANT=cpu") in instructions()
    assert any(name == "FROM" and arguments.startswith("build-${VARIANT} ") for name, arguments in instructions())


def test_no_secret_is_built_in():
    assert [line for line in instructions() if line[0] in {"ARG", "ENV"} and SECRETS.search(line[1])] == []


def test_only_named_files_go_to_the_builder_and_the_final_stage_installs_nothing():
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert not {"data", ".git", ".env", ".venv"} & set(allowed_in_context())
    assert not [line for line in final_stage() if line[0] == "RUN" and "pip" in line[1]]


def test_copied_files_exist_and_are_in_the_build_context():
    copied = [arguments.split() for name, arguments in instructions() if name == "COPY" and "--from" not in arguments]
    sources = [source for *sources, _ in copied for source in sources]
    assert {"flows", "tasks", "prefect.yaml", "requirements.lock"} <= set(sources)
    assert [source for source in sources if not (PROJECT / source).exists()] == []
    roots = {line.split("/")[0] for line in allowed_in_context()}
    assert [source for source in sources if source not in roots] == []


def test_the_command_needs_no_shell():
    (command,) = [arguments for name, arguments in final_stage() if name == "CMD"]
    assert json.loads(command)[:3] == ["prefect", "worker", "start"]
