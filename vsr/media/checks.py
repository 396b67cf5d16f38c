"""One finding about a finished file."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A named claim about the file, whether it holds, and the numbers behind it."""

    name: str
    passed: bool
    detail: str
    numbers: dict[str, float | int | str] = field(default_factory=dict)


def check(name: str, passed: bool, detail: str, **numbers: float | int | str) -> Check:
    """Make a `Check`."""
    return Check(name=name, passed=passed, detail=detail, numbers=numbers)
