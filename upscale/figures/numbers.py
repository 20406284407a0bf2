"""Numbers as text, for figures and reports."""

from __future__ import annotations

from collections.abc import Callable


def minus(text: str) -> str:
    """A typographic minus."""
    return text.replace("-", "−")


def number(digits: int, signed: bool = False) -> Callable[[float], str]:
    """A format with so many decimals, without a negative zero."""

    def as_text(value: float) -> str:
        rounded = round(float(value), digits) + 0.0
        return minus(f"{rounded:{'+' if signed else ''}.{digits}f}")

    return as_text


def percent(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.0f} %"
