"""Version of the code that makes features: the user's by what it does, the platform's own part by a number."""

import lzma
import sys
from pathlib import Path

from ml_platform.features.contract import FeatureFunction
from ml_platform.features.expressions import ExpressionFeatures
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.user_code import module_file, user_code_version

#: The platform's own part in what features are: raised when the same code of a user gives other features.
VERSION = 1
#: The platform's own part as it counted before it had a number: by the text of its modules.
_BEFORE_NUMBERS = Path(__file__).with_name("before_numbers.xz")


def feature_code_version(function: str) -> str:
    """Version of the feature function at ``module:object`` and of what builds features with it.

    Raises UnknownModule where there is no such module.
    """
    return f"{VERSION}.{user_code_version(function)}"


def equal_versions(function: FeatureFunction) -> tuple[str, ...]:
    """Earlier ways of saying the version of code that gives the same: what was built under them is adopted.

    Until there were numbers, the version was a hash over the text of the function's module and of the platform's own
    modules; as long as the text of the user's module is the same, so are the features.
    """
    module = sys.modules[type(function).__module__]
    path = module_file(module.__name__)
    if path.suffix != ".py" or VERSION != 1 or isinstance(function, ExpressionFeatures):
        return ()
    own = lzma.decompress(_BEFORE_NUMBERS.read_bytes()).decode()
    return (sha256_bytes("\x00".join([path.read_text(), own]))[:12],)
