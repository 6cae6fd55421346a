"""Secrets in URLs: what is written or shown has none, and who goes on gives them again."""

from __future__ import annotations

import os
import re

from training.errors import UserError

_STARS = "***"
_URL = re.compile(r"\w+://[^\s'\"]+")
_PASSWORD = re.compile(r"(://[^:/?#@]*:)([^@]+)(?=@)")
_SECRET = re.compile(r"([?&][^=&#]*(?:pass|pwd|secret|token|key)[^=&#]*=)([^&#]+)", re.IGNORECASE)


def hidden(url: str) -> str:
    """Return a URL with stars for its password, and for what its query calls a secret."""
    return _SECRET.sub(rf"\1{_STARS}", _PASSWORD.sub(rf"\1{_STARS}", url, count=1))


def hidden_urls(text: str) -> str:
    """Return `text` with every URL in it without its secrets."""
    return _URL.sub(lambda found: hidden(found[0]), text)


def hidden_in(text: str, url: str) -> str:
    """Return `text`, such as an error's, without the secrets of `url`."""
    text = text.replace(url, hidden(url))
    for _, secret in (*_PASSWORD.findall(url)[:1], *_SECRET.findall(url)):
        text = text.replace(secret, _STARS)
    return text


def whole(url: str, variable: str, what: str) -> str:
    """Return `url` with its secrets, which the environment `variable` holds where it has stars.

    `what` is the option that it belongs to. Raises `UserError` where the variable holds another
    URL, or none.
    """
    if _STARS not in url:
        return url
    given = os.environ.get(variable, "")
    if given == url or hidden(given) != url:
        raise UserError(
            f"{what} {url}: its secret is not written down; set {variable} to the whole URL"
        )
    return given
