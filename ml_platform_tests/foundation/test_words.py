"""What is no text is refused where people write, and written out where it is shown."""

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.words import printable, require_words, shown

ERASES, FORGES, TURNS, HIDES = "\x1b[4A\x1b[J", "x\n72 entries, unbroken", "ab\u202egpj", "a\x9b2J"


@pytest.mark.parametrize("wrong", [ERASES, FORGES, TURNS, HIDES, "a\u2028b", "a\rb", "a\x00"])
def test_what_is_no_text_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(PlatformError, match=r"^pause of m: the reason holds a control character \(\\"):
        require_words("pause of m", by="ann", reason=wrong)
    with pytest.raises(PlatformError, match=r"^pause of m: the name holds"):
        require_words("pause of m", by=wrong, reason="because")
    assert printable(wrong).isprintable()


def test_words_of_every_language_are_text() -> None:
    for said in (
        "größer als 10 %",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "d\u00e9j\u00e0\u00a0vu",
        "👩\u200d🔬",
    ):
        require_words("pause of m", by=said, reason=said)
        assert printable(said) == said


def test_what_is_shown_says_what_it_was() -> None:
    assert printable(ERASES) == r"\x1b[4A\x1b[J" and printable(FORGES) == "x 72 entries, unbroken"
    assert shown(f"first\n{ERASES}") == "first\n\\x1b[4A\\x1b[J"
