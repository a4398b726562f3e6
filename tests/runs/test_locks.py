"""One run at a time into a folder: who is refused, what is no obstacle, and what a shard holds."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from threading import Thread

import pytest

from c2am_plugin.errors import OutputError
from c2am_plugin.runs import locks
from c2am_plugin.runs.locks import lock_folder
from c2am_plugin.runs.signals import terminable

pytest.importorskip("fcntl", reason="this system has no flock")

HOLD = """
import sys, time
from pathlib import Path
from c2am_plugin.runs.locks import lock_folder
with lock_folder(Path(sys.argv[1]), *sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold():
    """hold(folder, shard): another process that has the lock."""
    with ExitStack() as stack:

        def start(*arguments):
            call = [sys.executable, "-c", HOLD, *map(str, arguments)]
            process = subprocess.Popen(call, stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout.readline() == b"held\n"
            return process

        yield start


def is_free(folder, *shard):
    try:
        with lock_folder(folder, *shard) as held:
            return held
    except OutputError:
        return False


def test_the_second_run_is_refused_with_who_and_since_when(tmp_path, hold):
    first = hold(tmp_path)
    with pytest.raises(OutputError) as refusal, lock_folder(tmp_path):
        pass
    message = str(refusal.value)
    assert "\n" not in message
    host = re.escape(socket.gethostname())
    told = rf"another run is writing into it \(process {first.pid} on {host}"
    assert re.search(told + r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\)", message)


def test_a_killed_run_is_no_obstacle_and_leaves_nothing_in_the_end(tmp_path, hold):
    first = hold(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK]
    with lock_folder(tmp_path) as held:
        assert held
        assert str(os.getpid()) in (tmp_path / locks.LOCK).read_text()
    assert list(tmp_path.iterdir()) == []


def test_it_holds_against_another_thread_and_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = []
    with lock_folder(tmp_path / "real"):
        other = Thread(target=lambda: found.append(is_free(tmp_path / "link")))
        other.start()
        other.join()
        assert found == [False]
    assert is_free(tmp_path / "link")


def test_shards_go_side_by_side_and_the_whole_waits(tmp_path, hold):
    first = hold(tmp_path, "1-of-3")
    with lock_folder(tmp_path, "2-of-3"):
        assert not is_free(tmp_path, "1-of-3")
        assert not is_free(tmp_path)
        assert is_free(tmp_path, "3-of-3")
    assert not is_free(tmp_path)
    first.kill()
    first.wait()
    with lock_folder(tmp_path):
        assert not is_free(tmp_path, "1-of-3")
    assert is_free(tmp_path, "1-of-3")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_file_system_without_locks_is_reported_and_breaks_no_run(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    for shard in ("", "1-of-2"):
        with lock_folder(tmp_path, shard) as held, lock_folder(tmp_path, shard) as too:
            assert not held
            assert not too
    assert list(tmp_path.iterdir()) == []
    assert "cannot be locked on this file system (No locks available)" in caplog.text
    monkeypatch.setattr(locks, "fcntl", None)  # as on Windows
    with lock_folder(tmp_path) as held:
        assert not held


@pytest.mark.slow
def test_a_worker_that_lives_on_does_not_hold_it(tmp_path):
    """A forked child has the open file too; the run is over with the process that began it."""
    with lock_folder(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        assert is_free(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.slow
def test_a_worker_that_ends_does_not_end_it(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(lock_folder(tmp_path))
        child = os.fork()
        if child == 0:
            stack.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert not is_free(tmp_path)
        assert (tmp_path / locks.LOCK).exists()


def test_a_lock_whose_file_is_removed_meanwhile_is_tried_again(tmp_path, monkeypatch):
    """Between opening the file and locking it the one before ended and removed it."""
    flock, removed = locks._flock, []

    def late(descriptor, shared):
        if not removed:
            removed.append((tmp_path / locks.LOCK).unlink())
        flock(descriptor, shared)

    monkeypatch.setattr(locks, "_flock", late)
    with lock_folder(tmp_path):
        assert removed
        assert not is_free(tmp_path)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["_flock", "_is_at", "_myself"])
def test_an_interrupt_while_the_lock_is_taken_leaves_no_file(tmp_path, monkeypatch, kind, moment):
    real = getattr(locks, moment)

    def interrupted(*arguments):
        found = real(*arguments)
        os.kill(os.getpid(), kind)
        return found

    monkeypatch.setattr(locks, moment, interrupted)
    with pytest.raises(KeyboardInterrupt), terminable(), lock_folder(tmp_path):
        pytest.fail("the interrupt came before")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert is_free(tmp_path)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_lock_is_given_back_leaves_no_file(tmp_path, monkeypatch, kind):
    class Held(set):
        def remove(self, descriptor):
            super().remove(descriptor)
            os.kill(os.getpid(), kind)

    monkeypatch.setattr(locks, "_held", Held())
    with pytest.raises(KeyboardInterrupt), terminable(), lock_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_a_folder_is_refused_stays_one(tmp_path, monkeypatch, hold):
    hold(tmp_path)
    real = locks._flock

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(locks, "_flock", interrupted)
    with pytest.raises(KeyboardInterrupt), lock_folder(tmp_path):
        pytest.fail("the interrupt came before")
