"""The states that are measured: what a cell must run to make each."""

from __future__ import annotations

from dataclasses import dataclass

FRAME = """
import numpy as np, pandas as pd
df = pd.DataFrame({{f"c{{i}}": np.arange({rows}, dtype=float) + i for i in range({columns})}})
{text}
x = 1
"""

TEXT = 'df["text"] = [f"row {i}" for i in range(len(df))]'


@dataclass(frozen=True)
class Kind:
    """One state to measure. `size_bytes` is about what a copy of it takes."""

    key: str
    title: str
    size_bytes: int
    code: str


def array(megabytes: int) -> str:
    return f"import numpy as np\na = np.ones({megabytes} * 125_000)\nx = 1"


KINDS = [
    Kind("empty", "empty", 0, "x = 1"),
    Kind("array_1mb", "1 MB array", 10**6, array(1)),
    Kind("array_100mb", "100 MB array", 10**8, array(100)),
    Kind("array_1gb", "1 GB array", 10**9, array(1000)),
    Kind("lists_1m", "1M small lists", 125 * 10**6, "a = [[i] for i in range(1_000_000)]\nx = 1"),
    Kind("pandas", "pandas, 200 MB", 2 * 10**8, FRAME.format(rows=1_000_000, columns=16, text=TEXT)),
]

BRANCHED = Kind("branched", "pandas, 250 MB", 25 * 10**7, FRAME.format(rows=2_000_000, columns=15, text=""))
"""The base of the thousand branches."""

SMALL = KINDS[1]
"""The state that the chain starts from."""
