"""Commands as processes that start at once: forks of one Python that has everything imported.

A fork is a process like any other to what it writes and to those who kill it; only the seconds of
importing are saved, so that there is time for many kills.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

# What changes files, as Python's audit events name it. "open" counts where it may write.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock"}


class Launcher:
    """Starts c2am-refine and the like; one at a time."""

    def __init__(self, *modules: str):
        self.process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def run(self, command, *arguments, after=None, when=None, kind=signal.SIGKILL, at_change=0):
        """(status, stderr) of a command. The status is that of subprocess: −9 where it was killed.
        `seconds` is then how long it took.

        when: it gets the signal `kind` when this is true; after: so many seconds later
        at_change: it kills itself before its nth change of a file below the last argument's parent
        """
        order = [command, [str(each) for each in arguments], at_change]
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid = self._answer()
        start = time.perf_counter()
        while when is not None and not when() and is_alive(pid):
            time.sleep(0.001)
        until = time.perf_counter() + (after or 0)
        while time.perf_counter() < until and is_alive(pid):
            time.sleep(0.001)
        if after is not None or when is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, kind)
        answer = self._answer()
        self.seconds = time.perf_counter() - start
        return answer

    def _answer(self):
        return json.loads(self.process.stdout.readline())


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def serve(modules):
    for module in modules:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    answer("ready")
    for line in sys.stdin:
        command, arguments, at_change = json.loads(line)
        said, end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(end, 2)
            os.close(said)
            os.close(end)
            start(command, arguments, at_change)
        os.close(end)
        answer(pid)
        with os.fdopen(said, errors="replace") as stderr:
            text = stderr.read()
        _, status = os.waitpid(pid, 0)
        answer([os.waitstatus_to_exitcode(status), text])
    return 0


def start(command, arguments, at_change):
    """Be the command, and end like it; but Python is not taken down, which takes a second."""
    from c2am_plugin import cli

    if at_change:
        root = str(Path(arguments[-1]).parent)
        left = at_change

        def kill(event, found):
            nonlocal left
            writes = event == "open" and isinstance(found[2], int) and found[2] & 3
            if (writes and str(found[0]).startswith(root)) or event in CHANGES:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
    status = getattr(cli, command)(arguments)
    threading._shutdown()  # as at any exit: pools of processes are ended, threads are joined
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
