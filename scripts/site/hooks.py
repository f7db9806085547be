"""What MkDocs does not do by itself: links that leave docs/, and the generated files of the site.

Pages link to programs and folders of the repository (`../examples/…`), which works where the repository is
browsed. For the site, each file that is linked to becomes a page below `source/`, and so does what those
pages link to.
"""

from __future__ import annotations

import ast
import posixpath
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import docstrings

ROOT = Path(__file__).resolve().parents[2]
#: Written by scripts/site/mermaid.py before the site is built.
ASSETS = ROOT / "build/site-assets"
#: Written by `make rustdoc`, with a folder for each crate.
RUSTDOC = ROOT / "build/rustdoc/doc"
#: Where it goes in the site.
RUST = "reference/rust"
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\[\]]*\])*\])\(([^)\s#]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
#: Where the reference of a module goes: everything in its `__all__`.
NAMES = re.compile(r"<!-- names of (\S+) -->")
DOCSTRING = re.compile(r"<!-- docstring of (\S+) -->")
#: A crate whose pages of rustdoc are in the site.
CRATE = re.compile(r"`(\S+)` <!-- rustdoc -->")
LANGUAGES = {".py": "python", ".rs": "rust", ".sh": "sh", ".toml": "toml", ".lua": "lua", ".pyi": "python"}
PICTURES = {".png", ".svg", ".jpg"}
SHOWN = {*LANGUAGES, ".md", ".service", "Containerfile"}


def on_files(files: Files, config: Any) -> Files:
    """Add a page for everything outside docs/ that a page links to, and the scripts of the site."""
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    seen: set[str] = set()
    while waiting:
        origin, text = waiting.pop()
        for target in sorted(outside(origin, text) - seen):
            seen.add(target)
            if Path(target).suffix in PICTURES:
                files.append(File.generated(config, page_of(target), abs_src_path=str(ROOT / target)))
                continue
            page = source_page(target)
            files.append(File.generated(config, page_of(target), content=page))
            if target.endswith(".md") or (ROOT / target).is_dir():
                waiting.append((target, page))
    for asset in sorted(ASSETS.iterdir()):
        files.append(File.generated(config, f"assets/{asset.name}", abs_src_path=str(asset)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave docs/ to the pages that were made for them."""
    markdown = DOCSTRING.sub(docstring_of, NAMES.sub(names_of, markdown))
    here = page.file.src_uri
    to_crates = posixpath.relpath(RUST, posixpath.dirname(here) or ".")
    markdown = CRATE.sub(lambda match: crate_link(to_crates, match[1]), markdown)
    origin = (
        here.removeprefix("source/").removesuffix(".page.md")
        if here.startswith("source/")
        else f"docs/{here}"
    )

    def replaced(match: re.Match[str]) -> str:
        text, link, fragment = match.groups()
        target = resolved(origin, link)
        if target is None:
            return match.group()
        uri = target.removeprefix("docs/") if target.startswith("docs/") else page_of(target)
        return f"{text}({posixpath.relpath(uri, posixpath.dirname(here) or '.')}{fragment or ''})"

    return outside_fences(markdown, lambda prose: LINK.sub(replaced, prose))


def crate_link(folder: str, crate: str) -> str:
    """Return a link to the first page of a crate, as HTML: MkDocs knows its own pages only."""
    return f'<a href="{folder}/{crate.replace("-", "_")}/index.html"><code>{crate}</code></a>'


def on_post_build(config: Any, **_: Any) -> None:
    """Put the pages of rustdoc beside ours."""
    shutil.copytree(RUSTDOC, Path(config.site_dir, RUST), dirs_exist_ok=True)


def module_of(match: re.Match[str]) -> tuple[str, ast.Module]:
    """Return the name and the source of the module that a page asks for; nothing is imported."""
    module = match.group(1)
    path = ROOT / "python" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return module, ast.parse(path.read_text(encoding="utf-8"))


def docstring_of(match: re.Match[str]) -> str:
    """Return the docstring of a module, as Markdown."""
    _, source = module_of(match)
    return docstrings.markdown(ast.get_docstring(source) or "")


def names_of(match: re.Match[str]) -> str:
    """Return what mkdocstrings takes for the documentation of each public name of a module, in its order."""
    module, source = module_of(match)
    for node in source.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return "\n\n".join(f"::: {module}.{name}" for name in ast.literal_eval(node.value))
    raise ValueError(f"{module} has no __all__")


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Load our Mermaid where there are diagrams; without it Material would take one from the network."""
    if 'class="mermaid"' not in output:
        return output
    script = posixpath.relpath("assets/mermaid.min.js", posixpath.dirname(page.file.dest_uri) or ".")
    return output.replace("</head>", f'<script src="{script}"></script></head>', 1)


def outside(origin: str, text: str) -> set[str]:
    """Return what a file links to in the repository, but not in docs/."""
    links: set[str] = set()
    outside_fences(text, lambda prose: links.update(link for _, link, _ in LINK.findall(prose)) or prose)
    targets = {resolved(origin, link) for link in links}
    return {target for target in targets if target and not target.startswith("docs/")}


def resolved(origin: str, link: str) -> str | None:
    """Return the path in the repository that a link means; None for addresses and what is not there."""
    if ":" in link or link.startswith("/"):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    return target if (ROOT / target).exists() else None


def page_of(target: str) -> str:
    """Return the name of the page that shows a file or folder of the repository."""
    return f"source/{target}" if Path(target).suffix in PICTURES else f"source/{target}.page.md"


def source_page(target: str) -> str:
    """Return the page: Markdown as it is, programs as code, folders as a list."""
    path = ROOT / target
    if path.is_dir():
        rows = [
            f"- [{entry.name}]({path.name}/{entry.name})" for entry in sorted(path.iterdir()) if shown(entry)
        ]
        return f"# {target}/\n\n" + "\n".join(rows) + "\n"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return f"# {target}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n"


def shown(entry: Path) -> bool:
    """Return whether a folder's page lists an entry."""
    return (entry.is_file() and entry.suffix in SHOWN) or entry.name in SHOWN


def outside_fences(text: str, change: Any) -> str:
    """Apply `change` to the text between code blocks."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join([*parts, change(text[end:])])
