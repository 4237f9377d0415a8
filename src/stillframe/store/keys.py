"""The store's key: it signs the snapshots that were made here, so that they are known when they come back.

To restore a snapshot is to run what is in it. So each is signed (Ed25519), and one that was signed by nobody who is
trusted here is refused. A public key is written as 64 hexadecimal digits.

Invariant: the private key never leaves its file, which only its owner may read.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from stillframe.errors import StoreDamaged, StoreError
from stillframe.store.disk import sync_directory, write_file, writing_to

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SNAPSHOT = b"stillframe snapshot\n"
MANIFEST = b"stillframe manifest\n"
"""What a signature is for stands before what is signed: it means nothing elsewhere."""
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64


class Key:
    """A key pair, in a file of its own."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw().hex()
        """What others know it by."""

    @classmethod
    def create(cls, path: Path) -> Key:
        """A new one, in a file that only its owner may read. Durable. If somebody was quicker: theirs."""
        # Imported where it is needed: it takes 30 ms, and state processes never sign.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with writing_to(path.parent):
            write_file(new, private.private_bytes_raw().hex().encode() + b"\n", mode=0o600)
            try:
                os.link(new, path)
            except FileExistsError:
                return cls.load(path)
            finally:
                new.unlink()
            sync_directory(path.parent)
        return cls(private)

    @classmethod
    def load(cls, path: Path) -> Key:
        """The one in the file. Raises StoreDamaged if there is none in it, StoreError if it cannot be read."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            data = bytes.fromhex(path.read_bytes().decode("ascii"))
            if len(data) != _KEY_BYTES:
                raise ValueError(f"{len(data)} bytes")
        except ValueError as error:
            raise StoreDamaged(
                f"the key of the store {path.parent} is damaged ({path}).",
                "Put back a copy of it; or run `still doctor --repair`, which makes a new key, and trusts what "
                "the old one has signed here.",
                store=str(path.parent),
            ) from error
        except OSError as error:
            what = f"the key of the store {path.parent} cannot be read: {error.strerror}."
            raise StoreError(what, store=str(path.parent)) from error
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def sign(self, digest: str, purpose: bytes = SNAPSHOT) -> bytes:
        """The signature of what has this digest. About 50 µs."""
        return self._private.sign(purpose + digest.encode())


def is_public_key(text: str) -> bool:
    """Whether `text` has the form of a public key."""
    return len(text) == 2 * _KEY_BYTES and all(char in "0123456789abcdef" for char in text)


def is_signed(digest: str, public: str, signature: bytes, purpose: bytes = SNAPSHOT) -> bool:
    """Whether the holder of the key `public` has signed, for this purpose, what has this digest. About 100 µs."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = bytes.fromhex(public)
        if len(key) != _KEY_BYTES or len(signature) != _SIGNATURE_BYTES:
            return False
        Ed25519PublicKey.from_public_bytes(key).verify(signature, purpose + digest.encode())
    except (ValueError, InvalidSignature):
        return False
    return True


def is_private(path: Path) -> bool:
    """Whether only its owner may read the file."""
    return os.stat(path).st_mode & 0o077 == 0
