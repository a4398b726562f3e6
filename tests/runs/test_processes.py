"""Worker processes: copies of this one where that is safe, joblib's where it is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="only Linux says how many threads there are"
)

# In a process of its own: the one that runs the tests has many threads and has loaded joblib.
PREPARE = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from c2am_plugin.runs.parallel import run_images
from c2am_plugin.errors import C2AMError
from items import OnNames, named

IDS = [f"{i:03d}" for i in range(64)]

def note(folder, deadly, image_id):
    if image_id == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    Path(folder, image_id).write_text(str(os.getpid()))
    return os.getpid()

def run(deadly="", ids=IDS, workers=2, **options):
    work = OnNames(partial(note, sys.argv[1], deadly))
    options = {"workers": workers, "prefer": "processes", "progress": False, **options}
    return run_images(work, named(ids), **options)
"""

HELPERS = str(Path(__file__).parents[1] / "helpers")
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": HELPERS}
THREAD = "from threading import Event, Thread; stop = Event(); Thread(target=stop.wait).start()"


def command(folder, code):
    return [sys.executable, "-c", PREPARE + code, str(folder)]


def said(folder, code):
    done = subprocess.run(command(folder, code), capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("before", "options", "workers", "joblib"),
    [
        ("", "workers=2", 2, False),
        ("", "workers=3", 3, False),
        ("", "workers=50, ids=IDS[:24]", 3, False),
        ("", "workers=1", 0, False),
        ("", "workers=2, ids=IDS[:3]", 0, True),
        ("", "workers=2, prefer='threads'", 0, True),
        ("import joblib", "workers=2", 0, True),
        (THREAD, "workers=2", 0, True),
    ],
)
def test_copies_are_made_where_they_are_safe_and_pay(tmp_path, before, options, workers, joblib):
    code = f"""
{before}
found = run({options})
assert not found.failures
print(len(set(found.results.values()) - {{os.getpid()}}), "joblib" in sys.modules)
if "stop" in globals(): stop.set()
"""
    found, with_joblib = said(tmp_path, code).split()
    assert 0 < int(found) <= workers or int(found) == workers == 0  # a busy machine may use fewer
    assert with_joblib == str(joblib)


def test_a_second_run_is_copied_as_well(tmp_path):
    """The first leaves no thread behind: calibrating comes before refining."""
    code = """
for _ in range(2):
    pids = set(run(progress=True).results.values())
    assert os.getpid() not in pids
"""
    said(tmp_path, code)


def test_a_copy_that_the_system_kills_is_said_and_the_rest_can_go_on(tmp_path):
    code = """
try:
    run("020")
except C2AMError as error:
    print(error)
rest = [i for i in IDS if not Path(sys.argv[1], i).exists()]
assert len(run(ids=rest).results) == len(rest) > 40
"""
    message = said(tmp_path, code)
    assert "the system killed a worker process" in message
    assert "of 64 images are done" in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("all_processes", [False, True])
def test_a_signal_ends_workers_whatever_they_are_at(tmp_path, kind, all_processes):
    """Work of no time keeps them at the pool's locks; a lock that a dead one held would hang."""
    code = """
from c2am_plugin.runs.signals import terminable
with terminable():
    print("ready", flush=True)
    try:
        run_images(OnNames(str.upper), named(map(str, range(10**6))), workers=2, prefer="processes")
    except KeyboardInterrupt:
        sys.exit(130)
"""
    chance = random.Random(3)
    for _ in range(6):
        process = subprocess.Popen(
            command(tmp_path, code),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        (os.killpg if all_processes else os.kill)(process.pid, kind)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 130, err.decode()


def test_a_command_that_is_to_ignore_ctrl_c_ignores_it(tmp_path):
    """As one that a shell script starts in the background."""
    code = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
def work(image_id):
    if image_id == "020":
        os.kill(os.getppid(), signal.SIGINT)
    return image_id
found = run_images(OnNames(work), named(IDS), workers=2, prefer="processes", progress=False)
print(len(found.results))
print("joblib" in sys.modules)
"""
    assert said(tmp_path, code).split() == ["64", "False"]
