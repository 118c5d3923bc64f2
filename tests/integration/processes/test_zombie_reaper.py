"""The first process of a container reaps the zombies that it inherits."""

import subprocess
import sys

SCRIPT = """
import ctypes, os, subprocess, sys
from tests.support.waiting import wait_until
from spleeter_microservice.processes.zombie_reaper import ZombieReaper

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
parent = subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE, text=True)
orphan = int(parent.stdout)
reaper = ZombieReaper(timeout=1.0)

def reaped():
    reaper.reap()
    assert own.poll() in (None, 7), "its own child's status was taken from it"
    return not os.path.exists(f"/proc/{orphan}")

wait_until(reaped)
"""


def test_inherited_zombies_are_reaped_but_own_children_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
