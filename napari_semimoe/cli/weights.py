"""``semimoe import-weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_semimoe.cli.output import Json, result
from napari_semimoe.core.checkpoint_info import read_info
from napari_semimoe.core.errors import StorageError


def import_weights(
    source: Annotated[
        Path, typer.Argument(help="The authors' checkpoint (.pth).", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The .safetensors file to write; a .json goes beside it.",
            show_default=False,
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace both if they exist.")] = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint of the method's authors.

    It becomes a safetensors file. Only tensors are read from it, no code in it can run. Use the
    result with semimoe predict IMAGES --weights OUT --out MASKS
    """
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"--out must end in .safetensors, got {out.name}.")
    for path in (out, out.with_suffix(".json")):
        if path.exists() and not force:
            raise StorageError(f"{path} exists already. Name another file, or add --force.")
    from napari_semimoe.model.authors import import_authors  # torch: seconds

    import_authors(source, out)
    info = read_info(out)
    result(
        {"weights": str(out), "model": info.model.model_dump()},
        f"{out} written: {info.model.architecture}, width {info.model.width}, "
        f"classes {', '.join(info.model.classes)}.",
        as_json,
    )
