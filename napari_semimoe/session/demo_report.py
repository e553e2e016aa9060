"""What a demo that ran by itself leaves behind: a few lines and pictures."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

from napari_semimoe import __version__
from napari_semimoe.core.errors import ProjectError
from napari_semimoe.project.records import RoundRecord

FILE_NAME = "report.md"
#: Folder of the curated masks beside it.
EXPORT = "export"
_TITLE = "# The loop, once"


def refuse_foreign_report(folder: Path) -> None:
    """Raise where the report and its pictures would replace files that no demo wrote.

    Raises
    ------
    ProjectError
        If the folder has such files.
    """
    path = folder / FILE_NAME
    taken: Path | None = path
    try:
        if path.read_text(encoding="utf-8").startswith(_TITLE):
            return
    except FileNotFoundError:
        taken = next(folder.glob("[0-9][0-9]-*.png"), None)
    except (OSError, ValueError):
        pass
    if taken is not None:
        raise ProjectError(
            f"{taken} is in the way: it is not of an earlier demo. Name another folder with --out."
        )


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One thing that was done, when, and how it looked."""

    title: str
    text: str
    seconds: float  # since the beginning
    picture: Path | None = None


@dataclass(slots=True)
class DemoReport:
    """Collects the steps and writes them as markdown beside their pictures."""

    folder: Path
    manner: str  # "in a real window" or "without a window"
    steps: list[DemoStep] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic, init=False)

    def add(self, title: str, text: str, picture: Path | None = None) -> DemoStep:
        """Note a step and say it on the terminal."""
        step = DemoStep(title, text, time.monotonic() - self._start, picture)
        self.steps.append(step)
        print(f"{step.seconds:6.1f} s  {title}. {text}", flush=True)
        return step

    def write(self) -> Path:
        """Write the report and return its path."""
        lines = [
            _TITLE,
            "",
            f"semimoe {__version__} {self.manner}, on {platform.platform()}, "
            f"Python {platform.python_version()}.",
        ]
        for step in self.steps:
            lines += ["", f"## {step.title} ({step.seconds:.1f} s)"]
            lines += ["", step.text] if step.text else []
            if step.picture is not None:
                lines += ["", f"![{step.title}]({step.picture.relative_to(self.folder)})"]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / FILE_NAME
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @staticmethod
    def sentence_of(record: RoundRecord) -> str:
        """Say how a round ended."""
        report = record.report or {}
        text = f"Round {record.number} is {record.state}"
        if "steps" in report:
            text += f" after {report['steps']} steps in {report['seconds']:.0f} s"
        new, old = report.get("validation"), report.get("base_validation")
        if new and old:
            text += f"; Dice on {new['tiles']} validation tiles {old['dice']:.3f} before, "
            text += f"{new['dice']:.3f} now"
        return text + "."
