"""When a server is asked again, how often, and after how long: one rule for all requests.

urllib3's `Retry` reads `Retry-After` here and does nothing else. As a policy of the adapter it
would take away `check_status` and `retry_after` (18 lines), but it retries below the session:
without a turn at the common pace, with waits that the end of a fetch cannot interrupt, and not
where a body breaks off, so that the loop of `retried` would stay, and each try would be two.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from upscale.remote.errors import RemoteError
from upscale.remote.redaction import redact

T = TypeVar("T")

#: Status codes of a server that may well answer later.
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Patience:
    """How often and how long a server is asked.

    attempts: tries for one file; wait: seconds before the second try, doubled before each further
    one up to `longest`, and shortened at random, to a half at most; a server that asks for a wait
    of more than `longest` has failed. connect, read: seconds until a connection must stand, and
    between two pieces of an answer.
    """

    attempts: int = 7
    wait: float = 1.0
    longest: float = 300.0
    connect: float = 20.0
    read: float = 60.0

    def pause(self, failed: int) -> float:
        """Seconds to wait after a number of failed tries (1 or more)."""
        return min(self.longest, self.wait * 2.0 ** (failed - 1)) * random.uniform(0.5, 1)


#: The patience that is used where none is given.
PATIENCE = Patience()


class TransientError(Exception):
    """A try that failed and may be repeated, not before `wait` seconds have passed."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def retried(
    attempt: Callable[[], T],
    patience: Patience,
    url: str,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The result of `attempt`, which is repeated while it raises TransientError.

    Raises RemoteError after the last try, and at once where a server asks for too long a wait.
    """
    failed = 0
    while True:
        try:
            return attempt()
        except TransientError as error:
            last, failed = error, failed + 1
        if failed >= patience.attempts or last.wait > patience.longest:
            raise RemoteError(
                f"{redact(url)}: expected an answer, found after {failed} tries: "
                f"{redact(str(last))}; try again later"
            )
        sleep(max(last.wait, patience.pause(failed)))


def check_status(response: requests.Response) -> None:
    """Close a response that asks to come again later, and raise TransientError."""
    if response.status_code in TRANSIENT:
        response.close()
        raise TransientError(f"status {response.status_code}", retry_after(response))


def retry_after(response: requests.Response) -> float:
    """Seconds that a server asks to wait, in numbers or as a date; 0 for none and for nonsense."""
    asked = response.headers.get("Retry-After", "")
    try:
        return float(Retry().parse_retry_after(asked)) if asked else 0.0
    except (InvalidHeader, ValueError, OverflowError):  # more digits than a number takes
        return 0.0
