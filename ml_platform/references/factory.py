"""Opens what keeps references, as the settings say."""

from ml_platform.foundation.database import is_sqlite
from ml_platform.foundation.settings import Settings
from ml_platform.references.files import FileReferences
from ml_platform.references.references import References


def open_references(settings: Settings) -> References:
    """Beside the ledger where that is a database for several machines, else files below ``local``."""
    files = settings.local / "refs"
    if is_sqlite(settings.ledger):
        return FileReferences(files)
    from ml_platform.references.database import DatabaseReferences

    return DatabaseReferences(settings.ledger, files)
