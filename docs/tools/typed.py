"""Has a type checker read the blocks of the README and of the pages, as those who copy them do: ``python -m docs.tools.typed``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mypy import api

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OPENS = re.compile(r"^(?:(```) ?(?:python|\{ \.py .*\})|<!-- invisible-code-block: python)$")
INCLUDES = "--8<--"
"""What includes a file, which is checked where it lies."""
OF_OTHERS = {"from-celery.md", "from-dbos.md", "from-langgraph.md", "from-prefect.md", "from-temporal.md"}
"""Pages that show the code of other libraries, which are not installed."""
LENIENT = ("no-redef", "import-not-found", "import-untyped")
"""A page is checked as one function: a name may come twice, and what a reader has yet to write is not there."""


def pages() -> Iterator[Path]:
    """All that have blocks."""
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        if page.name not in OF_OTHERS:
            yield page


def blocks_of(text: str) -> str:
    """The blocks of a page as the body of a function, each line at its place: a block may await."""
    end: str | None = None
    lines = ["async def page() -> None:"]
    for line in text.splitlines()[1:]:
        opening = OPENS.match(line)
        is_code = end is not None and line != end and not line.startswith(INCLUDES)
        lines.append(f"    {line}" if is_code and line else "")
        if end is None and opening is not None:
            end = "```" if opening[1] else "-->"
        elif line == end:
            end = None
    return "\n".join([*lines, "    return", ""])


def main() -> int:
    """Check all of them; gives what the process ends with."""
    with TemporaryDirectory() as folder:
        files: dict[str, Path] = {}
        for page in pages():
            name = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
            files[name] = page.relative_to(ROOT)
            (Path(folder) / f"{name}.py").write_text(blocks_of(page.read_text("utf-8")), "utf-8")
        told, trouble, code = api.run(
            [
                "--config-file=", "--strict", "--allow-redefinition", f"--python-executable={sys.executable}",
                *(f"--disable-error-code={error}" for error in LENIENT), *map(str, sorted(Path(folder).glob("*.py"))),
            ]
        )  # fmt: skip
        told = re.sub(
            r"^.*?(\w+)\.py(?=:\d+: )", lambda found: str(files[found[1]]), told, flags=re.MULTILINE
        )
    print(told + trouble, end="")
    return code


if __name__ == "__main__":
    sys.exit(main())
