"""Runs the commands of the README, and checks what it points to.

Blocks marked `bash` are run, line by line, in a fresh folder that sees the project's `docs` and
`.venv`. Blocks marked `sh` (servers, other people's data) are checked for their first word only.
Links must lead to files.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
_BLOCK = re.compile(r"^```(bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:]+)\)")


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    return [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]


def unknown_commands(page: Path) -> list[str]:
    """Return the lines of `sh` blocks whose first word is no program of ours and no make target."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = []
    for kind, text in _BLOCK.findall(page.read_text()):
        for line in text.splitlines() if kind == "sh" else ():
            words = line.split("#")[0].split()
            if words[:1] == ["make"]:
                found += [line for word in words[1:] if word not in targets]
            elif words and not (ROOT / ".venv/bin" / words[0]).exists():
                found.append(line)
    return found


def run_commands(page: Path) -> str | None:
    """Run the `bash` blocks of a page; return what failed, or None."""
    script = "\n".join(text for kind, text in _BLOCK.findall(page.read_text()) if kind == "bash")
    if not script:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name in ("docs", ".venv"):
            (Path(folder) / name).symlink_to(ROOT / name)
        run = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return run.stdout if run.returncode else None


def main() -> int:
    """Check all pages; print what is wrong."""
    findings = [
        f"{page.relative_to(ROOT)}: {kind}: {finding}"
        for page in PAGES
        for kind, check in (("no such file", broken_links), ("unknown command", unknown_commands))
        for finding in check(page)
    ]
    for page in PAGES:
        failed = run_commands(page)
        if failed is not None:
            findings.append(f"{page.relative_to(ROOT)}: a command failed:\n{failed}")
    print("\n".join(findings) or f"{len(PAGES)} pages checked")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
