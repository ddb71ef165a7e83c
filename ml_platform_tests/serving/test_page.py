"""The page of a service: a browser that opens it loads nothing from another host, and sends nothing there."""

import base64
import hashlib
import re
import urllib.request
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from ml_platform.serving import checks

#: Attributes by which a page names what it loads, or where it leads.
NAMING = {"src", "href", "data", "action", "poster", "srcset", "background"}


class Named(HTMLParser):
    """Everything that a page names, and its own scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self._own = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in NAMING and value]
        self._own = tag == "script" and not any(name == "src" for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        if self._own:
            self.scripts.append(data)
            self._own = False


def test_the_page_loads_nothing_from_another_host(service: checks.Running) -> None:
    def asked(address: str) -> tuple[str, dict[str, str]]:
        request = urllib.request.Request(address, headers={"x-api-key": service.key})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200, address
            return answer.read().decode(), {name.lower(): value for name, value in answer.headers.items()}

    root = f"{service.url}/"
    page, headers = asked(root)
    found = Named()
    found.feed(page)
    addresses = [urljoin(root, one) for one in found.addresses if not one.startswith("data:")]
    assert any(one.endswith(".js") for one in addresses) and any(one.endswith(".css") for one in addresses)
    assert {urlsplit(one).netloc for one in addresses} == {urlsplit(root).netloc}
    assert not re.search(r"(?:https?:)?//\w", page), "no address in a text or a script either"
    for address in addresses:
        text, _ = asked(address)
        if address.endswith(".css"):
            assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), address
    # Whatever those scripts would like to load: a browser lets them reach this host alone.
    parts = [rule.split() for rule in headers["content-security-policy"].split(";")]
    rules = {rule: words for rule, *words in parts}
    assert rules["default-src"] == ["'none'"]
    own = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found.scripts}
    assert len(own) == 1 and {*rules["script-src"]} == {"'self'", *own}
    allowed = {word for rule, words in rules.items() if rule != "script-src" for word in words}
    assert allowed == {"'none'", "'self'", "data:", "'unsafe-inline'"}
