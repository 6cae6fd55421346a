"""From log files to runs: which files are parts of one run, and which only repeat another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from analysis.part import Part
from analysis.readers import READERS
from analysis.readers.mm_json import MM_JSON
from analysis.readers.mm_text import MM_TEXT
from analysis.readers.naming import run_name, short, stamp
from analysis.relations import Piece, Relation, num_more, relation
from analysis.sources import Content, Source, read

_FAMILIES = tuple(dict.fromkeys(reader.family for reader in READERS))
_JOINED = frozenset({"lm-eval", "events"})
"""Families whose files in one folder are parts of one run, whatever they hold."""


@dataclass
class Run:
    """A run: its name, the parts it was read from in their order, and who else holds it."""

    name: str
    contents: list[Content]
    parts: list[Part]
    copies: list[tuple[Source, int]] = field(default_factory=list)
    """Files that hold the same run, and how many points more than this one."""
    anew: bool = False
    """Whether a later part begins anew, over an earlier one that ended before it."""


@dataclass
class Group:
    """The runs in the files under one name, and the files that could not be used."""

    runs: list[Run] = field(default_factory=list)
    failed: list[tuple[Source, str]] = field(default_factory=list)


def read_group(name: PurePosixPath, sources: Sequence[Source]) -> Group:
    """Read the files under one name, the preferred formats first, and tell their runs apart."""
    group = Group()
    contents: list[Content] = []
    covered: list[tuple[Source, Content]] = []
    for source in sources:
        if (other := next((c for c in contents if _covers(c.source, source)), None)) is not None:
            covered.append((source, other))
            continue
        content = read(source)
        if content.file.problem:
            group.failed.append((source, content.file.problem))
        else:
            contents.append(content)
    group.runs = _runs(name, contents)
    for source, other in covered:
        run = next(run for run in group.runs if other in run.contents or _copied(run, other.source))
        run.copies.append((source, 0))
    return group


def _copied(run: Run, source: Source) -> bool:
    return any(copy is source for copy, _ in run.copies)


def _covers(read: Source, source: Source) -> bool:
    """Tell whether a file holds the same run as one that is read, by what their writers do."""
    one, two = read.found.name, source.found.name
    if read.reader.family == "tune":
        return source.reader.family in ("tune", "events") and one.parent == two.parent
    if read.reader is MM_JSON and source.reader is MM_TEXT:
        same_name = one.parent == two.parent and short(one) == short(two)
        return same_name or (stamp(one) == stamp(two) != "")
    return False


def _runs(name: PurePosixPath, contents: Sequence[Content]) -> list[Run]:
    inner: dict[str, list[Content]] = {}
    for content in contents:
        for below, part in content.parts.items():
            if part.metrics:
                inner.setdefault(below, []).append(content)
    return [
        run for below, found in inner.items() for run in _named(name, below, _apart(below, found))
    ]


def _apart(below: str, contents: Sequence[Content]) -> list[Run]:
    """Return the runs in the files, which all have this name below that of the file."""
    if len(contents) == 1 or {_family(content) for content in contents} == {"lm-eval"}:
        return [Run("", list(contents), [content.parts[below] for content in contents])]
    pieces = [Piece.of(content, content.parts[below]) for content in contents]
    runs: list[tuple[Run, list[Piece]]] = []
    for piece in sorted(pieces, key=lambda piece: (_FAMILIES.index(piece.family), piece.order)):
        _place(piece, runs)
    return [run for run, _ in runs]


def _place(piece: Piece, runs: list[tuple[Run, list[Piece]]]) -> None:
    """Add `piece` to the run that it belongs to, or as a run of its own."""
    source = piece.content.source
    for run, known in runs:
        for place, old in enumerate(known):
            match _relation(piece, old):
                case Relation.COPY:
                    run.copies.append((source, num_more(piece, old)))
                    return
                case Relation.LARGER:
                    run.copies.append((old.content.source, 0))
                    known[place], run.contents[place] = piece, piece.content
                    run.parts[place] = piece.part
                    return
        if all(_relation(piece, old) is Relation.PART for old in known):
            run.anew = run.anew or (piece.begins_anew and piece.family == "openmmlab")
            known.append(piece)
            run.contents.append(piece.content)
            run.parts.append(piece.part)
            return
    runs.append((Run("", [piece.content], [piece.part]), [piece]))


def _relation(new: Piece, old: Piece) -> Relation:
    both = {new.family, old.family}
    return Relation.PART if len(both) == 1 and both <= _JOINED else relation(new, old)


def _named(name: PurePosixPath, below: str, runs: list[Run]) -> Iterable[Run]:
    for run in runs:
        found, family = run.contents[0].source.found, _family(run.contents[0])
        own = name if len(runs) == 1 else run_name(found.name, family, alone=False)
        shown = str(own / below) if own.parts or below else found.root or short(found.name)
        run.name = f"{shown}/events" if len(runs) > 1 and family == "events" else shown
        yield run


def _family(content: Content) -> str:
    return content.source.reader.family
