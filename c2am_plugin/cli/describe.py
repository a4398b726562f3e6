"""`c2am-describe`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import run, say
from .options import add_method, add_running, command_parser, parse

__all__ = ["describe_main"]


def describe_main(argv: Sequence[str] | None = None) -> int:
    parser = _describe_parser()
    args, running = parse(parser, argv)

    def work() -> int:
        from ..describe.run import describe_cues

        found = describe_cues(**args)
        for message in [*found.failures.values()][:5]:
            say(parser, message)
        print(found.text())
        return 1 if found.failures else 0

    return run(parser, work, running, again="to start over")


def _describe_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "c2am-describe",
        "Describe a folder of cues or saliency maps from any source: hard or soft, which side "
        "is high, sizes, share of foreground, and how to use them. Writes nothing.",
    )
    add = parser.add_argument_group("cues").add_argument
    add("cues", metavar="CUES", help="folder of <id>.png or float <id>.npy")
    add("--cams", metavar="CAM_DIR", help="also report how well the cues agree with these CAMs")
    add_method(add, "the pipeline of --cams (default: detect from the files)", default="auto")
    add("--stretch-cues", action="store_true", help="accept cues of any shape, e.g. square inputs")
    add_running(parser, overwrite="")
    return parser
