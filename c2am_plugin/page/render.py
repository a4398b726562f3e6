"""Fill in a template and write the page: one HTML file that needs no network and no second file.

Knows the templates of this folder, not what they show. All values are escaped unless they are
`Markup`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..files.writing import atomic_path
from .text import code, interval, percent, signed, versions

__all__ = ["render", "write_page"]

TEMPLATES = Path(__file__).with_name("templates")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"percent": percent, "signed": signed, "code": code}
    environment.filters.update(filters)
    environment.globals.update(interval=interval, versions=versions)
    return environment


def render(template: str, **values: Any) -> str:
    """The HTML of a template of this folder with these values."""
    return _environment().get_template(template).render(values)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write the page as a whole or not at all. Names that are not Unicode are written escaped."""
    text = render(template, **values)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
