"""The pages of a run in Prefect's UI: each stage's output and check, and what to do after a failure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.shared.checks.report import CheckReport, Expected
from tasks.shared.checks.words import MARKS, examples, in_words, merged
from tasks.shared.errors import ArtifactError, CheckFailed, CorpusflowError, InputError, TrainingError, with_config
from tasks.shared.store.artifacts import Artifact
from tasks.shared.store.records import RunRecord
from tasks.shared.ui.markdown import Markdown, Table, escape, plain, size, table
from tasks.shared.ui.preview import Decode, count_values, datasets, rows_of, sample_rows

AGAIN = {
    "crossvalidate": "corpusflow crossvalidate",
    "predict": "corpusflow predict-batch SOURCE",
    "maintenance": "corpusflow prune --keep 5",
}
STAGE_NOTE, RUN_NOTE = "stage ", "run "
"""How the note of an error begins that names its run."""
SAMPLE_ROWS, SAMPLE_CHARACTERS, SAMPLE_COLUMNS, VALUES_SHOWN = 3, 80, 6, 30


def about_artifact(
    artifact: Artifact,
    folder: Path,
    place: Path,
    reasons: Sequence[str],
    decode: Decode | None,
    site: str | None = None,
) -> Markdown:
    """A stage's output, and why it was built. `folder` is where it is now, `place` where it will be after the check.

    `site` is the address of the site where it is served.
    """
    facts = {
        "rows": f"{artifact.rows:,}",
        "size": size(artifact.bytes),
        "made in": f"{artifact.seconds:.1f} s",
        "folder": place,
        "built because": "; ".join(reasons) or "its artifact was missing",
    }
    found = [(name, files, count_values(files)) for name, files in datasets(folder)]
    counted = [counts for _, _, columns in found for counts in columns.values()]
    parts = [
        f"## {artifact.stage}\n",
        table(("", ""), facts.items()),
        *_summary({key: value for key, value in artifact.summary.items() if value not in counted}),
        *(part for name, files, columns in found for part in _dataset(name, files, columns, decode)),
        _link("Its page in the site", site, f"artifacts/{artifact.stage}-{artifact.fingerprint}.html"),
    ]
    return Markdown(artifact.stage, f"{artifact.rows:,} rows, {size(artifact.bytes)}", "\n".join(parts))


def _summary(summary: Mapping[str, Any]) -> Iterator[str]:
    """The stage's own figures; a mapping (labels, drops by reason) gets its own table."""
    single = [(key.replace("_", " "), value) for key, value in summary.items() if not isinstance(value, dict)]
    if single:
        yield table(("figure", "value"), single)
    for key, values in summary.items():
        if isinstance(values, dict):
            yield from _counted(key.replace("_", " "), values)


def _counted(title: str, counts: Mapping[str, Any]) -> Iterator[str]:
    yield f"**{escape(title)}**\n"
    total = sum(counts.values())
    whole = isinstance(total, int)
    rows = [(name, count, f"{count / total:.1%}" if whole and total else None) for name, count in counts.items()]
    yield table(("", f">{'count' if whole else 'value'}", ">"), rows[:VALUES_SHOWN])
    if len(rows) > VALUES_SHOWN:
        yield f"… and {len(rows) - VALUES_SHOWN:,} more\n"


def _dataset(
    name: str, files: Sequence[Path], columns: Mapping[str, Mapping[str, int]], decode: Decode | None
) -> Iterator[str]:
    yield f"### {escape(name)}\n\n{rows_of(files):,} rows in {len(files)} file{'s' * (len(files) > 1)}\n"
    for column, counts in columns.items():
        if counts:
            yield from _counted(column, counts)
    sample = sample_rows(files, SAMPLE_ROWS, SAMPLE_CHARACTERS, decode)
    if sample:
        names = list(sample[0])[:SAMPLE_COLUMNS]
        yield "**first rows**\n"
        yield table([escape(name) for name in names], ([row[name] for name in names] for row in sample))


def about_check(stage: str, report: CheckReport) -> Table:
    """Every expectation with what was observed; failures come first."""
    results = sorted(merged(report.results), key=lambda r: (r.success, r.severity != "critical"))
    failed = len(report.failures)
    verdict = f"{failed} of {len(results)} expectations failed" if failed else f"{len(results)} expectations checked"
    warned = f", {len(report.warnings)} warned" if report.warnings else ""
    return Table(f"check-{stage}", f"{stage}: {verdict}{warned}", [_expectation(result) for result in results])


