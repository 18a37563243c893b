"""CNI_ARGS: `KEY=VALUE;KEY=VALUE` from the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Collection


def parse(text: str) -> dict[str, str]:
    """The pairs; of a key given twice the last non-empty value counts (multus repeats its own).

    A value may hold `=`. Raises CniError 4 for a pair without one.
    """
    pairs: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CniError(Code.INVALID_ENVIRONMENT, f'CNI_ARGS: invalid pair "{pair}"')
        pairs[key] = value or pairs.get(key, "")
    return pairs


def parse_known(text: str, known: Collection[str]) -> dict[str, str]:
    """The pairs, refusing keys outside `known` unless IgnoreUnknown is 1 or true."""
    pairs = parse(text)
    ignore = pairs.pop("IgnoreUnknown", "0").lower()
    if ignore not in ("", "0", "1", "true", "false"):
        raise CniError(
            Code.INVALID_ENVIRONMENT, f'CNI_ARGS: IgnoreUnknown must be a boolean, got "{ignore}"'
        )
    unknown = [f"{key}={value}" for key, value in pairs.items() if key not in known]
    if unknown and ignore not in ("1", "true"):
        raise CniError(Code.INVALID_ENVIRONMENT, f"CNI_ARGS: unknown args {unknown}")
    return {key: value for key, value in pairs.items() if key in known}
