"""The machine misbehaves: interrupts, killed workers, full disks, folders that cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from c2am_plugin.batch import PROCESSES_PAY, run_images
from c2am_plugin.errors import C2AMError


def note(folder, image_id, deadly=""):
    """Work of a hundredth of a second; one image is too much for its process."""
    if image_id == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    Path(folder, image_id).write_text(str(os.getpid()))


# --- worker processes ---------------------------------------------------------------------------


def test_a_worker_that_the_system_kills_is_said_in_one_line(tmp_path):
    ids = [f"{i:03d}" for i in range(PROCESSES_PAY)]
    work = partial(note, str(tmp_path), deadly="100")
    with pytest.raises(C2AMError) as stop:
        run_images(work, ids, workers=2, prefer="processes", progress=False)
    message = str(stop.value)
    assert "\n" not in message
    assert "the system killed a worker process" in message
    assert f"of {len(ids)} images are done" in message
    assert "--workers" in message
    done = {path.name for path in tmp_path.iterdir()}
    assert done
    assert "100" not in done
    rest = [image_id for image_id in ids if image_id not in done]
    again = run_images(
        partial(note, str(tmp_path)), rest, workers=2, prefer="processes", progress=False
    )
    assert len(again.results) == len(rest)
