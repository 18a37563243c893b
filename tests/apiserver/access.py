"""Who asks, and what he may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import status
from .certificates import AUTHORITY

if TYPE_CHECKING:
    import ssl

    from .resources import Resource


class Access:
    """Tokens of users, and what is forbidden to them; whatever is not forbidden is allowed."""

    def __init__(self, tokens: dict[str, str]) -> None:
        self.tokens = tokens
        self.forbidden: set[tuple[str, str, str]] = set()  #: (user, verb, resource)

    def user(self, authorization: str, connection: ssl.SSLSocket) -> str:
        """The user of a certificate that our authority has signed, or of a token; "" for nobody."""
        certificate = connection.getpeercert() or {}
        subject, issuer = (_name(certificate.get(key, ())) for key in ("subject", "issuer"))
        if issuer == AUTHORITY:
            return subject
        scheme, _, token = authorization.partition(" ")
        return self.tokens.get(token.strip(), "") if scheme.lower() == "bearer" else ""

    def check(self, user: str, verb: str, target: Resource) -> None:
        """Raises Refusal 403; "*" stands for any verb or resource."""
        resource = "/".join(filter(None, (target.plural, target.subresource)))
        for verbs in (verb, "*"):
            for resources in (resource, "*"):
                if (user, verbs, resources) in self.forbidden:
                    raise status.forbidden(target, user, verb)


def _name(relative_names: object) -> str:
    """The common name; in the shape of ssl's getpeercert."""
    if isinstance(relative_names, tuple):
        for names in relative_names:
            for key, value in names:
                if key == "commonName":
                    return str(value)
    return ""
