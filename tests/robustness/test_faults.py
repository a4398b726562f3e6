"""The machine misbehaves, or the user errs: killed workers, full disks, files that do not fit."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from subprocess import PIPE
from threading import Thread

import numpy as np
import pytest
from items import OnNames, named
from small_files import write_png
from small_training import small_train, write_photos

from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.cli import refine_main, train_main
from c2am_plugin.cli.common import run
from c2am_plugin.errors import C2AMError, OutputError
from c2am_plugin.files.labels import write_label
from c2am_plugin.refine import run as refine_run
from c2am_plugin.refine.pairing import pair
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.runs import locks
from c2am_plugin.runs.locks import lock_folder
from c2am_plugin.runs.output_folders import OutputFolder, hold_folders
from c2am_plugin.runs.parallel import MIN_IMAGES_FOR_PROCESSES, run_images

HELPERS = str(Path(__file__).parents[1] / "helpers")


def note(folder, image_id, deadly=""):
    """Work of a hundredth of a second; one image is too much for its process."""
    if image_id == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    Path(folder, image_id).write_text(str(os.getpid()))


# --- worker processes ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_that_the_system_kills_is_reported_in_one_line(tmp_path):
    ids = [f"{i:03d}" for i in range(MIN_IMAGES_FOR_PROCESSES)]
    work = OnNames(partial(note, str(tmp_path), deadly="100"))
    with pytest.raises(C2AMError) as stop:
        run_images(work, named(ids), workers=2, prefer="processes", progress=False)
    message = str(stop.value)
    assert "\n" not in message
    assert "the system killed a worker process" in message
    assert f"of {len(ids)} images are done" in message
    assert "`workers`" in message
    done = {path.name for path in tmp_path.iterdir()}
    assert done
    assert "100" not in done
    rest = [image_id for image_id in ids if image_id not in done]
    work = OnNames(partial(note, str(tmp_path)))
    again = run_images(work, named(rest), workers=2, prefer="processes", progress=False)
    assert len(again.results) == len(rest)


@pytest.mark.slow
def test_workers_end_with_the_run(tmp_path):
    """joblib's own live on for minutes, and would write on into a folder that is free again."""
    code = """
import os, sys, time
from pathlib import Path
from c2am_plugin.runs.parallel import run_images

def work(image_id):
    time.sleep(0.01)
    Path(sys.argv[1], image_id).write_text(str(os.getpid()))

from items import OnNames, named
ids = [f"{i:04d}" for i in range(4000)]
run_images(OnNames(work), named(ids), workers=2, prefer="processes", progress=False)
"""
    call = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": HELPERS}
    process = subprocess.Popen(call, env=environment, stdout=PIPE)
    while process.poll() is None and len({path.read_text() for path in tmp_path.iterdir()}) < 2:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=300)  # the output that they share ends with the last of them
    assert 0 < len(list(tmp_path.iterdir())) < 4000


@pytest.mark.slow
def test_a_worker_that_begins_when_the_run_has_ended_does_nothing(tmp_path):
    code = """
import multiprocessing, sys
from pathlib import Path
from c2am_plugin.runs.parallel import _Hand, _joblib_attempt
from items import Named, OnNames
multiprocessing.current_process().name = sys.argv[2]
work = OnNames(lambda name: Path(sys.argv[1], name).touch())
_joblib_attempt(-1, _Hand(), work, Named(sys.argv[2]))
"""
    environment = {**os.environ, "PYTHONPATH": HELPERS}
    for name, status in (("LokyProcess-1", 1), ("another", 0)):  # as those of a cluster
        call = [sys.executable, "-c", code, str(tmp_path), name]
        assert subprocess.call(call, env=environment) == status
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


# --- two runs into one folder -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("command", ["refine", "labels", "train", "bench"])
def test_every_command_is_refused_where_another_runs(command, make_set, tmp_path):
    cams, cues = make_set()
    (tmp_path / "out").mkdir()
    if command == "train":
        photos = write_photos(tmp_path / "photos", 4)
        start = partial(small_train, photos, tmp_path / "out", epochs=1)
    elif command == "bench":
        for image_id in "abcd":
            write_label(tmp_path / "truth" / f"{image_id}.png", np.ones((24, 32), np.uint8))
        start = partial(
            benchmark, {"psa": cams}, cues, tmp_path / "truth", tmp_path / "out", progress=False
        )
    else:
        folders = {"refine": {"out_dir": "out"}, "labels": {"out_dir": "x", "labels": "out"}}
        options = {name: tmp_path / folder for name, folder in folders[command].items()}
        start = partial(refine_cams, cams, cues, workers=1, progress=False, **options)
    with lock_folder(tmp_path / "out"):
        with pytest.raises(OutputError, match=f"out: another run .*process {os.getpid()} on"):
            start()
        assert {path.name for path in (tmp_path / "out").iterdir()} == {".c2am-lock"}
    start()
    assert not (tmp_path / "out" / ".c2am-lock").exists()


