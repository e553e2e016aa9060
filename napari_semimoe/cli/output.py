"""What the commands say: results on stdout, progress and remarks on stderr."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.project.masks import MaskKind
from napari_semimoe.project.records import counted

ProjectFolder = Annotated[Path, typer.Argument(help="The project's folder.", show_default=False)]
UmPerPx = Annotated[
    float | None,
    typer.Option("--um-per-px", min=0.01, max=100, help="Microns per pixel, whatever files say."),
]


MaskKindOption = Annotated[
    MaskKind, typer.Option("--mask-kind", help="What mask values mean: 'instances' or 'classes'.")
]
#: What a result may be told in.
Part = str | Table | Tree
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def typed(path: Path) -> str:
    """Return a path as it is typed on this system's command line."""
    if os.name == "nt":  # cmd does not know single quotes
        return subprocess.list2cmdline([str(path)])
    return shlex.quote(str(path))


def remark(text: str) -> None:
    """Say something beside the result."""
    typer.echo(text, err=True)


def refusals(refused: Iterable[Sequence[str]], without_scale: Sequence[str]) -> None:
    """Say why files were refused, once for all of those that do not say their scale.

    Parameters
    ----------
    refused
        File and sentence of each; most sentences name it.
    without_scale
        Those files that do not say it.
    """
    for file, sentence in refused:
        name = Path(file).name
        if file not in without_scale:
            remark(sentence if name in sentence else f"{name}: {sentence}")
    if without_scale:
        do = "does" if len(without_scale) == 1 else "do"
        remark(
            f"{counted(len(without_scale), 'file')} {do} not say how large a pixel is: give "
            "--um-per-px, 0.5 for a 20x scan."
        )


@contextmanager
def told_as(options: Mapping[str, str]) -> Iterator[None]:
    """Let a wrong setting be told under the name of the option that gave it."""
    try:
        yield
    except SettingsError as error:
        raise error.renamed(options) from error


#: Columns of a table that no person reads.
_WIDE = 4096


class _Console(Console):
    """Ends in peace where the reader, such as ``head``, has seen enough."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(0) from None


def result(data: Mapping[str, Any], text: Part | Sequence[Part], as_json: bool) -> None:
    """Print a result once: for a program, or for a person."""
    if as_json:
        typer.echo(json.dumps(data, indent=2, default=str))
        return
    # a program that reads tables gets them whole
    is_read = sys.stdout is not None and sys.stdout.isatty()
    width = None if is_read or "COLUMNS" in os.environ else _WIDE
    console = _Console(highlight=False, soft_wrap=True, width=width)
    for part in [text] if isinstance(text, Part) else text:
        console.print(part, markup=False) if isinstance(part, str) else console.print(part)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a plain table; numbers are given three decimals, small ones three digits."""
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    return shown


def progress() -> Progress:
    """Return a progress bar on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_Console(stderr=True),
    )


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> Table:
    """Return names and their values, one a line."""
    shown = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    for name, value in pairs:
        shown.add_row(name.replace("_", " "), _cell(value))
    return shown


def _cell(value: object) -> Text:
    """Return a value as it is; brackets in what a person wrote are no markup."""
    if value is None:
        return Text("-")
    if isinstance(value, float):
        return Text(f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.3f}")
    return Text(str(value))
