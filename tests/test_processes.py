"""Worker processes: copies of this one where that is safe, joblib's where it is not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="only Linux says how many threads there are"
)

# In a process of its own: the one that runs the tests has many threads and has loaded joblib.
PREPARE = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from c2am_plugin.batch import run_images
from c2am_plugin.errors import C2AMError

IDS = [f"{i:03d}" for i in range(64)]

def note(folder, deadly, image_id):
    if image_id == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    Path(folder, image_id).write_text(str(os.getpid()))
    return os.getpid()

def run(deadly="", ids=IDS, workers=2, **options):
    work = partial(note, sys.argv[1], deadly)
    options = {"workers": workers, "prefer": "processes", "progress": False, **options}
    return run_images(work, ids, **options)
"""

THREAD = "from threading import Event, Thread; stop = Event(); Thread(target=stop.wait).start()"


def said(folder, code):
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + code, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
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
