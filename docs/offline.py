"""Whether a site can be read without a network.

    python docs/offline.py build/site

names everything that a browser would load from elsewhere: scripts, styles, fonts, pictures. Links
that a reader may follow are no matter. Exit code 1 where anything was found.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

#: Attributes by which a tag loads something at once.
LOADING = {
    "audio": {"src"}, "embed": {"src"}, "iframe": {"src"}, "image": {"href", "xlink:href"},
    "img": {"src", "srcset"}, "input": {"src"}, "link": {"href"}, "object": {"data"},
    "script": {"src"}, "source": {"src", "srcset"}, "use": {"href", "xlink:href"},
    "video": {"src", "poster"},
}  # fmt: skip
#: Kinds of <link> that a browser does not load.
NAMED_ONLY = {"canonical", "prev", "next", "alternate"}
ELSEWHERE = re.compile(r"(?:https?:)?//\w", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s;]+)", re.IGNORECASE)


class _Page(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.found += IN_STYLE.findall(values.get("style", ""))
        if tag == "link" and set(values.get("rel", "").split()) <= NAMED_ONLY:
            return
        if "mermaid" in values.get("class", "").split():
            self.found.append("a diagram, whose script the theme loads from unpkg.com")
        loaded = (values.get(name, "") for name in LOADING.get(tag, ()))
        self.found += [value for value in loaded if ELSEWHERE.search(value)]

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += IN_STYLE.findall(data)


def loaded_from_elsewhere(site: Path) -> Iterator[tuple[Path, str]]:
    """Files of a site and the addresses from which a browser would load a part of them."""
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        yield from ((path.relative_to(site), address) for address in page.found)
    for path in sorted(site.rglob("*.css")):
        found = IN_STYLE.findall(path.read_text(encoding="utf-8"))
        yield from ((path.relative_to(site), address) for address in found)


def main(folder: str) -> int:
    site = Path(folder)
    if not (site / "index.html").exists():
        print(f"expected a site with index.html in {site}, found none: run `make docs`")
        return 1
    found = list(loaded_from_elsewhere(site))
    for path, address in found:
        print(f"{path}: loads {address}; keep a copy in docs/ or leave it out")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
