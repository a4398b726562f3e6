"""Translates the argument names in library messages into the options of a command.

This is the only place that does so.
"""

from __future__ import annotations

import argparse
import re

__all__ = ["as_options"]

# How a library message names an argument, with or without a value: `labels`, `calibrate="on"`.
ARGUMENT = re.compile(r"`(\w+)(?:=([^`]*))?`")


def as_options(parser: argparse.ArgumentParser, message: str) -> str:
    """A library message with its argument names replaced by the options of this command.

    `flip_cues` becomes --flip-cues, `calibrate="on"` --calibrate on, `soft=False` --no-soft, and a
    positional argument its name in the usage. Names that are not arguments of the command stay
    unchanged.
    """
    # Of several options of one argument (--rcm, --no-rcm) the first is its name.
    actions = {action.dest: action for action in reversed(parser._actions)}

    def option(match: re.Match[str]) -> str:
        action, value = actions.get(match[1]), match[2]
        if action is None:
            return match[0]
        if not action.option_strings:
            return str(action.metavar or action.dest)
        names = [name for name in action.option_strings if name.startswith("--")]
        if value == "False":
            return next((name for name in names if name.startswith("--no-")), names[0])
        return names[0] if value in (None, "True") else f"{names[0]} {_unquoted(value)}"

    return ARGUMENT.sub(option, message)


def _unquoted(value: str) -> str:
    return value.strip("\"'")
