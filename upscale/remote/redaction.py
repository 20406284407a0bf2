"""URLs and messages without their secrets, as they may be printed, written down or logged."""

from __future__ import annotations

import logging
import re

#: Characters of a text that are shown.
_MOST = 10_000

_USER = re.compile(r"(?<=://)[^/\s?#]*@")
_QUERY = re.compile(r"(https?://[^\s?'\"<>]*|(?=\?[^\s'\"<>]*=))\?[^\s'\"<>]+")
#: A name is looked at from its beginning, and only where a value follows: so a long word takes no
#: longer than a read of it.
_SECRET = re.compile(
    r"(?i)((?<![\w-])(?=[\w-]++=)[\w-]*(?:sig|signature|token|password|x-amz-[\w-]+|x-goog-[\w-]+"
    r"|secret[\w-]*)=|\bbearer\s+"
    r"|\b(?:private-token|authorization)['\"]?: ['\"]?(?:basic\s+|bearer\s+)?)"
    r"[^&\s'\"<>]+"
)


def redact(text: str) -> str:
    """A URL, or a message that contains URLs, with users, queries and tokens masked; of a text
    longer than any URL, its beginning."""
    text = text if len(text) <= _MOST else f"{text[:_MOST]}..."
    return _SECRET.sub(r"\1***", _QUERY.sub(r"\1?***", _USER.sub("***@", text)))


class _RedactingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


_REDACTING = _RedactingFilter()


def redact_log(name: str) -> None:
    """Mask the secrets in all messages of a logger, for a user who lets a library log its URLs."""
    logging.getLogger(name).addFilter(_REDACTING)  # adds it once
