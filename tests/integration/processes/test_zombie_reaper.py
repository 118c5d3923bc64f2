"""The first process of a container takes leave of what it inherits."""

import subprocess
import sys

ORPHANAGE = """
import ctypes, os, subprocess, sys, time
from spleeter_microservice.processes.zombie_reaper import Orphans

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
parent = subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE, text=True)
orphan = int(parent.stdout)
orphans = Orphans(timeout=1.0)
deadline = time.monotonic() + 30
while os.path.exists(f"/proc/{orphan}"):
    assert time.monotonic() < deadline, "still there"
    orphans.reap()
    assert own.poll() in (None, 7), "its own child's status was taken from it"
    time.sleep(0.05)
"""


def test_dead_orphans_are_let_go_and_children_that_are_waited_for_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHANAGE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
