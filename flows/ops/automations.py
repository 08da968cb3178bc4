"""Applies the project's automations (`automations/*.yaml`) to a Prefect server."""

from __future__ import annotations

from pathlib import Path

import yaml
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from pydantic import ValidationError

from tasks.shared.errors import SettingsError, first_problem, one_line


def apply_automations(folder: Path) -> list[str]:
    """Creates each automation of the folder, or updates the one of the same name; returns their names."""
    automations = [_read(path) for path in sorted(folder.glob("*.yaml"))]
    with get_client(sync_client=True) as client:
        for automation in automations:
            existing = client.read_automations_by_name(automation.name)
            if not existing:
                client.create_automation(automation)
            elif AutomationCore.model_validate(existing[0].model_dump()) != automation:
                client.update_automation(existing[0].id, automation)  # discards its counted events
    return [automation.name for automation in automations]


def _read(path: Path) -> AutomationCore:
    try:
        return AutomationCore.model_validate(yaml.safe_load(path.read_bytes()))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML ({one_line(error)})") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: {first_problem(error)}; see Prefect's documentation of automations") from None
