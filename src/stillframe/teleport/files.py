"""Files that travel with the program: listed and checked first, then streamed as a tar.

Invariants:
  * All that is missing is found before anything is sent.
  * A path over there is the path here, relative to the working directory; nothing outside of it travels.
  * Content is streamed: no file is held in memory.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable

from stillframe.errors import BadRequest, TeleportFailed
from stillframe.teleport.line import Line, Outgoing

BUFFER_BYTES = 1 << 20


def relative_paths(files: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The paths relative to the working directory. Raises TeleportFailed with all that are not there."""
    if isinstance(files, (str, bytes)):
        raise BadRequest(f"files={files!r} is one path.", f"Say files=[{files!r}].")
    here = os.getcwd()
    paths = [os.path.relpath(os.path.join(here, os.fspath(file)), here) for file in files]
    outside = [path for path in paths if path == ".." or path.startswith("../")]
    if outside:
        raise BadRequest(
            f"cannot send {', '.join(map(repr, outside))}: not below the working directory {here}.",
            "Files are found over there under the same relative path: change to a folder above them first.",
        )
    missing = [f"the file {path}" for path in paths if not os.path.exists(path)]
    if missing:
        raise TeleportFailed(
            f"cannot teleport: {', '.join(missing)} is not here.", "Nothing was sent.", missing
        )
    return paths


def send_files(lines: list[Line], paths: list[str]) -> None:
    """Stream the files, folders with all that is in them, to all lines."""
    stream = Outgoing(lines)
    try:
        with tarfile.open(
            fileobj=stream, mode="w|", bufsize=BUFFER_BYTES, format=tarfile.PAX_FORMAT
        ) as archive:
            for path in paths:
                # A link that was named stands for its file; one inside a folder stays a link.
                archive.add(os.path.realpath(path), arcname=path)
    except (OSError, ValueError) as error:
        raise TeleportFailed(f"cannot teleport: a file could not be read: {error}.") from error
    stream.end()
