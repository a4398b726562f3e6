"""Functions called as torchrun would call them: in several processes that find its variables."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from torch.distributed import TCPStore

# A server that has imported everything, and has started no thread, forks the ranks in no time.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["c2am_plugin.network.train", "c2am_plugin.network.make_cues"])
LONG = 60  # seconds, in which no test's work takes so long: it hangs


class Ended(NamedTuple):
    """How a rank ended: with a value, or with an exception of this type, text and exit code."""

    value: Any = None
    error: str = ""
    text: str = ""
    code: Any = None


def in_ranks(work: Callable[..., Any], *arguments: Any, count: int = 2) -> list[Ended]:
    """Call `work(*arguments)`, a function of a module, in `count` processes at once."""
    # Kept outside the ranks, as torchrun keeps it: it outlives each of them.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    running = []
    for rank in range(count):
        ours, theirs = _processes.Pipe(duplex=False)
        process = _processes.Process(
            target=_rank, args=(theirs, rank, count, store.port, work, arguments)
        )
        process.start()
        theirs.close()
        running.append((process, ours))
    try:
        return [_ended(ours) for _, ours in running]
    finally:
        for process, _ in running:
            process.kill()
            process.join()


def _ended(ours: Connection) -> Ended:
    if not ours.poll(LONG):
        raise AssertionError(f"a rank has said nothing for {LONG} s: it hangs")
    try:
        return ours.recv()
    except EOFError:
        return Ended(error="killed")


def _rank(
    theirs: Connection,
    rank: int,
    count: int,
    port: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    names |= {"TORCHELASTIC_USE_AGENT_STORE": True}
    os.environ.update({name: str(value) for name, value in names.items()})
    torch.set_num_threads(1)
    # A loader's processes are this one's children, as everywhere, and end with it.
    multiprocessing.set_start_method("fork", force=True)
    try:
        ended = Ended(value=work(*arguments))
    except BaseException as error:
        ended = Ended(None, type(error).__name__, str(error), getattr(error, "code", None))
    theirs.send(ended)
    theirs.close()
    os._exit(0)  # as a process ends: whoever waits for it finds its connections closed
