"""prefect.yaml, the automations and the parameters, without a server: they match the project."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from conftest import PROJECT
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.events.schemas.automations import AutomationCore
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import is_valid, validate

from flows.ops.prefect_records import FLOWS
from flows.pipeline.parameters import overrides_schema
from flows.pipeline.settings import Pipeline, load_settings

DEPLOYED = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
DEPLOYMENTS = {f"{entry['tags'][0]}/{entry['name']}": entry for entry in DEPLOYED["deployments"]}


def schema_of(deployment: str) -> dict[str, Any]:
    flow = load_flow_from_entrypoint(str(PROJECT / DEPLOYMENTS[deployment]["entrypoint"]))
    return parameter_schema(flow).model_dump_for_openapi()


def parts(schema: Any) -> list[dict[str, Any]]:
    """Every mapping in a schema."""
    if isinstance(schema, list):
        return [part for item in schema for part in parts(item)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(part for value in schema.values() for part in parts(value))]


def test_prefect_reads_every_deployment():
    assert {"retrain/brown", "retrain/own-texts", "crossvalidate/brown", "predict/batch"} <= set(DEPLOYMENTS)
    assert len(PrefectYamlModel.model_validate(DEPLOYED).deployments) == len(DEPLOYMENTS)


def test_maintenance_deletes_runs_of_every_flow():
    sources = [path.read_text() for path in (PROJECT / "flows").glob("*.py")]
    assert sorted(name for source in sources for name in re.findall(r'@flow\(name="(\w+)"', source)) == sorted(FLOWS)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_names_an_existing_flow_and_settings_file(name: str):
    entry = DEPLOYMENTS[name]
    assert load_flow_from_entrypoint(str(PROJECT / entry["entrypoint"])).name == name.partition("/")[0]
    assert validate(entry["parameters"], schema_of(name), ignore_required=True) == []
    assert entry["work_pool"]["name"] == "corpusflow"
    assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert entry["tags"]
    assert entry["description"]
    assert load_settings(PROJECT / entry["parameters"]["config"])


@pytest.mark.parametrize(
    ("overrides", "accepted"),
    [
        (None, True),
        ({}, True),
        ({"training": {"epochs": 3}}, True),
        ({"tokenization": {"max_tokens": None}}, True),
        ({"splitting": {"train": 0.7}}, True),  # valid only with the file's other shares, which the flow checks
        ({"training": {"epochs": 0}}, False),
        ({"training": {"epochs": "many"}}, False),
        ({"training": {"cell": "transformer"}}, False),
        ({"training": {"epoch": 3}}, False),
        ({"trainnig": {}}, False),
        ("training", False),
    ],
)
def test_the_schema_distinguishes_valid_from_invalid_overrides(overrides: Any, accepted: bool):
    assert is_valid({"config": "pipeline.yaml", "overrides": overrides}, schema_of("retrain/brown")) is accepted


def test_every_parameter_and_setting_has_a_description_and_no_default():
    properties = schema_of("retrain/brown")["properties"]
    assert all(properties[name]["description"] for name in ("config", "overrides"))
    schema = overrides_schema()
    settings = [part for part in parts(schema) if "title" in part and part is not schema]
    assert len(settings) > 50
    assert [part["title"] for part in settings if not part.get("description")] == []
    assert [part for part in parts(schema) if "$ref" in part or "required" in part] == []
    assert [part for part in settings if "default" in part] == []  # the UI would send it


def test_the_schema_accepts_the_whole_file():
    assert is_valid({"overrides": Pipeline().model_dump(mode="json")}, schema_of("retrain/brown"))


@pytest.mark.parametrize("path", sorted((PROJECT / "automations").glob("*.yaml")), ids=lambda path: path.name)
def test_prefect_reads_every_automation(path: Any):
    automation = AutomationCore.model_validate(yaml.safe_load(path.read_text()))
    assert automation.description


def dates(cron: str, zone: str, start: datetime, count: int) -> list[datetime]:
    schedule = CronSchedule(cron=cron, timezone=zone)
    found = asyncio.run(schedule.get_dates(count, start=start))
    return [datetime.fromisoformat(str(date)).astimezone(ZoneInfo(zone)) for date in found]


@pytest.mark.parametrize("name", [name for name, entry in DEPLOYMENTS.items() if "schedules" in entry])
@pytest.mark.parametrize("night", [datetime(2027, 3, 27), datetime(2027, 10, 30)], ids=["spring", "autumn"])
def test_no_scheduled_run_is_lost_or_repeated_when_the_clocks_change(name: str, night: datetime):
    for schedule in DEPLOYMENTS[name]["schedules"]:
        zone = schedule["timezone"]
        found = dates(schedule["cron"], zone, night.replace(tzinfo=ZoneInfo(zone)), 4)
        assert len({(date.hour, date.minute) for date in found}) == 1
        days = [date.date() for date in found]
        step = 7 if schedule["slug"] == "weekly" else 1
        assert days == [days[0] + timedelta(days=number * step) for number in range(4)]


@pytest.mark.parametrize(
    ("night", "expected"),
    [
        (datetime(2027, 3, 28), "2027-03-28T03:30:00+02:00"),  # 02:30 does not exist: an hour later, once
        (datetime(2027, 10, 31), "2027-10-31T02:30:00+02:00"),  # 02:30 comes twice: the first of the two
    ],
)
def test_a_schedule_within_the_hour_that_changes_runs_once(night: datetime, expected: str):
    zone = "Europe/Berlin"
    found = dates("30 2 * * *", zone, night.replace(tzinfo=ZoneInfo(zone)), 2)
    assert found[0].isoformat() == expected
    assert found[1].date() == found[0].date() + timedelta(days=1)
