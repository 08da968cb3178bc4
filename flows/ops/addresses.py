"""The addresses that the environment gives a command: of Prefect's server, and of proxies."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from urllib.parse import urlsplit

from tasks.shared.errors import RunError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http", "https", "socks5", "socks5h")
"""Protocols that the HTTP client speaks with a proxy."""


def bypass_proxy() -> None:
    """Keeps calls to this machine's own servers away from the proxy that HTTP_PROXY names."""
    present = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in present.split(",") if host.strip()]
    for name in [name for name in os.environ if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}]:
        if os.environ[name].startswith("socks") and find_spec("socksio") is None:
            del os.environ[name]  # the HTTP client cannot use it, and would refuse every call
        else:
            require_proxy(name, os.environ[name])
    if "*" not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def require_proxy(name: str, value: str) -> None:
    """Raises RunError for a proxy's address with which the HTTP client would refuse every call."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        _ = parts.port  # raises ValueError if it is none
        fault = "" if parts.scheme in PROXIES else f"it must begin with {', '.join(PROXIES)}"
    except ValueError as error:
        fault = str(error)
    if value and fault:
        raise RunError(
            f"{name} {without_password(value)}: not the address of a proxy ({fault}); correct it, or unset the variable"
        )


def require_address(url: str) -> None:
    """Raises RunError for what is not an HTTP address, of which Prefect would say so in four lines or too late."""
    try:
        fault = "" if not url or urlsplit(url).scheme in {"http", "https"} else "it must begin with http:// or https://"
        fault = "it has a space at an end" if url != url.strip() else fault
    except ValueError as error:
        fault = str(error)
    if fault:
        raise RunError(
            f"PREFECT_API_URL {without_password(url)}: not an address ({fault}); correct it, or unset the variable"
        )


def without_password(url: str) -> str:
    """The address as it may be printed."""
    return re.sub(r":[^/@]*@", ":***@", url, count=1)
