"""The API for other servers: ``gunicorn 'spleeter_microservice.bootstrap.asgi:create()'``.

Gunicorn also needs ``-c python:spleeter_microservice.bootstrap.gunicorn``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spleeter_microservice.bootstrap.application import Application
from spleeter_microservice.observability.logs import configure_logging
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def create() -> ASGIApp:
    """Return the application for the settings in the environment.

    Raises:
        ConfigurationError: if a setting is invalid.
    """
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level)
    return Application(settings)