# --- disks and folders --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_ends_training_in_one_line_until_it_continues(tmp_path):
    """A limit on the size of files stands for the full disk: the state of a run is 3 MB."""
    photos = write_photos(tmp_path / "photos", 4)
    options = "--backbone squeezenet1_1 --weights random --crop 64 --batch-size 4 --epochs 1"
    call = [str(photos), *options.split(), "--workers", "0", "--device", "cpu"]
    code = f"""
import resource, sys
from c2am_plugin.cli import train_main
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, -1))
sys.exit(train_main({[*call, "-o", str(tmp_path / "run")]!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().endswith("resume.pt: cannot be written (File too large)")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "log.csv",
        "pictures",
        "report.html",
    }
    assert train_main([*call, "-o", str(tmp_path / "run")]) == 0


def test_a_read_only_output_is_one_line(make_set, tmp_path, monkeypatch, capsys):
    cams, cues = make_set()

    open_file = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open_file(path, flags, *mode)

    monkeypatch.setattr(locks.os, "open", refuse)
    assert refine_main([str(cams), str(cues), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said == f"c2am-refine: {tmp_path / 'out'}: cannot be written (Read-only file system)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write_is_one_line(make_set, tmp_path, capsys):
    cams, cues = make_set()
    (tmp_path / "out").mkdir(mode=0o500)
    assert refine_main([str(cams), str(cues), "-o", str(tmp_path / "out")]) == 1
    assert "out: cannot be written (Permission denied)" in capsys.readouterr().err


def test_a_file_that_vanishes_after_pairing_is_listed(make_set, tmp_path, monkeypatch):
    cams, cues = make_set(ids="abcdef")
    pair = refine_run.pair

    def pair_and_lose(*arguments, **options):
        found = pair(*arguments, **options)
        (cams / "c.npy").unlink()
        (cues / "e.png").unlink()
        return found

    monkeypatch.setattr(refine_run, "pair", pair_and_lose)
    report = refine_cams(cams, cues, tmp_path / "out", workers=1, progress=False)
    assert report.refined == 4
    assert list(report.failures) == ["c", "e"]
    for image_id, path in (("c", cams / "c.npy"), ("e", cues / "e.png")):
        assert report.failures[image_id].startswith(f"{path}: cannot be read")


def test_no_file_is_asked_for_its_state_before_the_work(tmp_path, monkeypatch):
    """100,000 files on a network disk: a folder is listed, its files are not looked at."""
    names = [f"{i:06d}" for i in range(500)]
    for folder, suffix in (("cams", ".npy"), ("cues", ".png")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / (name + suffix)).touch()
    asked, stat, lstat = [], os.stat, os.lstat
    monkeypatch.setattr(os, "stat", lambda *a, **k: asked.append(a) or stat(*a, **k))
    monkeypatch.setattr(os, "lstat", lambda *a, **k: asked.append(a) or lstat(*a, **k))
    pairing = pair(tmp_path / "cams", tmp_path / "cues", None, "error")
    claims = [OutputFolder(tmp_path / "out", {}, ".npy")]
    with hold_folders("c2am-x", pairing.ids, claims) as done:
        assert not done
    for name in names:
        (tmp_path / "out" / f"{name}.npy").touch()
    with hold_folders("c2am-x", pairing.ids, claims) as done:
        assert len(done) == len(names)
    # What Python asks of its own folders at an import does not count.
    assert len([each for each in asked if str(each[0]).startswith(str(tmp_path))]) < 60


# --- never silently wrong -----------------------------------------------------------------------


def test_classes_that_no_label_can_hold_are_listed(make_set, tmp_path):
    """255 is "ignore" in a label: class 254 would become that."""
    cams, cues = make_set()
    np.save(cams / "b.npy", {254: np.ones((24, 32), np.float32)})
    folders = {"out_dir": tmp_path / "out", "labels": tmp_path / "labels"}
    report = refine_cams(cams, cues, workers=1, progress=False, **folders)
    assert list(report.failures) == ["b"]
    assert report.failures["b"].startswith("b: class 254 does not fit an 8-bit label")


def test_classes_outside_the_list_are_named_by_the_benchmark(make_set, tmp_path):
    cams, cues = make_set()
    for image_id in "abcd":
        write_label(tmp_path / "truth" / f"{image_id}.png", np.ones((24, 32), np.uint8))
    np.save(cams / "b.npy", {20: np.ones((24, 32), np.float32)})
    write_label(tmp_path / "truth" / "c.png", np.full((24, 32), 21, np.uint8))
    result = benchmark({"psa": cams}, cues, tmp_path / "truth", progress=False)
    assert set(result.failures) == {"b", "c"}
    assert result.failures["b"].startswith("b: class 20 is outside the 21 classes")
    assert result.failures["c"].startswith("c: ground truth contains class 21, outside the 21")


def test_flat_cues_are_counted_and_listed(make_set, tmp_path):
    cams, cues = make_set()
    write_png(cues / "a.png", np.zeros((24, 32)))
    write_png(cues / "c.png", np.full((24, 32), 255))
    report = refine_cams(cams, cues, tmp_path / "out", workers=1, progress=False)
    assert (report.cues_all_background, report.cues_all_foreground) == (["a"], ["c"])
    assert "1 with a cue that is all background; 1 with a cue that is all fore" in report.summary()


# --- the commands -------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_wherever_it_shows_and_other_errors_are_bugs(capsys):
    def fail(number):
        raise OSError(number, os.strerror(number), "run/log.csv")

    assert run(ArgumentParser("c2am-x"), partial(fail, errno.ENOSPC)) == 1
    assert capsys.readouterr().err == "c2am-x: run/log.csv: No space left on device\n"
    with pytest.raises(FileNotFoundError):
        run(ArgumentParser("c2am-x"), partial(fail, errno.ENOENT))


def test_a_command_may_be_called_in_a_thread_and_gives_sigterm_back():
    before, found = signal.getsignal(signal.SIGTERM), []
    thread = Thread(target=lambda: found.append(run(ArgumentParser("c2am-x"), lambda: 7)))
    thread.start()
    thread.join()
    assert found == [7]
    during = []
    run(ArgumentParser("c2am-x"), lambda: during.append(signal.getsignal(signal.SIGTERM)) or 0)
    assert during == [signal.default_int_handler]
    assert signal.getsignal(signal.SIGTERM) is before
