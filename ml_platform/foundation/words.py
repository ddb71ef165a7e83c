"""What people write and what sources name, where it is taken and where it is shown: never anything but text.

A terminal draws, erases and begins lines by control characters, so that words could forge what stands around them.
"""

from unicodedata import category

from ml_platform.foundation.errors import PlatformError

#: Control characters, half characters, ends of lines; and marks of format, which turn text around or hide in it.
_NO_TEXT = {"Cc", "Cs", "Cn", "Zl", "Zp", "Cf"}
#: Marks of format that words of some languages, and emoji, are written with.
_WRITTEN = {"\u200c", "\u200d", "\u00ad"}


def printable(text: str) -> str:
    """Text on one line, what is no text written out (``\\x1b``), ends of lines and tabs as spaces."""
    if text.isprintable():
        return text
    return "".join(" " if one in "\n\r\t" else _escaped(one) if _strange(one) else one for one in text)


def shown(text: str) -> str:
    """As :func:`printable`, with its lines as they are: for text that is made of lines."""
    return "\n".join(map(printable, text.split("\n")))


def require_words(about: str, *, by: str, reason: str) -> None:
    """Raise PlatformError for a decision without a name or a reason, or with something in them that is no text."""
    if not by.strip() or not reason.strip():
        raise PlatformError(f"{about}: give a name and a reason")
    for what, text in (("name", by), ("reason", reason)):
        if wrong := no_text(text):
            raise PlatformError(f"{about}: the {what} {wrong}")


def no_text(text: str) -> str:
    """What a text holds that is none, and the way out; empty where all of it is text."""
    wrong = next((one for one in text if _strange(one)), "")
    return f"holds a control character ({_escaped(wrong)}); write it as text on one line" if wrong else ""


def _strange(one: str) -> bool:
    return category(one) in _NO_TEXT and one not in _WRITTEN


def _escaped(one: str) -> str:
    return one.encode("unicode_escape", "surrogatepass").decode()
