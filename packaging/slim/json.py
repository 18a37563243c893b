"""json without its regular expressions (re and enum: 6 ms), on the same two extension types.

What they refuse goes to the whole module, for the same words.
"""

# mypy: ignore-errors

import importlib
from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

_SPACE = " \t\n\r"


class _Context:
    """What the scanner asks a decoder for."""

    strict = True
    object_hook = object_pairs_hook = parse_constant = None
    parse_float = float
    parse_int = int


def loads(text, *, parse_constant=None, **how):
    if isinstance(text, bytes) and _is_utf_8(text):
        text = text.decode("utf-8", "surrogatepass")
    if isinstance(text, str) and not how:
        context = _Context()
        # the names as Python's own decoder has them
        context.parse_constant = parse_constant or _CONSTANTS.__getitem__
        try:
            value, end = make_scanner(context)(text, len(text) - len(text.lstrip(_SPACE)))
        except (StopIteration, SystemError):
            pass  # the latter where the scanner does not find json.decoder, for the error's class
        else:
            if not text[end:].strip(_SPACE):
                return value
    return _whole().loads(text, parse_constant=parse_constant, **how)


def _is_utf_8(text):
    """As json.detect_encoding sees it: the others show zeros, or the mark of an order of bytes."""
    return 0 not in text[:4] and not text.startswith((b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"))


_CONSTANTS = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}


def dumps(value, *, indent=None, ensure_ascii=True, separators=None, sort_keys=False, **how):
    if how or (indent is not None and type(indent) is not int):
        how |= {"indent": indent, "ensure_ascii": ensure_ascii, "separators": separators}
        return _whole().dumps(value, sort_keys=sort_keys, **how)
    quote = encode_basestring_ascii if ensure_ascii else encode_basestring
    comma, colon = separators or (", " if indent is None else ",", ": ")
    encode = make_encoder({}, _refuse, quote, None, colon, comma, sort_keys, False, True)

    def lines(value, start):
        inner = start + " " * indent
        if isinstance(value, dict) and value:
            if not all(isinstance(key, str) for key in value):
                raise TypeError("keys must be strings where lines are indented")
            items = sorted(value.items()) if sort_keys else value.items()
            each = [f"{quote(key)}{colon}{lines(item, inner)}" for key, item in items]
            return f"{{{inner}{f'{comma}{inner}'.join(each)}{start}}}"
        if isinstance(value, (list, tuple)) and value:
            return f"[{inner}{f'{comma}{inner}'.join(lines(item, inner) for item in value)}{start}]"
        return "".join(encode(value, 0))

    return "".join(encode(value, 0)) if indent is None else lines(value, "\n")


def _refuse(value):
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


def _whole():
    return importlib.import_module("json.whole")


def __getattr__(name):
    return getattr(_whole(), name)
