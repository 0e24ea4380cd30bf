"""Columns by their names, to the letter."""

from __future__ import annotations

import polars as pl
import polars.selectors as cs


def exactly(name: str) -> pl.Expr:
    """The column of that name. To `pl.col`, ``*`` would be all of them and ``^b$`` a pattern."""
    return cs.by_name(name).as_expr()
