"""Where the command begins: Ctrl+C is answered while the others are still being imported."""

from __future__ import annotations


def main() -> int:
    """Run the command and return its exit code."""
    try:
        from napari_semimoe.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130
