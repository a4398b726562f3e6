"""Signals to a run whose work is done by other processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# In a process of its own, which signals may end.
PREPARE = """
import os, signal, sys
from c2am_plugin.runs.parallel import run_images
from c2am_plugin.runs.signals import terminable
from items import OnNames, named

def run(work, count):
    names = named(f"{i:06}" for i in range(count))
    return run_images(OnNames(work), names, workers=2, prefer="processes", progress=False)
"""

HELPERS = str(Path(__file__).parents[1] / "helpers")
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": HELPERS}


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("all_processes", [False, True])
def test_a_signal_ends_workers_whatever_they_are_doing(kind, all_processes):
    """Work that takes no time keeps them at the pool's locks."""
    code = """
with terminable():
    print("ready", flush=True)
    try:
        run(str.upper, 10**6)
    except KeyboardInterrupt:
        sys.exit(130)
"""
    chance = random.Random(3)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", PREPARE + code],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        process.stdout.readline()
        time.sleep(chance.uniform(0, 2))
        (os.killpg if all_processes else os.kill)(process.pid, kind)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 130, err.decode()


def test_a_command_that_is_to_ignore_ctrl_c_ignores_it():
    """As one that a shell script starts in the background."""
    code = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent = os.getpid()
def work(image_id):
    if image_id == "000020":
        os.kill(parent, signal.SIGINT)
    return os.getpid()
found = run(work, 300)
assert parent not in found.results.values()
print(len(found.results))
"""
    call = [sys.executable, "-c", PREPARE + code]
    done = subprocess.run(call, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout.strip() == "300", done.stderr
