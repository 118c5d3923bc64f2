"""Fingerprint an installed model's stems of the reference clip, for ``sandbox/self_check.json``.

``python scripts/fingerprint.py 2stems 2stems-16kHz`` adds or replaces the fingerprints of these models.
Run it only on a machine where the stems agree with official Spleeter's (tests/golden).
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.sandbox import self_check
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.settings import Settings
from spleeter_microservice.worker.inventory import inference_model

KNOWN = Path(self_check.__file__).with_name("self_check.json")


async def measured(name: str) -> tuple[str, self_check.Fingerprint]:
    """Separate the clip with a model; return the model's key and the fingerprint."""
    settings = Settings.from_environment(os.environ)
    installed = find_model(name, ModelStore(settings.models_dir, mirror=settings.models_url))
    model = inference_model(installed)
    with tempfile.TemporaryDirectory() as work:
        async with InferenceSlot(model, Path(work)) as slot:
            return self_check.key(model), await self_check.measure(slot.separate, model, Path(work))


def main() -> None:
    """Fingerprint the models named on the command line."""
    known = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    for name in sys.argv[1:]:
        key, fingerprint = asyncio.run(measured(name))
        known[key] = fingerprint
    KNOWN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
