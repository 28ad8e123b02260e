"""What somebody who mistyped a name probably meant."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, whatever the case; None if none is near."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1, cutoff=0.5)
    return by_lower_case[near[0]] if near else None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The tail of an error message: " Did you mean 'x'?", or nothing if no name is near."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""
