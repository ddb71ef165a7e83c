"""Ed25519 signatures of ledger entries: they prove which platform wrote an entry, not which person."""

import base64
import binascii
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_BYTES = 32


class Signer:
    """Signs with a private key."""

    def __init__(self, key: str) -> None:
        """``key``: PEM (line breaks may be written as backslash n), or 32 bytes in base64. Raises PlatformError."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        text = key.strip().replace("\\n", "\n")
        try:
            if text.startswith("-----"):
                loaded = load_pem_private_key(text.encode(), None)
                if not isinstance(loaded, Ed25519PrivateKey):
                    raise ValueError("another kind of key")
            else:
                loaded = Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
        except (ValueError, TypeError, binascii.Error):
            # Without its cause: that might show a part of the key.
            raise PlatformError(
                "ML_PLATFORM_LEDGER_KEY is no private Ed25519 key; make one with openssl genpkey -algorithm ed25519"
            ) from None
        self._key = loaded
        #: The public key, 32 bytes in base64.
        self.public = base64.b64encode(loaded.public_key().public_bytes_raw()).decode()

    def sign(self, digest: str) -> str:
        """Signature of an entry's hash with the public key it can be checked with: ``<public key>:<signature>``."""
        return f"{self.public}:{base64.b64encode(self.sign_bytes(digest.encode())).decode()}"

    def sign_bytes(self, content: bytes) -> bytes:
        """Signature of a content, 64 bytes."""
        return self._key.sign(content)


def signed_by(signature: str) -> str:
    """The public key that a signature names."""
    return signature.partition(":")[0]


def is_public(key: str) -> bool:
    """Whether a text is a public key: 32 bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == _BYTES
    except (ValueError, binascii.Error):
        return False


def holds(signature: str, digest: str) -> bool:
    """Whether a signature is one of this hash, by the key that it names."""
    from cryptography.exceptions import InvalidSignature

    public, _, signed = signature.partition(":")
    try:
        _loaded(public).verify(base64.b64decode(signed, validate=True), digest.encode())
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


@lru_cache(maxsize=16)
def _loaded(public: str) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
