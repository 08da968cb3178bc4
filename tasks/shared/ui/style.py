"""The style that the report and the site have in common: colours, text, tables, boxes that scroll, print."""

from __future__ import annotations

from pathlib import Path

PAGE_STYLE = Path(__file__).with_name("page.css")
"""A style sheet that loads nothing; pages contain it."""
