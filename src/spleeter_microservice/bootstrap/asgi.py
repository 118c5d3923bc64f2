"""The API for servers that start it themselves: ``gunicorn 'spleeter_microservice.bootstrap.asgi:create()'``.

With ``-c python:spleeter_microservice.bootstrap.gunicorn``.
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
    """Give the application for the environment's settings.

    Raises:
        ConfigurationError: when one is wrong.
    """
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level)
    return Application(settings)
