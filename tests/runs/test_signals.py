"""Ctrl-C and SIGTERM as training and the commands take them, in this process."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from c2am_plugin.runs.signals import interrupts, postponed, terminable

KINDS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_signal_asks_and_the_second_stops(kind):
    before = [signal.getsignal(each) for each in KINDS]
    with interrupts() as asked:
        assert not asked.is_set()
        os.kill(os.getpid(), kind)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), kind)
    assert [signal.getsignal(each) for each in KINDS] == before


def test_sigterm_is_ctrl_c_within_the_block():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_postponed_signal_comes_at_the_end_of_the_block(kind):
    before = [signal.getsignal(each) for each in KINDS]
    reached = []

    def work():
        os.kill(os.getpid(), kind)
        reached.append(True)

    with pytest.raises(KeyboardInterrupt), terminable(), postponed():
        work()
    assert reached
    assert [signal.getsignal(each) for each in KINDS] == before


@pytest.mark.parametrize("block", [interrupts, postponed, terminable])
def test_a_handler_of_the_host_program_stays(block, monkeypatch):
    """Python cannot put it back; it gives None for it."""
    taken = []
    monkeypatch.setattr(signal, "getsignal", lambda kind: None)
    monkeypatch.setattr(signal, "signal", lambda kind, handler: taken.append(kind))
    with block():
        pass
    assert not taken


@pytest.mark.parametrize("block", [interrupts, postponed, terminable])
def test_threads_which_get_no_signals_change_nothing(block):
    """As where training is called from a thread of a notebook or a server."""
    before = [signal.getsignal(each) for each in KINDS]

    def work():
        with block() as asked:
            return asked is None or not asked.is_set(), [signal.getsignal(each) for each in KINDS]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == (True, before)
