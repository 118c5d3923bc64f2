"""Print the OpenAPI document of the API, which the page's types are generated from."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services

services = cast(Services, SimpleNamespace(config=api_config(Settings()), version="0"))
print(json.dumps(create_app(services).openapi()))
