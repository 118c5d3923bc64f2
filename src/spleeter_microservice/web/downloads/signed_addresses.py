"""Addresses at which stems can be downloaded without a key for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spleeter_microservice.jobs.job import Job, StoredStem
from spleeter_microservice.storage.store import SignedMethod
from spleeter_microservice.web.middleware.proxies import ROOT_PATH
from spleeter_microservice.web.services import Services


async def signed_addresses(
    services: Services, job: Job, stems: Sequence[StoredStem], method: SignedMethod = "GET"
) -> Mapping[str, str]:
    """Return an address for each stem, by its name; none if nothing is signed here."""
    signing = services.signed_urls
    if signing.by_store and stems:
        urls = await services.storage.sign([stem.key for stem in stems], signing.lifetime, method)
        if urls is not None:
            return {stem.name: url for stem, url in zip(stems, urls, strict=True)}
    if not signing.keys:
        return {}
    path = f"{ROOT_PATH.get()}/v1/signed/{job.id}"
    return {stem.name: f"{path}/{stem.name}?{signing.query(job.tenant, job.id, stem.name)}" for stem in stems}
