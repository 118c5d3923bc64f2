"""The first process of a container reaps the zombies that it inherits."""

import subprocess
import sys

SCRIPT = """
import ctypes, os, subprocess, sys, time
from spleeter_microservice.processes.zombie_reaper import ZombieReaper

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
parent = subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE, text=True)
orphan = int(parent.stdout)
reaper = ZombieReaper(timeout=1.0)
deadline = time.monotonic() + 30
while os.path.exists(f"/proc/{orphan}"):
    assert time.monotonic() < deadline, "still there"
    reaper.reap()
    assert own.poll() in (None, 7), "its own child's status was taken from it"
    time.sleep(0.05)
"""


def test_inherited_zombies_are_reaped_but_own_children_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
