"""The settings that compose.yaml passes on to the containers."""

from __future__ import annotations

from collections.abc import Iterator

from spleeter_microservice.settings import variables

_SET_ELSEWHERE = {
    "SPLEETER_API_KEY",
    "SPLEETER_CLAMD_URL",
    "SPLEETER_DATABASE_URL",
    "SPLEETER_DATA_DIR",
    "SPLEETER_ENV",
    "SPLEETER_HOST",
    "SPLEETER_METRICS_PORT",
    "SPLEETER_PORT",
}
"""Settings that the image or compose.yaml itself sets."""


def _settings() -> Iterator[str]:
    names = {variable.name for variable in variables()}
    return (f"  {name}:" for name in sorted(names - _SET_ELSEWHERE))


TABLES = {"compose-settings": _settings}
