"""A real deployment: server, work pool, deployments and worker as processes; runs are started as users start them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from deployed import Site, given, make_site, statuses

from benchmarks.torture.processes import descendants, kill, wait_until

pytestmark = pytest.mark.slow
MANY = {"training": {"epochs": 2000, "batch_size": 4}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = make_site(tmp_path_factory.mktemp("deployed"))
    with site.server():
        site.deploy()
        assert "corpusflow: a run without heartbeat has crashed\n" in site.python("flows.cli", "automations").out
        yield site


@pytest.fixture
def site(server: Site) -> Iterator[Site]:
    with server.worker():
        yield server


def test_a_run_is_watched_to_its_end_and_a_schedule_starts_the_next(site: Site):
    parameters = given({"overrides": {"training": {"epochs": 3}}})
    watched = site.prefect("deployment", "run", "retrain/brown", "--watch", *parameters)
    assert "Flow run finished successfully" in watched
    assert "training: built" in watched  # the log lines, not only the states
    (run,) = [run for run in site.ask("/flow_runs/filter", {}) if not run["auto_scheduled"]]
    assert run["state"]["type"] == "COMPLETED"
    assert {"retrain", "brown"} <= set(run["tags"])
    assert "expectations hold" in site.logs(run["id"])
    (record,) = site.records()
    assert statuses(record) == {"built"}
    assert record["settings"]["training"]["epochs"] == 3
    assert (site.data / "08_reports/latest/report.html").exists()
    assert f"runs/{record['id']}.html" in (site.data / "site/index.html").read_text()
    assert (site.data / f"site/runs/{record['id']}.html").exists()
    assert (site.data / "prefect/prefect.db").exists()

    site.prefect("deployment", "schedule", "create", "retrain/own-texts", "--interval", "5")
    wait_until(lambda: len(site.records()) > 1 and site.records()[0]["status"] == "completed")
    site.prefect("deployment", "schedule", "clear", "retrain/own-texts", "--accept-yes")
    wait_until(site.idle)  # a run that loses its worker would block the deployment for a while
    ran = [run for run in site.ask("/flow_runs/filter", {}) if run["auto_scheduled"] and run["start_time"]]
    assert {run["state"]["type"] for run in ran} == {"COMPLETED"}


def test_a_second_run_builds_nothing_and_concurrent_runs_do_no_harm(site: Site):
    again = [{"overrides": {"training": {"seed": seed}}} for seed in (1, 1)]
    runs = [
        site.start(name, **asked) for name, asked in zip(("retrain/brown", "retrain/own-texts"), again, strict=True)
    ]
    assert [site.end(run)["type"] for run in runs] == ["COMPLETED", "COMPLETED"]
    assert site.end(site.start("retrain/brown", **again[0]))["type"] == "COMPLETED"
    assert statuses(site.records()[0]) == {"reused"}
    verified = site.python("flows.cli", "verify")
    assert verified.code == 0, verified


def test_a_mistake_is_in_the_state_of_the_run(site: Site):
    state = site.end(site.start("retrain/brown", config="nowhere.yaml"))
    assert state["type"] == "FAILED"
    assert "nowhere.yaml: cannot be read" in state["message"]
    assert "\n" not in state["message"]
    (site.root / "wrong.yaml").write_text("training: {epoch: 3}\n")
    state = site.end(site.start("retrain/brown", config="wrong.yaml"))
    assert "wrong.yaml: training.epoch: unknown key; did you mean 'epochs'?" in state["message"]


def test_the_server_refuses_invalid_parameters(server: Site):
    for overrides, message in (
        ({"training": {"epoch": 3}}, "'epoch' was unexpected"),
        ({"training": {"epochs": 0}}, "0 is less than the minimum of 1"),
        ("training", "overrides"),
    ):
        refused = server.python("prefect", "deployment", "run", "retrain/brown", *given({"overrides": overrides}))
        assert refused.code == 1
        assert message in " ".join((refused.out + refused.err).split())


def test_a_missing_work_pool_is_reported(server: Site):
    elsewhere = (
        (server.root / "prefect.yaml").read_text().replace("name: corpusflow\n      job", "name: gone\n      job")
    )
    (server.root / "elsewhere.yaml").write_text(elsewhere)
    refused = server.python("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "elsewhere.yaml")
    assert refused.code == 1
    assert "work pool 'gone' which does not exist" in " ".join((refused.out + refused.err).split())


def test_a_run_whose_worker_and_process_were_killed_is_crashed_and_the_next_continues(server: Site):
    automation = server.root / "automations/crashed.yaml"
    text = automation.read_text()
    assert "within: 90 " in text
    automation.write_text(text.replace("within: 90 ", "within: 45 "))  # a heartbeat and a half
    assert server.python("flows.cli", "automations").code == 0
    within = [automation["trigger"]["within"] for automation in server.ask("/automations/filter", {})]
    assert sorted(within) == [0, 45]  # updated, not duplicated

    checkpoints = server.data / "06_rnn"
    with server.worker() as worker:
        run = server.start("retrain/brown", overrides=MANY)
        wait_until(lambda: len(list(checkpoints.glob(".scratch-*/fold-*/epoch-*.safetensors"))) > 1)
        kill([worker.pid, *descendants(worker.pid)])
    assert server.state(run)["type"] == "RUNNING"
    state = server.end(run)
    assert (state["type"], state["message"][:12]) == ("CRASHED", "No heartbeat")
    (scratch,) = {path.parent for path in checkpoints.glob(".scratch-*/fold-*/epoch-*")}
    with server.worker() as worker:
        next_run = server.start("retrain/brown", overrides=MANY)
        resumed = re.compile(rf"resuming from checkpoint \S+/{scratch.name}/epoch-")  # a copy of its own
        wait_until(lambda: resumed.search(server.logs(next_run)))
        kill(descendants(worker.pid))  # the worker is alive and reports the crash at once
        assert server.end(next_run)["type"] == "CRASHED"
