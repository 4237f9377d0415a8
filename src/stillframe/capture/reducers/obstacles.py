"""What cannot be captured, with reason and remedy: handles to something outside of the process, and state that only
C code knows. Most of these types refuse to be pickled by themselves; here stands what to say of them.
"""

from __future__ import annotations

from stillframe.capture.pickler import CannotReduce, Pickler, reducer_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLOSE = "Close it before the capture, and open it again afterwards."
AGAIN = "Make it again after the capture."

KNOWN: dict[str, tuple[str, str]] = {
    "select.epoll": ("it watches descriptors in the kernel", CLOSE),
    "select.poll": ("it watches descriptors in the kernel", CLOSE),
    "sqlite3.Connection": ("it is an open database", CLOSE),
    "sqlite3.Cursor": ("it is a query of an open database", CLOSE),
    "sqlite3.Blob": ("it is an open database", CLOSE),
    "_ssl._SSLSocket": ("it is a secured connection", CLOSE),
    "_ssl._SSLContext": ("it holds keys that only OpenSSL knows", AGAIN),
    "_ctypes._Pointer": ("it is an address in this process", AGAIN),
    "_ctypes.CFuncPtr": ("it is an address in this process", AGAIN),
    "posix.ScandirIterator": ("it is an open folder", "Take a list of it: list(os.scandir(…))."),
    "zlib.Compress": ("its state is known only to zlib", "Finish the stream before the capture."),
    "zlib.Decompress": ("its state is known only to zlib", "Finish the stream before the capture."),
    "_bz2.BZ2Compressor": ("its state is known only to bzip2", "Finish the stream before the capture."),
    "_bz2.BZ2Decompressor": ("its state is known only to bzip2", "Finish the stream before the capture."),
    "_lzma.LZMACompressor": ("its state is known only to xz", "Finish the stream before the capture."),
    "_lzma.LZMADecompressor": ("its state is known only to xz", "Finish the stream before the capture."),
    "_multiprocessing.SemLock": ("it is shared with other processes", AGAIN),
    "multiprocessing.process.BaseProcess": ("it is a child process", "Wait for it before the capture."),
    "multiprocessing.pool.Pool": ("it has child processes", CLOSE),
    "multiprocessing.connection._ConnectionBase": ("it is a pipe to another process", CLOSE),
    "_sre.SRE_Scanner": ("it is a search in progress", "Take a list of it: list(re.finditer(…))."),
    "_hashlib.HASH": ("its state is known only to OpenSSL", "Keep the data, or the digest, instead."),
    "_hashlib.HMAC": ("its state is known only to OpenSSL", "Keep the data, or the digest, instead."),
    "_curses.window": ("it is a part of a terminal", CLOSE),
    "_tkinter.tkapp": ("it is a window on a screen", CLOSE),
    "_elementtree.XMLParser": ("it is a document half read", "Finish it before the capture."),
    "pyexpat.xmlparser": ("it is a document half read", "Finish it before the capture."),
    "builtins.PyCapsule": ("it is an address in this process", AGAIN),
    "builtins.generator": ("it belongs to native code", AGAIN),
}
"""By module and name of a type: a clause that says why, and a sentence that says what to do."""


def known(cls: type) -> tuple[str, str] | None:
    """Reason and remedy for objects of the type, if it is one of the above."""
    for base in cls.__mro__:
        found = KNOWN.get(f"{base.__module__}.{base.__qualname__}")
        if found is not None:
            return found
    return None


@reducer_in("socket", "socket", subclasses=True)
def _reduce_socket(_pickler: Pickler, sock: Any) -> Any:
    """One that is closed is of no more use; it is a socket still."""
    reason = "it was closed" if sock.fileno() == -1 else "it is a connection to somewhere else"
    raise CannotReduce(sock, reason, "Delete it." if sock.fileno() == -1 else CLOSE)
