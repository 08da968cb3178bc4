"""YAML as people write it: a file of settings, or one value on the command line; errors say where and what."""

from __future__ import annotations

import stat
from collections.abc import Hashable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tasks.shared.errors import SettingsError, one_line


class NotYaml(Exception):
    """The text is not YAML; the message says where and why."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a duplicate key; PyYAML would silently use the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            keys = [self.construct_object(key) for key, _ in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} is given twice", node.start_mark)
        return mapping


def parse_value(text: str | bytes) -> Any:
    """The value. Raises NotYaml."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader  # noqa: S506  # nosec B506
    except yaml.reader.ReaderError as error:
        if error.encoding == "unicode":
            raise NotYaml(f"the sign U+{error.character:04X} at character {error.position} is not allowed") from None
        raise NotYaml(f"not {error.encoding.upper()} at byte {error.position}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise NotYaml(f"{where}{error.problem}") from None
    except RecursionError:
        raise NotYaml("nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that is none
        raise NotYaml(one_line(error)) from None


def read_mapping(path: Path) -> dict[str, Any]:
    """The values in the file, to be changed freely; none if it is empty. Raises SettingsError."""
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise SettingsError(f"{path}: a pipe or a device, which cannot be read twice; save the settings in a file")
        values = _parse(path, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    except NotYaml as error:
        raise SettingsError(f"{path}: not valid YAML ({error})") from None
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        why = getattr(error, "strerror", None) or one_line(error)
        raise SettingsError(f"{path}: cannot be read ({why}); name the file with --config") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a text" if isinstance(values, str) else "a number"
        raise SettingsError(f"{path}: holds {kind}; expected sections such as `extraction:`")
    return deepcopy(values)


@lru_cache(maxsize=8)
def _parse(path: Path, *version: int) -> Any:
    """The file parsed once for each version of it: a command and the parts of its flow all ask for the settings."""
    return parse_value(path.read_bytes())
