"""The one error that a user's mistake or a refused action raises."""


class PlatformError(Exception):
    """Something the user can act on: names the thing, the reason and the way out in one line.

    The command line prints it without a traceback (``--debug`` shows one). Everything else that is
    raised is a defect of the platform or of the user's own code and keeps its traceback.
    """


class Refused(PlatformError):
    """A step was asked to act on content whose verdicts do not allow it.

    ``because`` names gates and statuses only, so that it stays the same where measured values differ.
    """

    def __init__(self, message: str, because: str = "") -> None:
        super().__init__(message)
        self.because = because or message


class MissingReference(PlatformError):
    """A step needs an asset that was never materialized (or whose record was removed)."""


class DeclarationError(PlatformError):
    """A declaration that cannot work; the message names key and reason."""


class StoreError(PlatformError):
    """Base of every error of a store."""


class Corrupt(StoreError):
    """Stored bytes do not have the recorded sha256; names object and commit."""
