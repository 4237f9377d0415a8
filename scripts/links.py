"""Checks that each relative link of the Markdown files named leads to a file. Usage: links.py PATH..."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def pages(arguments: list[str]) -> list[Path]:
    """The files themselves, and all Markdown below the folders."""
    found = []
    for path in map(Path, arguments):
        found += sorted(path.rglob("*.md")) if path.is_dir() else [path]
    return found


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    targets = LINK.findall(page.read_text())
    relative = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    return [f"{page}: {t} is not there" for t in relative if not (page.parent / unquote(t)).exists()]


if __name__ == "__main__":
    wrong = [line for page in pages(sys.argv[1:]) for line in broken(page)]
    print("\n".join(wrong) or "every link leads somewhere")
    sys.exit(bool(wrong))
