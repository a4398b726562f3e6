"""`--log-json FILE`: one JSON object per line for each event of a command, for clusters.

    start         command, version, arguments
    warning       message
    image failed  id, reason
    end           status, seconds, counts; what was written and the next command, or the error

Every line has `event`, `time` (UTC), `command`, `host` and `pid`, and `shard` or `rank` in a run of
several. Several processes may append to one file: each writes whole lines, under a lock.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import OutputError

__all__ = ["EventLog"]


class EventLog(logging.Handler):
    """Writes the events of one command.

    wording: translates a library message into the command's words. complain: is called once, with
    one line, when the file can no longer be written; the run continues. Raises OutputError where
    the file cannot be opened.
    """

    def __init__(
        self,
        path: str,
        command: str,
        arguments: Mapping[str, Any],
        wording: Callable[[str], str],
        complain: Callable[[str], None],
    ) -> None:
        super().__init__(logging.DEBUG)
        self.path, self.wording, self.complain = path, wording, complain
        self.begun = time.perf_counter()
        self.failed: set[str] = set()
        self.warnings = 0
        self.stages: dict[str, dict[str, int]] = {}
        self.ending: dict[str, Any] = {}
        self.same = {"command": command, "host": socket.gethostname(), "pid": os.getpid()}
        part = {"shard": arguments.get("shard"), "rank": os.environ.get("RANK")}
        self.same |= {name: value for name, value in part.items() if value}
        try:
            self.file: int | None = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        self.tell("start", version=__version__, arguments=_plain(arguments))

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "image_id"):
            self._fail(record.image_id, record.reason)  # type: ignore[attr-defined]
        elif hasattr(record, "stage"):
            counts = {"done": record.done, "failed": record.failed}  # type: ignore[attr-defined]
            before = self.stages.get(record.stage, {})
            self.stages[record.stage] = {k: n + before.get(k, 0) for k, n in counts.items()}
        elif hasattr(record, "written"):
            following = record.following  # type: ignore[attr-defined]
            self.ending = {"written": record.written} | ({"next": following} if following else {})
        elif record.levelno >= logging.WARNING:
            self.warnings += 1
            self.tell("warning", message=self.wording(record.getMessage()))

    def end(self, status: int, error: str = "") -> None:
        """The last line, with the exit status."""
        counts = {"failed": len(self.failed), "warnings": self.warnings, "stages": self.stages}
        if error:
            self.ending["error"] = self.wording(error)
        seconds = round(time.perf_counter() - self.begun, 3)
        self.tell("end", status=status, seconds=seconds, counts=counts, **self.ending)
        if self.file is not None:
            os.close(self.file)

    def tell(self, event: str, **values: Any) -> None:
        """Append one line."""
        if self.file is None:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": now, **self.same, **values}) + "\n"
        try:
            _append(self.file, line.encode())
        except OSError as error:
            os.close(self.file)
            self.file = None
            self.complain(f"{self.path}: cannot be written ({error.strerror}); the log ends here")

    def _fail(self, image_id: str, reason: str) -> None:
        if image_id not in self.failed:  # an image that fails in several stages is logged once
            self.failed.add(image_id)
            self.tell("image failed", id=image_id, reason=self.wording(reason))


def _append(file: int, line: bytes) -> None:
    """Write a whole line at the end of the file, even if a killed run left half a line there."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        while line:
            line = line[os.write(file, line) :]
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _plain(value: Any) -> Any:
    """Arguments as JSON values."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
