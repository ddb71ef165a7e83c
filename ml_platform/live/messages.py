"""A message to people: to a webhook, by e-mail, or nowhere but the pages, as the settings say."""

import json
import smtplib
import ssl
from email.message import EmailMessage
from urllib.error import URLError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import Request, urlopen

from pydantic import SecretStr

from ml_platform.foundation.errors import PlatformError

#: Seconds for one delivery.
TIMEOUT = 10


def send(text: str, *, webhook: SecretStr, email: SecretStr) -> int:
    """Hand a message to every channel that is set; returns how many there are.

    ``webhook`` is an address that takes ``{"text": …}`` (Slack, Mattermost, Teams and others do), ``email`` one as
    ``smtp://user:password@host:587/?from=a@b.org&to=c@d.org`` (``smtps`` for TLS from the beginning; with ``smtp``
    TLS is begun where the server offers it, and always before a password is sent). Raises PlatformError, without the
    address, where a channel does not take it.
    """
    channels = 0
    if address := webhook.get_secret_value():
        _post(address, text)
        channels += 1
    if address := email.get_secret_value():
        _mail(address, text)
        channels += 1
    return channels


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
