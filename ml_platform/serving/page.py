"""The page of a service: its documentation, drawn by the files that BentoML brings; a browser loads nothing else."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Any

from ml_platform.serving.arrow import ARROW_TYPE

_SCRIPT = """window.ui = SwaggerUIBundle({url: "./docs.json", dom_id: "#documentation", deepLinking: true,
  validatorUrl: null, presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"});"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="./static_content/swagger-ui.css">
</head>
<body>
<div id="documentation"></div>
<noscript>The documentation of this service for machines: <a href="./docs.json">docs.json</a></noscript>
<script src="./static_content/swagger-ui-bundle.js" charset="UTF-8"></script>
<script>{script}</script>
</body>
</html>
"""
#: Whatever is in those files: nothing is loaded from another host, and nothing is sent there.
HEADERS = {
    "content-security-policy": "default-src 'none'; connect-src 'self'; font-src 'self' data:; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' "
    f"'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def page(model: str, version: int) -> str:
    """The page at the root of a service."""
    return _PAGE.format(title=escape(f"{model} {version}"), script=_SCRIPT)


#: What a service says instead of an answer, beside what BentoML documents; each as ``{"error": "…"}``.
REFUSALS = {
    401: "The key is missing or wrong: send it as the header x-api-key.",
    409: "What the features are made of is too old for this row.",
    413: "The body is too large, or has too many rows.",
    415: "The content type is not one of those of the request.",
    422: "A value, a field or the number of rows is not as documented; the message names it.",
    429: "Too many requests at once; Retry-After says when to ask again.",
}


def documented(document: dict[str, Any], answering: Iterable[str], batch: str) -> dict[str, Any]:
    """An OpenAPI document with what answers besides: refusals of the paths ``answering``, Arrow streams of ``batch``.

    It names this service alone, not who made its server.
    """
    document["info"].pop("contact", None)
    stream = {ARROW_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    for path in answering:
        answers = document["paths"][path]["post"]["responses"]
        error = answers["400"]["content"]
        for status, said in REFUSALS.items():
            answers[str(status)] = {"description": said, "content": error}
    for part in (document["paths"][batch]["post"]["requestBody"], document["paths"][batch]["post"]["responses"]["200"]):
        part["content"] = {**part["content"], **stream}
    return document
