"""What a child process is given of this one's environment: a list of names, and nothing beside it.

A process that answers strangers, or runs a model's code, needs none of the keys, passwords and addresses that this one
has: what is not listed here, or named by the caller, stays away.
"""

import os
from pathlib import Path

#: Where programs, libraries, temporary files and certificates are; language and time zone.
NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "MALLOC_ARENA_MAX"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "__CF_USER_TEXT_ENCODING"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONUTF8"),
        *("PYTHONWARNINGS", "PYTHONPYCACHEPREFIX", "DO_NOT_TRACK"),
    }
)
#: How the libraries that compute use threads and devices; folders of the user.
PREFIXES = ("LC_", "XDG_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "POLARS_", "CUDA_", "NVIDIA_")
#: What Git may need besides, to fetch what a partial clone lacks.
GIT = ("GIT_", "SSH_AUTH_SOCK")


def search_path() -> str:
    """``PYTHONPATH`` of a child that imports this very package, before what this process was told to search."""
    code = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")]))


def inherited(*further: str) -> dict[str, str]:
    """The listed variables of this process; ``further``: names, or beginnings that end in ``_``, for this child."""
    begins = (*PREFIXES, *(name for name in further if name.endswith("_")))
    return {
        name: value for name, value in os.environ.items() if name in NAMES or name in further or name.startswith(begins)
    }
