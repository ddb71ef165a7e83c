"""A message to people: to a webhook, by e-mail, by a channel of a project's own, or nowhere but the pages."""

import json
import smtplib
import ssl
from collections.abc import Callable, Collection, Mapping
from contextvars import copy_context
from email.message import EmailMessage
from threading import Thread
from typing import NamedTuple, Protocol
from urllib.error import URLError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import Request, urlopen

from pydantic import SecretStr

from ml_platform.foundation.adapters import opened
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.raised import place_of
from ml_platform.foundation.settings import Settings

#: Seconds for one answer of a server, and for a channel as a whole: a sensor waits for it, with every other alert.
TIMEOUT, LIMIT = 10, 30
#: What hands a message to a channel that has not come back, by the name of the channel.
_WAITING: dict[str, Thread] = {}


class AlertChannel(Protocol):
    """What brings an alert to people.

    Made by the function that ``ML_PLATFORM_ADAPTERS`` names, from the settings, anew at each tick of a sensor; it is
    told beside webhook and e-mail.
    """

    def send(self, text: str) -> None:
        """Hand on one message of one line, within seconds: a sensor waits for it.

        Raises PlatformError where it was not taken, in one line without address or secret: it is then handed to this
        channel again at the next tick.
        """
        ...


def alert_channels(settings: Settings) -> dict[str, AlertChannel]:
    """Where alerts go, by name: what the settings give an address, and ``own``, the project's own.

    Raises DeclarationError where that cannot be opened.
    """
    addresses: dict[str, SecretStr] = {name: getattr(settings, field) for name, (field, _) in CHANNELS.items()}
    found: dict[str, AlertChannel] = {
        name: CHANNELS[name][1](address) for name, address in addresses.items() if address.get_secret_value()
    }
    if (own := own_channel(settings)) is not None:
        found["own"] = own
    return found


def own_channel(settings: Settings) -> AlertChannel | None:
    """The project's own channel, where its adapters have one. Raises DeclarationError where it cannot be opened."""
    return opened(settings, "alerts", AlertChannel)


def send(text: str, channels: Mapping[str, AlertChannel], only: Collection[str] = ()) -> dict[str, str]:
    """Hand a message to channels, or to ``only`` some; returns which did not take it, with why.

    A channel that does not come back within :data:`LIMIT` seconds is left, and is handed nothing more until it does.
    """
    failed: dict[str, str] = {}
    for name, channel in channels.items():
        if not only or name in only:
            try:
                _hand(text, name, channel)
            except PlatformError as error:
                failed[name] = str(error)
            except Exception as error:
                # Not what the error says: libraries write addresses into it, and addresses of channels are secrets.
                place = place_of(error)
                where = f" in {place[0].name}:{place[1]}" if place else ""
                failed[name] = f"channel {name}: the message was not taken ({type(error).__name__}{where})"
    return failed


def _hand(text: str, name: str, channel: AlertChannel) -> None:
    """Raises what the channel raises, and PlatformError where it does not come back in time."""
    earlier = _WAITING.get(name)
    if earlier is not None and earlier.is_alive():
        raise PlatformError(f"channel {name}: an earlier message still waits in it; give what it calls a timeout")
    raised = list[Exception]()

    def hand() -> None:
        try:
            channel.send(text)
        except Exception as error:
            raised.append(error)

    # A thread cannot be ended: one that waits for ever is kept by its channel's name, so that there is no second.
    _WAITING[name] = thread = Thread(target=copy_context().run, args=(hand,), name=f"alert {name}", daemon=True)
    thread.start()
    thread.join(LIMIT)
    if thread.is_alive():
        raise PlatformError(
            f"channel {name}: the message was not taken within {LIMIT} seconds; give what it calls a timeout"
        )
    if raised:
        raise raised[0]


class Webhook(NamedTuple):
    """An address that takes ``{"text": …}``, as Slack, Mattermost, Teams and others do."""

    address: SecretStr

    def send(self, text: str) -> None:
        """See :class:`AlertChannel`."""
        body = json.dumps({"text": text}).encode()
        request = Request(self.address.get_secret_value(), body, {"content-type": "application/json"})
        try:
            with urlopen(request, timeout=TIMEOUT):
                pass
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "code", None) or getattr(error, "reason", None) or type(error).__name__
            raise PlatformError(f"ML_PLATFORM_ALERT_WEBHOOK: the message was not taken ({reason})") from None


class Mail(NamedTuple):
    """A mail server as ``smtp://user:password@host:587/?from=a@b.org&to=c@d.org``.

    ``smtps`` for TLS from the beginning; with ``smtp`` TLS is begun where the server offers it, and always before a
    password is sent.
    """

    address: SecretStr

    def send(self, text: str) -> None:
        """See :class:`AlertChannel`."""
        parts = urlsplit(self.address.get_secret_value())
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
            raise PlatformError(
                f"ML_PLATFORM_ALERT_EMAIL: the message was not taken ({type(error).__name__})"
            ) from None


#: Channels of the platform, by name: the setting that holds the address of each, and what is made of it.
CHANNELS: Mapping[str, tuple[str, Callable[[SecretStr], AlertChannel]]] = {
    "webhook": ("alert_webhook", Webhook),
    "email": ("alert_email", Mail),
}


def variables() -> tuple[str, ...]:
    """Variables of the environment that hold the addresses of :data:`CHANNELS`."""
    return tuple(f"ML_PLATFORM_{field.upper()}" for field, _ in CHANNELS.values())
