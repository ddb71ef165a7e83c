"""A message to people: to a webhook, by e-mail, or nowhere but the pages, as the settings say."""

import json
import smtplib
import ssl
from collections.abc import Callable, Collection, Mapping
from email.message import EmailMessage
from urllib.error import URLError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import Request, urlopen

from pydantic import SecretStr

from ml_platform.foundation.errors import PlatformError

#: Seconds for one delivery.
TIMEOUT = 10


def send(text: str, channels: Mapping[str, SecretStr], only: Collection[str] = ()) -> dict[str, str]:
    """Hand a message to channels, each with its address, or to ``only`` some; returns which did not take it, with why.

    By name: ``webhook``, an address that takes ``{"text": …}`` (Slack, Mattermost, Teams and others do), and ``email``,
    one as ``smtp://user:password@host:587/?from=a@b.org&to=c@d.org`` (``smtps`` for TLS from the beginning; with
    ``smtp`` TLS is begun where the server offers it, and always before a password is sent). What is told of a failure
    has no address.
    """
    failed: dict[str, str] = {}
    for name, address in channels.items():
        if not only or name in only:
            try:
                CHANNELS[name](address.get_secret_value(), text)
            except PlatformError as error:
                failed[name] = str(error)
    return failed


def _post(address: str, text: str) -> None:
    request = Request(address, json.dumps({"text": text}).encode(), {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=TIMEOUT):
            pass
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "code", None) or getattr(error, "reason", None) or type(error).__name__
        raise PlatformError(f"ML_PLATFORM_ALERT_WEBHOOK: the message was not taken ({reason})") from None


def _mail(address: str, text: str) -> None:
    parts = urlsplit(address)
    asked = parse_qs(parts.query)
    message = EmailMessage()
    message["Subject"] = text[:120]
    message["From"], message["To"] = asked["from"][0], ", ".join(asked["to"])
    message.set_content(text)
    secure = parts.scheme == "smtps"
    try:
        connect = smtplib.SMTP_SSL if secure else smtplib.SMTP
        with connect(parts.hostname or "", parts.port or 0, timeout=TIMEOUT) as server:
            server.ehlo()
            if not secure and (parts.username or server.has_extn("starttls")):
                server.starttls(context=ssl.create_default_context())
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise PlatformError(f"ML_PLATFORM_ALERT_EMAIL: the message was not taken ({type(error).__name__})") from None


#: Name of a channel to what hands it a message: a setting ``ML_PLATFORM_ALERT_…`` has its address.
CHANNELS: dict[str, Callable[[str, str], None]] = {"webhook": _post, "email": _mail}
