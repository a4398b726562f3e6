"""What the tests of examples that download a data set share: a second's training, no internet."""

from __future__ import annotations

import os
import subprocess
import sys

SMALL = {
    "backbone": "squeezenet1_1",
    "weights": "random",
    "batch_size": 2,
    "epochs": 1,
    "resize": 64,
    "crop": 64,
    "workers": 0,
    "picture_every": 0,
    "progress": False,
}


def said_offline(example, folder, *options):
    """The last line of a failed run in `folder`, through a proxy that is not there."""
    proxies = {f"{name}_proxy": "http://127.0.0.1:9" for name in ("http", "https", "ftp", "all")}
    environment = {**os.environ, **proxies, **{k.upper(): v for k, v in proxies.items()}}
    for name in ("no_proxy", "NO_PROXY"):
        environment.pop(name, None)
    run = subprocess.run(
        [sys.executable, example.__file__, "-o", "out", "--root", "data", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    return run.stderr.strip().splitlines()[-1]
