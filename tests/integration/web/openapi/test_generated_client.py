"""A client that is generated from the OpenAPI document can do everything, in its strict mode."""

from __future__ import annotations

import io
import json
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import openapi_python_client
import pytest
from openapi_python_client.config import Config, ConfigFile, MetaType

from spleeter_microservice.web.middleware.resumable import PART_TYPE
from spleeter_microservice.web.services import Services
from tests.support.web_service import ALL, Player, song

pytestmark = pytest.mark.asyncio

PACKAGE = "generated_client"


async def generate(stranger: httpx.AsyncClient, folder: Path) -> None:
    """Generate a package from the document, without a complaint."""
    document = folder / "openapi.json"
    document.write_text(json.dumps((await stranger.get("/openapi.json")).json()))
    config = Config.from_sources(
        ConfigFile(post_hooks=[], content_type_overrides={PART_TYPE: "application/octet-stream"}),
        MetaType.NONE,
        document,
        file_encoding="utf-8",
        overwrite=False,
        output_path=folder / PACKAGE,
    )
    assert openapi_python_client.generate(config=config) == []


async def test_a_generated_client_uploads_and_downloads(
    address: str, stranger: httpx.AsyncClient, services: Services, player: Player, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await generate(stranger, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    models = import_module(f"{PACKAGE}.models")
    types = import_module(f"{PACKAGE}.types")

    async def call(name: str, *arguments: Any, **options: Any) -> Any:
        return await import_module(f"{PACKAGE}.api.{name}").asyncio(*arguments, client=client, **options)

    key, _ = await services.keys.create("ann", ALL)
    async with import_module(f"{PACKAGE}.client").AuthenticatedClient(
        address, token=key, prefix="", auth_header_name="X-API-KEY", raise_on_unexpected_status=True
    ) as client:
        file = types.File(io.BytesIO(song()), "über uns.wav", "audio/wav")
        form = models.SeparationForm.from_dict({"file": None, "only": ["vocals"], "metadata": {"a": "b"}})
        form.file = file
        created = await call("separations.create_separation", body=form)
        assert (created.input_.name, created.metadata.to_dict()) == ("über uns.wav", {"a": "b"})
        await player.separate()
        assert (await call("separations.get_separation", created.id)).state == "succeeded"
        stem = await call("results.download_stem", created.id, "vocals")
        part = await call("results.download_stem", created.id, "vocals", range_="bytes=0-3")
        assert (stem.payload.read(), part.payload.read()) == (b"RIFF stem of vocals", b"RIFF")
        archive = await call("results.download_archive", created.id)
        assert zipfile.ZipFile(archive.payload).namelist() == ["über uns/vocals.wav"]
        form.file = types.File(io.BytesIO(song()), "über uns.wav")
        once_more = await call("separations.separate", body=form, stem="vocals")
        assert once_more.payload.read() == b"RIFF stem of vocals"
        assert (await call("separations.get_limits")).scopes == ["read", "separate"]
        assert "spleeter_requests_total" in await call("operation.get_metrics")
