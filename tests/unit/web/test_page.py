"""The page offers what the catalogue has."""

import re

import httpx
import pytest
from fastapi import FastAPI

from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.web.page import router


@pytest.mark.anyio
async def test_the_page_offers_every_number_of_stems() -> None:
    app = FastAPI()
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        html = (await client.get("/")).text
    offered = re.findall(r'name="stems" value="(\d)"( checked)?>.*?</strong> ([^<]*) <', html)
    wanted = {count: ", ".join(entry.stems) for count, entry in CATALOGUE.by_stem_count().items()}
    assert {int(count): stems for count, _, stems in offered} == wanted
    assert [count for count, checked, _ in offered if checked] == ["2"]
