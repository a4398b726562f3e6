"""`c2am-merge`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import print_failures, run

__all__ = ["merge_main"]


def merge_main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "c2am-merge", description="One report of a run that was done in shards (--shard I/N)."
    )
    parser.add_argument("out_dir", metavar="OUT", help="the folder that all shards wrote into")
    args = parser.parse_args(argv)

    def work() -> int:
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
        }
        code = 0
        for command, report in merge_reports(args.out_dir, kinds):
            record = str(record_path(args.out_dir, command))
            print(f"{report.summary()}\nreport: {record}")
            code |= print_failures(parser, report.failures, record)
        return code

    return run(parser, work)
