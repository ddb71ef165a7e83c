"""Opens what keeps references, as the settings say."""

from ml_platform.foundation.adapters import opened
from ml_platform.foundation.database import is_sqlite
from ml_platform.foundation.settings import Settings
from ml_platform.references.files import FileReferences
from ml_platform.references.references import References


def open_references(settings: Settings) -> References:
    """The project's own adapter, else beside the ledger where that is a database for several machines, else files."""
    if (own := opened(settings, "references", References)) is not None:
        return own
    files = settings.local / "refs"
    if is_sqlite(settings.ledger):
        return FileReferences(files)
    from ml_platform.references.database import DatabaseReferences

    return DatabaseReferences(settings.ledger, files)
