"""What happens in a run, told to whoever listens: records of the package's logger, below `info`.

A command writes them into its `--log-json` file; a program may add a handler of its own.
"""

from __future__ import annotations

import logging

__all__ = ["tell_failed", "tell_finished", "tell_result"]

log = logging.getLogger("c2am_plugin.events")


def tell_failed(image_id: str, reason: str) -> None:
    """An image failed. The record has `image_id` and `reason`."""
    extra = {"image_id": image_id, "reason": reason}
    log.debug("%s", reason, extra=extra)


def tell_finished(stage: str, done: int, failed: int) -> None:
    """A stage of a run is over. The record has `stage`, `done` and `failed`, counts of images."""
    extra = {"stage": stage, "done": done, "failed": failed}
    log.debug("%s: %d done, %d failed", stage, done, failed, extra=extra)


def tell_result(written: str, following: str) -> None:
    """A run ended. The record has `written`, what and where, and `following`, the next command."""
    log.debug("wrote %s", written, extra={"written": written, "following": following})
