"""Looks for broken links in a built site.

    python scripts/site/check_links.py build/site

Every link to a page, an anchor, a picture, a script or a style has to lead somewhere in the folder, and
nothing may be loaded from another server. Exits with 1 and a list if something is broken.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself, as opposed to what a reader may follow.
LOADED = {("img", "src"), ("script", "src"), ("source", "src"), ("iframe", "src")}
LOADED_RELATIONS = {"stylesheet", "icon", "preload", "preconnect"}
#: Pages of the Rust crates: rustdoc writes them, and checks its own links. Links to them are checked as any.
NOT_OURS = "reference/rust/"


class Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note ids, links and loads."""
        given = {name: value or "" for name, value in attributes}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        for name in ("href", "src"):
            if name not in given:
                continue
            self.links.append(given[name])
            relations = set(given.get("rel", "").split())
            if (tag, name) in LOADED or (tag == "link" and relations & LOADED_RELATIONS):
                self.loads.append(given[name])


def main() -> int:
    """Check all pages."""
    site = Path(sys.argv[1]).resolve()
    ours = [
        path for path in site.rglob("*.html") if not path.relative_to(site).as_posix().startswith(NOT_OURS)
    ]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in ours}
    faults: list[str] = []
    count = 0
    for path, page in pages.items():
        name = path.relative_to(site)
        faults += [f"{name} loads {load} from another server" for load in page.loads if urlsplit(load).netloc]
        # The page for what is not found is shown at any address; its links begin at the root.
        for link in page.links if path.name != "404.html" else []:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            count += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                faults.append(f"{name}: {link} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                faults.append(f"{name}: {link} has no such anchor")
    sys.stderr.write("".join(f"{fault}\n" for fault in sorted(set(faults))))
    sys.stdout.write(f"site: {len(pages)} pages, {count} links, {len(set(faults))} broken\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
