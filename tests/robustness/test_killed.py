"""Runs that are killed or interrupted at any moment: what they leave is whole, and the next one
ends the same.

C2AM_KILLS: how many random kills c2am-refine gets (default 50).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launcher import Launcher
from small_files import files, results
from small_training import write_photos

from c2am_plugin.runs.parallel import MIN_IMAGES_FOR_PROCESSES

KILLS = int(os.environ.get("C2AM_KILLS", "50"))
COMMAND = Path(sys.executable).with_name("c2am-refine")
TRAIN = ["--backbone", "squeezenet1_1", "--weights", "random", "--recipe", "paper", "--crop", "64"]
TRAIN += ["--batch-size", "4", "--epochs", "3", "--lr", "0.01", "--device", "cpu"]

pytestmark = [
    pytest.mark.kills,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


@pytest.fixture(scope="module")
def launcher():
    launcher = Launcher("c2am_plugin.refine.run", "c2am_adapters.puzzlecam", "tqdm")
    yield launcher
    launcher.close()


@pytest.fixture(scope="module")
def torch_launcher():
    launcher = Launcher("c2am_plugin.network.train", "c2am_plugin.network.make_cues")
    yield launcher
    launcher.close()


def assert_whole(folder, undisturbed):
    """Every visible file is one of the undisturbed run, to the last byte."""
    for name, data in results(folder).items():
        assert data == undisturbed[name], f"{name} is not what an undisturbed run writes"


def hidden(folder):
    """Locks and temporary files."""
    return [name for name in files(folder) if Path(name).name.startswith(".")]


def assert_finished(folder, undisturbed):
    assert results(folder) == undisturbed
    assert not hidden(folder)


def assert_stopped(status, said, command):
    assert status == 130, said
    last = said.strip().splitlines()[-1]
    assert last == f"{command}: interrupted; run the same command again to continue"
    assert "Traceback" not in said


def succeed(launcher, command, arguments):
    status, said = launcher.run(command, *arguments)
    assert status == 0, said


def kill_at_random(launcher, command, arguments, folder, kills, whole, finished, seed=0):
    """Kill a command so often, let it go on where it was killed, and see what is left each time.

    arguments(folder, n): of the nth call. whole(folder), finished(folder): what has to hold.
    How many of the kills came when something was done and something was left to do.
    """
    succeed(launcher, command, arguments(folder / "timed", 0))
    seconds = launcher.seconds
    chance, killed, midway = random.Random(seed), 0, 0
    finished_runs = 0
    here = folder / "killed0"
    while killed < kills:
        order = arguments(here, killed)
        status, said = launcher.run(command, *order, after=chance.uniform(0, seconds))
        assert status in (0, -9), said
        whole(here)
        if status == 0:
            finished(here)
            finished_runs += 1  # a new folder each time: in a finished one nothing is left to kill
            here = folder / f"killed{finished_runs}"
        else:
            killed += 1
            midway += bool(results(here))
    succeed(launcher, command, arguments(here, killed))
    finished(here)
    return midway


def kill_before_each_change(launcher, command, arguments, folder, whole, finished, step=1):
    """Kill a command before each (every `step`th) change that it makes to a file, and run it again.

    arguments(folder): of a call, which makes its folder what it has to be at the start.
    How many kills that were.
    """
    at, status = 0, -9
    while status == -9:
        at += step
        order = arguments(folder / f"killed{at}")
        status, said = launcher.run(command, *order, at_change=at)
        assert status in (0, -9), said
        whole(folder / f"killed{at}")
        succeed(launcher, command, order)
        finished(folder / f"killed{at}")
    return at // step - 1


# --- c2am-refine --------------------------------------------------------------------------------


def refining(cams, cues, folder, *options):
    outputs = ["--labels", folder / "labels", "-o", folder / "out"]
    return [cams, cues, "--calibrate", "on", *options, *outputs]


@pytest.fixture
def refine_set(make_set, launcher, tmp_path):
    """refine_set(n, size) → (cams, cues, what an undisturbed run writes)."""

    def make(n, size):
        cams, cues = make_set("puzzlecam", ids=[f"{i:03d}" for i in range(n)], size=size)
        folder = tmp_path / "undisturbed"
        order = refining(cams, cues, folder, "--workers", 1)
        succeed(launcher, "refine_main", order)
        assert len(results(folder)) == 2 * n
        return cams, cues, results(folder)

    return make


def test_refine_killed_at_random(refine_set, launcher, tmp_path):
    cams, cues, undisturbed = refine_set(60, (48, 64))
    midway = kill_at_random(
        launcher,
        "refine_main",
        lambda folder, n: refining(cams, cues, folder, "--workers", 1 + n % 3),
        tmp_path,
        KILLS,
        lambda folder: assert_whole(folder, undisturbed),
        lambda folder: assert_finished(folder, undisturbed),
    )
    assert midway > KILLS / 4


def test_refine_killed_before_each_change_of_a_file(refine_set, launcher, tmp_path):
    """Locks, settings, temporary files, renames, removals: one kill before every one of them."""
    cams, cues, undisturbed = refine_set(3, (12, 16))
    kills = kill_before_each_change(
        launcher,
        "refine_main",
        lambda folder: refining(cams, cues, folder, "--workers", 1),
        tmp_path,
        lambda folder: assert_whole(folder, undisturbed),
        lambda folder: assert_finished(folder, undisturbed),
    )
    assert kills > 3 * 6  # an image's two files are opened, renamed, and looked for


def test_an_overwriting_run_that_is_killed_mixes_nothing(refine_set, launcher, tmp_path):
    """Files of the old settings are gone before the new ones are noted, or any new file is there:
    the next run either goes on with the new, or is refused because all is still as it was."""
    cams, cues, _ = refine_set(2, (12, 16))
    change = ["--strength", 0.5, "--workers", 1]
    succeed(launcher, "refine_main", [cams, cues, *change, "-o", tmp_path / "new" / "out"])
    at, status, refused = 0, -9, 0
    while status == -9:
        at += 1
        out = tmp_path / f"killed{at}" / "out"
        succeed(launcher, "refine_main", [cams, cues, "-o", out])
        order = [cams, cues, *change, "--overwrite", "-o", out]
        status, said = launcher.run("refine_main", *order, at_change=at)
        assert status in (0, -9), said
        again, said = launcher.run("refine_main", cams, cues, *change, "-o", out)
        if again == 1:
            assert "strength 1.0 then, 0.5 now" in said
            refused += 1
            succeed(launcher, "refine_main", order)
        assert_finished(out, results(tmp_path / "new" / "out"))
    assert 0 < refused < at - 1


def test_the_installed_command_killed_at_random(refine_set, tmp_path):
    """Of so many images that worker processes are started, which see their parent die."""
    if not COMMAND.exists():
        pytest.skip("the package is not installed here")
    cams, cues, undisturbed = refine_set(MIN_IMAGES_FOR_PROCESSES + 20, (24, 32))
    call = [str(each) for each in [COMMAND, *refining(cams, cues, tmp_path / "all")]]
    chance = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen(call, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.2, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        assert_whole(tmp_path / "all", undisturbed)
    subprocess.run(call, check=True, capture_output=True)
    assert_finished(tmp_path / "all", undisturbed)


def test_refine_interrupted_at_random(refine_set, launcher, tmp_path):
    """Images in hand are finished: nothing is half done, and nothing hidden is left."""
    cams, cues, undisturbed = refine_set(240, (48, 64))
    chance, stopped = random.Random(5), 0
    for number in range(12):
        folder = tmp_path / f"stopped{number}"
        status, said = launcher.run(
            "refine_main",
            *refining(cams, cues, folder, "--workers", 1 + number % 3),
            when=(folder / "out").exists,
            after=chance.uniform(0, 0.15),
            kind=(signal.SIGINT, signal.SIGTERM)[number % 2],
        )
        assert_whole(folder, undisturbed)
        assert not hidden(folder)
        if results(folder) != undisturbed:  # else the signal came too late
            assert_stopped(status, said, "c2am-refine")
            stopped += 1
        succeed(launcher, "refine_main", refining(cams, cues, folder))
        assert_finished(folder, undisturbed)
    assert stopped > 3


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_reaches_the_worker_processes_too(refine_set, tmp_path, kind):
    """A terminal sends it to all processes of the command."""
    if not COMMAND.exists():
        pytest.skip("the package is not installed here")
    cams, cues, undisturbed = refine_set(MIN_IMAGES_FOR_PROCESSES + 20, (48, 64))
    call = [COMMAND, *refining(cams, cues, tmp_path / "all", "--workers", "2")]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not results(tmp_path / "all"):
        time.sleep(0.01)
    os.killpg(process.pid, kind)
    _, said = process.communicate(timeout=300)
    assert_stopped(process.returncode, said, "c2am-refine")
    assert_whole(tmp_path / "all", undisturbed)
    assert not hidden(tmp_path / "all")
    subprocess.run(call, check=True, capture_output=True)
    assert_finished(tmp_path / "all", undisturbed)


# --- c2am-train and c2am-cues -------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(torch_launcher, tmp_path_factory):
    """(photographs, the folder of an undisturbed training run). Not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    photos = write_photos(folder / "photos", 9)
    succeed(torch_launcher, "train_main", training(photos, folder / "run"))
    return photos, folder / "run"


