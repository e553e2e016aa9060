"""``semimoe keep``: what a window starts when its round shall go on without it."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_semimoe.cli.output import ProjectFolder, remark
from napari_semimoe.cli.work import engine
from napari_semimoe.session.keeper import keep as keep_round
from napari_semimoe.session.session import Session


def keep(
    project: ProjectFolder,
    number: Annotated[int, typer.Argument(help="The paused round.", show_default=False)],
) -> None:
    """Go on with a paused round; a window that opens the project takes it over."""
    with engine() as running:
        ended = keep_round(Session(running), project, number)
    remark(f"Round {number} has ended." if ended else f"Round {number} was handed over.")
