"""Numbers and versions as a page or a table shows them. Knows values, not what they measure."""

from __future__ import annotations

import math
import platform
import re
from importlib.metadata import PackageNotFoundError, version

from markupsafe import Markup, escape

__all__ = ["code", "interval", "percent", "signed", "versions"]


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage without its sign, "–" for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f}"


def signed(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    text = "–" if math.isnan(value) else f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def interval(low: float, high: float) -> str:
    return f"[{signed(low)}, {signed(high)}]"


def code(text: str) -> Markup:
    """A message as HTML, what stands in backquotes as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def versions() -> dict[str, str]:
    """What the numbers depend on, by name."""
    found = {"python": platform.python_version()}
    for name in ("c2am-plugin", "numpy", "scipy", "numba", "Pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