def training(photos, out, workers=0):
    return [photos, *TRAIN, "--picture-every", 4, "--workers", workers, "-o", out]


def checkpoint_is_whole(run):
    path = run / "last.pt"
    assert not path.exists() or path.read_bytes()[:2] == b"PK"


def assert_trained(run, undisturbed):
    found, expected = files(run), files(undisturbed)
    assert found.keys() == expected.keys()
    for name in found.keys() - {"log.csv", "report.html"}:  # which have the speed in them
        assert found[name] == expected[name], name
    assert rows_without_speed(found["log.csv"]) == rows_without_speed(expected["log.csv"])


def rows_without_speed(log):
    return [line.split(",")[:7] for line in log.decode().splitlines()]


def test_training_killed_before_a_change_of_a_file(trained, torch_launcher, tmp_path):
    """At every third of them: what a checkpoint and the state beside it say must never differ."""
    photos, undisturbed = trained
    kills = kill_before_each_change(
        torch_launcher,
        "train_main",
        lambda folder: training(photos, folder),
        tmp_path,
        checkpoint_is_whole,
        lambda folder: assert_trained(folder, undisturbed),
        step=3,
    )
    assert kills > 10


def test_training_killed_at_random(trained, torch_launcher, tmp_path):
    photos, undisturbed = trained
    midway = kill_at_random(
        torch_launcher,
        "train_main",
        lambda folder, n: training(photos, folder, workers=2 if n == 2 else 0),
        tmp_path,
        3,
        checkpoint_is_whole,
        lambda folder: assert_trained(folder, undisturbed),
    )
    assert midway


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_training_interrupted(trained, torch_launcher, tmp_path, kind):
    photos, undisturbed = trained
    log = tmp_path / "run" / "log.csv"
    status, said = torch_launcher.run(
        "train_main",
        *training(photos, tmp_path / "run"),
        when=lambda: log.exists() and log.read_text().count("\n") > 2,
        kind=kind,
    )
    assert_stopped(status, said, "c2am-train")
    assert not hidden(tmp_path / "run")
    succeed(torch_launcher, "train_main", training(photos, tmp_path / "run"))
    assert_trained(tmp_path / "run", undisturbed)