def _expectation(result: Expected) -> dict[str, str]:
    words = in_words(result)
    verdict = words["verdict"]
    name = f"{words['column']}: " if words["column"] else ""
    return {
        "holds": f"{MARKS[verdict]} {verdict}" if verdict != "holds" else MARKS[verdict],
        "of": plain(result.batch),
        "expectation": plain(f"{name}{words['limit']}"),
        "observed": plain(words["found"], 100),
        "because": plain(result.reason),
        "examples": plain("; ".join(examples(result))),
    }


def about_run(record: RunRecord) -> Markdown:
    """All stages of a run at a glance."""
    rows = [
        (entry.stage, entry.status, entry.rows, size(entry.bytes), f"{entry.seconds:.1f} s", "; ".join(entry.reasons))
        for entry in record.stages
    ]
    overview = table(("stage", "", ">rows", ">size", ">took", "because"), rows)
    decision = f"\nchampion: {escape(record.decision)}\n" if record.decision else ""
    counts = (record.metrics or {}).get("doubtful_labels")
    if counts:
        decision += (
            f"\nlabels worth a second look: {counts['documents']:,} of {counts['labelled']:,}, "
            "see doubtful\\_labels.parquet beside the report\n"
        )
    last = record.stages[-1].path if record.stages else ""
    folder = escape(Path(last).parents[1]) if last else ""
    where = f"\nThe data is in {folder}; `latest` in each folder is the newest artifact.\n"
    site = _link("Its page, with the graph", record.settings.get("site_url"), f"runs/{record.id}.html")
    text = f"## Run {record.id}\n\n{overview}{decision}{where if last else ''}{site}"
    return Markdown(record.flow, record.message, text)


def _link(words: str, site: str | None, page: str) -> str:
    """A link to a page of the site; empty if the site is not served."""
    return f"\n[{words}]({site.rstrip('/')}/{page})\n" if site else ""


def about_failure(flow: str, error: BaseException, config: str = "pipeline.yaml", site: str | None = None) -> Markdown:
    """What failed, in which stage, and what to do next; `config` is the run's settings file, `site` as above."""
    stage = _note(error, STAGE_NOTE)
    facts: dict[str, object] = {"stage": stage} if stage else {}
    if isinstance(error, CheckFailed) and error.quarantine:
        facts["quarantine"] = error.quarantine
    message = str(error) if isinstance(error, CorpusflowError) else f"{type(error).__name__}: {error}"
    advice, command = _next(flow, error, stage)
    if config != "pipeline.yaml":
        message, advice = with_config(message, config), with_config(advice, config)
        command = f"{command} --config {shlex.quote(config)}"
    lines = [
        f"## {escape(flow)} failed\n",
        f"{escape(message, 2000)}\n",
        table(("", ""), facts.items()) if facts else "",
        f"**Next:** {advice}\n\n    {command}\n",
        "Nothing is half-written, and finished stages are reused.\n",
        _link("The run's page in the site", site if (run := _note(error, RUN_NOTE)) else None, f"runs/{run}.html"),
    ]
    return Markdown("failure", plain(message), "\n".join(lines))


def _note(error: BaseException | None, prefix: str) -> str:
    """The rest of the first note that begins so, of the error or of its causes; empty if there is none."""
    while error is not None:
        for note in getattr(error, "__notes__", []):
            if str(note).startswith(prefix):
                return str(note).removeprefix(prefix)
        error = error.__cause__
    return ""


def _next(flow: str, error: BaseException, stage: str) -> tuple[str, str]:
    """What to do, and the command for it."""
    again = AGAIN.get(flow, "corpusflow run")
    if isinstance(error, CheckFailed):
        key = f"`checks.{stage}` in pipeline.yaml"
        return (
            f"look at the table of the check and at the quarantined files; correct the texts, or the limits {key}",
            again,
        )
    if isinstance(error, InputError):
        return "correct what the message names", again
    if isinstance(error, ArtifactError):
        return "see what is damaged, and whether the disk has room", "corpusflow verify"
    if isinstance(error, TrainingError):
        return "change what the message names; training resumes from its last checkpoint if it can", again
    return "the run's log has the traceback; once the cause is gone, run again", again
