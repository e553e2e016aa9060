"""The command ``semimoe``: the same session as the window, without a window.

Exit codes: 0 done, 1 an error told in one sentence on stderr, 2 wrong usage, 130 interrupted
(what was done is saved).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_semimoe import __version__
from napari_semimoe.cli import (
    check,
    demo,
    evaluate,
    export,
    keep,
    predict,
    projects,
    rounds,
    train,
    weights,
    worker,
)
from napari_semimoe.core.errors import SemiMoEError, SettingsError
from napari_semimoe.core.log_file import LogFile, default_log_dir


class _Commands(TyperGroup):
    """All commands; typer would end an interrupted one without a word."""

    def invoke(self, ctx: Any) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _InterruptedError from error


class _InterruptedError(Exception):
    """Ctrl+C, where the command itself had nothing to say about it."""


app = typer.Typer(
    cls=_Commands,
    help="Teach a Semi-MoE network to segment tissue, from the command line.",
    epilog="A first project: semimoe new P; semimoe add P IMAGES --um-per-px 0.5; semimoe train P; "
    "semimoe predict P; semimoe export P OUT. Without data of your own: semimoe demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in help are what they say
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("new")(projects.new)
app.command("add")(projects.add)
app.command("classes")(projects.classes)
app.command("info")(projects.info)
app.command("predict")(predict.predict)
app.command("train")(train.train)
app.add_typer(rounds.app, name="rounds")
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.command("check")(check.check)
app.command("import-weights")(weights.import_weights)
app.command("worker")(worker.worker)
app.command("keep", hidden=True)(keep.keep)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a letter that a file's encoding lacks becomes a "?"
            stream.reconfigure(errors="replace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="semimoe")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (_InterruptedError, KeyboardInterrupt):
        return _fail("Interrupted. What was done is kept; the same command does the rest.", 130)
    except SettingsError as error:
        return _fail(str(error), 2)
    except SemiMoEError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        return 0
    except OSError as error:
        return _fail(f"The system refused: {error}. Check the path and its permissions.", 1)
    except Exception as error:  # the command line's one place that catches everything
        return _fail(f"{error}. This is a fault of semimoe; the whole story is in {_log()}.", 1)
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"semimoe {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _fail(sentence: str, code: int) -> int:
    print(f"semimoe: {sentence}", file=sys.stderr)
    return code


def _log() -> Path:
    """Write the present exception to the command line's log and return its path."""
    log = LogFile(default_log_dir() / "command-line.log")
    logging.getLogger(__name__).exception("semimoe %s failed: %s", __version__, sys.argv)
    log.close()
    return log.path
