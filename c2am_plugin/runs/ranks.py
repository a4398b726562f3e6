"""Several processes that work as one, as torchrun starts them: the only module about processes.

Knows torch.distributed, neither networks nor images. Each process is a rank. Other code asks
`Ranks` and need not know their number: for a single process, its share is everything and a sum is
the value itself.

DistributedDataParallel is not used, because C2AM's loss is not a mean over images: its pairs span
ranks. Every rank computes the loss of the whole batch from the embeddings of all ranks and
backpropagates the gradient of its own images. The sum over the ranks is the gradient of one process
with the whole batch, whatever the sizes of the parts. DDP would average; it would need a gather
that passes gradients through, scaled by the number of ranks, and special handling of a backbone
that is frozen for some steps and of a batch that passes through the network in parts.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import LostRank
from .signals import terminable

__all__ = ["ALONE", "Ranks", "cores", "is_first", "joined", "local_rank"]

T = TypeVar("T")

log = logging.getLogger("c2am_plugin")
_joins = itertools.count()


@dataclass(frozen=True)
class Ranks:
    """This process within its run: number `rank` of `count`.

    A method that communicates must be called by all ranks, in the same order. It raises LostRank
    if one of them has ended.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank is the one that writes files and logs."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's items. The shares are disjoint, cover all, and differ in length by at most
        one."""
        return items[self.rank :: self.count]

    def first(self, work: Callable[[], T]) -> T:
        """Call `work` on the first rank only; all ranks get its result, which must be picklable."""
        result = [work() if self.is_first else None]
        if self.count > 1:
            with _losing():
                dist.broadcast_object_list(result)
        return result[0]  # type: ignore[return-value]

    def collect(self, value: T) -> list[T]:
        """The values of all ranks, in order of rank. They must be picklable."""
        values: list[Any] = [value] * self.count
        if self.count > 1:
            with _losing():
                dist.all_gather_object(values, value)
        return values

    def gather(self, *tensors: Tensor) -> tuple[list[Tensor], slice]:
        """n×… of each rank → N×… of all ranks, and the slice of it that is this rank's.

        n may differ between ranks. All tensors passed have the same n, dtype and device. No
        gradient passes through.
        """
        if self.count == 1:
            return [tensor.detach() for tensor in tensors], slice(None)
        n = len(tensors[0])
        counts = self.collect(n)
        start = sum(counts[: self.rank])
        mine = slice(start, start + n)
        wholes = [tensor.new_zeros(sum(counts), *tensor.shape[1:]) for tensor in tensors]
        for whole, tensor in zip(wholes, tensors, strict=True):
            whole[mine] = tensor.detach()
        # A sum with zeros is exact and allows parts of different sizes.
        self.add(wholes)
        return wholes, mine

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over the ranks; floating, of one dtype and device."""
        tensors = list(tensors)
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _losing():
            dist.all_reduce(flat)
        pieces = flat.split([tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, piece in zip(tensors, pieces, strict=True):
                tensor.copy_(piece.view(tensor.shape))

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over the ranks."""
        tensors = list(tensors)
        self.add(tensors)
        if self.count > 1:
            for tensor in tensors:
                tensor.div_(self.count)


ALONE = Ranks()


def is_first() -> bool:
    """Whether this is the only or the first process of its run, within and after `joined`."""
    return not _is_launched() or os.environ["RANK"] == "0"


def local_rank() -> int | None:
    """The number of this process on its machine, from 0; None without torchrun."""
    return int(os.environ["LOCAL_RANK"]) if _is_launched() else None


def cores() -> int:
    """The number of cores that this process may use: its share of the machine's."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if _is_launched() else 1
    return max(1, (os.cpu_count() or 1) // processes)


def _is_launched() -> bool:
    needed = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and all(name in os.environ for name in needed)


@contextmanager
def joined(patience: timedelta | None = None) -> Iterator[Ranks]:
    """Within the block this process is a rank if torchrun started it; otherwise it is alone.

    patience: how long a rank waits for another; default torch's own, a few minutes.

    An error on one rank ends all ranks and is reported once: the first rank to fail lets its error
    out of the block, the others exit silently with the same exit code (SystemExit). Ranks other
    than the first log only warnings. SIGTERM interrupts, as Ctrl-C does. On a CPU each process
    computes on its share of the cores.
    """
    if not _is_launched():
        yield ALONE
        return
    store, rank, count = _rendezvous()
    # A second run in this process must not find the keys of the previous one.
    store = dist.PrefixStore(f"c2am-{next(_joins)}", store)
    with _one_voice(store), _warnings_only(rank > 0), terminable():
        # Objects are sent through the CPU, so they need neither the GPU nor its queue.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with _losing():
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=count, timeout=patience
            )
        if os.environ.get("OMP_NUM_THREADS") == "1":  # torchrun's default
            torch.set_num_threads(cores())
        yield Ranks(rank, count)
        # Not after an error: it would wait for the other ranks' pending operations.
        dist.destroy_process_group()


@cache
def _rendezvous() -> tuple[dist.Store, int, int]:
    return next(dist.rendezvous("env://"))


@contextmanager
def _losing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise LostRank(
            f"another process of this run has ended or cannot be reached; if it was killed, "
            f"memory may have run out ({reason[:200]})"
        ) from error


@contextmanager
def _one_voice(store: dist.Store) -> Iterator[None]:
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:
        if _speaks_first(store):
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from error


def _speaks_first(store: dist.Store) -> bool:
    try:
        return store.add("spoken", 1) == 1
    except RuntimeError:  # the process that kept the store has ended
        return True


@contextmanager
def _warnings_only(on: bool) -> Iterator[None]:
    before = log.level
    if on:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
