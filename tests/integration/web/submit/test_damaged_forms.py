"""Damaged forms are refused with a reason or understood, and leave nothing behind."""

from __future__ import annotations

from collections import Counter

import httpx
import pytest

from spleeter_microservice.web.services import Services
from tests.support.damaged_forms import damaged_forms
from tests.support.web_service import song

pytestmark = pytest.mark.asyncio

FORMS = 60


async def test_no_damaged_form_causes_a_server_error(ann: httpx.AsyncClient, services: Services) -> None:
    answers: Counter[int] = Counter()
    for damage, content_type, body in damaged_forms(song(0.5), FORMS, seed=1):
        answer = await ann.post("/v1/separations", content=body, headers={"Content-Type": content_type})
        answers[answer.status_code] += 1
        assert answer.status_code in (202, 400, 415, 422), (damage, answer.text)
        assert list(services.config.spool.iterdir()) == [], damage
    assert {202, 400, 422} <= set(answers), answers
    assert (await services.repository.load()).queued == answers[202]