def cue_making(trained, folder, workers):
    photos, run = trained
    options = ["--scales", 48, 64, "--device", "cpu", "--workers", workers]
    outputs = ["--maps", folder / "maps", "-o", folder / "cues"]
    return [photos, "--checkpoint", run / "last.pt", *options, *outputs]


@pytest.fixture(scope="module")
def made_cues(trained, torch_launcher, tmp_path_factory):
    """What an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("cues")
    succeed(torch_launcher, "cues_main", cue_making(trained, folder, 1))
    assert len(results(folder)) == 2 * 9
    return results(folder)


def test_cues_killed_at_random(trained, made_cues, torch_launcher, tmp_path):
    kill_at_random(
        torch_launcher,
        "cues_main",
        lambda folder, n: cue_making(trained, folder, 1 + n % 2),
        tmp_path,
        8,
        lambda folder: assert_whole(folder, made_cues),
        lambda folder: assert_finished(folder, made_cues),
    )


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_cues_interrupted(trained, made_cues, torch_launcher, tmp_path, kind):
    status, said = torch_launcher.run(
        "cues_main",
        *cue_making(trained, tmp_path, 2),
        when=lambda: results(tmp_path),
        kind=kind,
    )
    assert_stopped(status, said, "c2am-cues")
    assert_whole(tmp_path, made_cues)
    assert not hidden(tmp_path)
    succeed(torch_launcher, "cues_main", cue_making(trained, tmp_path, 1))
    assert_finished(tmp_path, made_cues)
