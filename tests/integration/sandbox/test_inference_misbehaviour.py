"""A compromised inference process is not trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from spleeter_microservice.errors import (
    InferenceCrashedError,
    InferenceUnavailableError,
    JobMemoryLimitError,
    SpleeterError,
)
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.sandbox.messages import InferenceModel
from tests.support.inference_hooks import run_in_process
from tests.support.inference_models import request_for, song

pytestmark = pytest.mark.asyncio

# Replaces what the process sends after a request.
_TAKEN_OVER = """
import os, struct, sys
Channel = sys.modules["spleeter_microservice.sandbox.channel"].Channel
def serve(self, ready, answer):
    self.send(ready)
    request = self.receive()
    def send(data):
        self._writer.write(struct.pack(">I", len(data)) + data)
    {code}
    self.receive()
Channel.serve = serve
"""
_OUT_OF_MEMORY = """
import sys
Channel = sys.modules["spleeter_microservice.sandbox.channel"].Channel
def serve(self, ready, answer, original=Channel.serve):
    def failing(request):
        raise MemoryError
    original(self, ready, failing)
Channel.serve = serve
"""
_FLOOD = """
    while True:
        send(b'{"type": "progress", "done": 1, "total": 2, "steps": 3, "segments": 0}')
"""
_RESULT = (
    b'{"type": "result", "stems": {}, "measurements": {}, "stages": {}, "duration": 1, "samples": 1,'
    b' "elapsed": 1, "first_block": 1}'
)
LIES = {
    "no JSON": "send(b'{')",
    "no object": "send(b'[]')",
    "no type": "send(b'{}')",
    "unknown type": """send(b'{"type": "ready"}')""",
    "deep nesting": "send(b'[' * 100000)",
    "a number that JSON has not": """send(b'{"type": "progress", "done": NaN}')""",
    "no number": """send(b'{"type": "progress", "done": "many"}')""",
    "an endless message": "self._writer.write(bytes([255] * 4) + bytes(1000))",
    "half a message": "self._writer.write(bytes([0, 0, 0, 9, 1])); os._exit(0)",
    "a result without files": f"send({_RESULT!r})",
    "a result that lacks all": (
        "[open(path, 'w').close() for path in request['paths'].values()]; send(b'{\"type\": \"result\"}')"
    ),
    "an error of its own making": (
        """send(b'{"type": "error", "class": "SpleeterError", "message": "x"}')"""
    ),
    "an error that is no error": """send(b'{"type": "error", "class": "__doc__", "message": "x"}')""",
    "an error without words": """send(b'{"type": "error", "class": "NotAudioError"}')""",
    "a flood": _FLOOD,
}


async def test_a_malformed_message_ends_the_process_and_not_the_slot(
    tiny: InferenceModel,
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    request = request_for(song(work), tiny, time_limit=10)
    hook = tmp_path / "hook"
    codes = [_TAKEN_OVER.format(code=code) for code in LIES.values()]
    run_in_process(codes[0], hook, monkeypatch)
    async with InferenceSlot(tiny, work) as slot:
        for lie, following in zip(LIES, [*codes[1:], ""], strict=True):
            await slot.start()
            pid = slot.pid
            (hook / "hook.py").write_text(following)  # for the process that replaces this one
            with subtests.test(lie):
                with pytest.raises(InferenceCrashedError):
                    await slot.separate(request)
                assert slot.pid != pid
        await slot.separate(request)


async def test_the_process_may_report_the_memory_limit_itself(
    tiny: InferenceModel, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        run_in_process(_OUT_OF_MEMORY, tmp_path / "hook", patched)
        slot = InferenceSlot(tiny, work)
        await slot.start()
    with pytest.raises(JobMemoryLimitError, match="MiB"):
        await slot.separate(request_for(song(work), tiny))
    await slot.separate(request_for(song(work), tiny))
    await slot.close()


async def test_a_process_that_crashes_at_its_start_is_reported_with_its_standard_error(
    tiny: InferenceModel, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process("raise SystemExit('no luck today')", tmp_path / "hook", monkeypatch)
    slot = InferenceSlot(tiny, work)
    with pytest.raises(InferenceUnavailableError, match="no luck today"):
        await slot.start()
    with pytest.raises(SpleeterError):
        await slot.separate(request_for(song(work), tiny))
    await slot.close()
