"""`c2am-merge`."""

from __future__ import annotations

from collections.abc import Sequence

from .common import finish, print_failures, run
from .options import Values, command_parser, parse

__all__ = ["merge_main"]


def merge_main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "c2am-merge", "Merge the reports of a run that was split into parts (--shard I/N)."
    )
    parser.add_argument("out_dir", metavar="OUT", help="the folder that all parts wrote to")
    args, running = parse(parser, argv)

    def work() -> int:
        from ..classifier.report import CamReport
        from ..convert.report import ConvertReport
        from ..network.cue_report import CueReport
        from ..refine.report import RefineReport
        from ..runs.merging import merge_reports
        from ..runs.output_folders import record_path
        from ..seeds.report import SeedReport

        kinds = {
            "c2am-refine": RefineReport,
            "c2am-seeds": SeedReport,
            "c2am-convert": ConvertReport,
            "c2am-cues": CueReport,
            "c2am-cams": CamReport,
        }
        code = 0
        for command, report in merge_reports(args["out_dir"], kinds):
            print(report.summary())
            record = record_path(args["out_dir"], command)
            code |= print_failures(parser, report.failures, record)
            finish(f"report to {record}", None, *_following(command, args))
        return code

    return run(parser, work, running)


def _following(command: str, args: Values) -> tuple[str, ...]:
    if command == "c2am-cues":
        return ("c2am-refine", "CAM_DIR", args["out_dir"])
    if command == "c2am-refine":
        truth = ("--gt", "TRUTH", "-o", "PAGE")
        return ("c2am-bench", "--cams", "NAME=CAM_DIR", "--cues", "CUES", *truth)
    return ()
