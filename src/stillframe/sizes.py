"""Sizes and times for people to read."""

from __future__ import annotations


def mebibytes(size_bytes: int) -> str:
    """A size in MiB, or in GiB from there on: `12.5 MiB`."""
    if size_bytes >= 1 << 30:
        return f"{size_bytes / (1 << 30):,.1f} GiB"
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def milliseconds(duration_s: float) -> str:
    """A time as people read it: `1.2 ms`, `3.4 s`."""
    return f"{duration_s * 1e3:,.1f} ms" if duration_s < 1 else f"{duration_s:,.1f} s"
