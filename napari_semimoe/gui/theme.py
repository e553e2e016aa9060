"""Colours of the panel, taken from napari's theme so that light and dark both read well."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours as ``#rrggbb``."""

    background: str
    foreground: str
    text: str
    faint: str
    accent: str
    accent_text: str
    good: str
    bad: str

    def text_on(self, color: str) -> str:
        """Return the colour of text that reads best on a colour."""
        return max((self.text, self.accent_text), key=lambda text: _contrast(text, color))


def palette_of(theme: str) -> Palette:
    """Return the palette that fits one of napari's themes."""
    colors = get_theme(theme)
    text = colors.text.as_hex(format="long")[:7]
    background = colors.background.as_hex(format="long")[:7]
    is_dark = _lightness(background) < 0.5
    return Palette(
        background=background,
        foreground=colors.foreground.as_hex(format="long")[:7],
        text=text,
        faint="#a0a6b0" if is_dark else "#5c626b",
        accent="#3f7fd6" if is_dark else "#1f5fb8",
        accent_text="#ffffff",
        good="#58b368" if is_dark else "#2c7a3d",
        bad="#e8705f" if is_dark else "#b3291a",
    )


def _lightness(color: str) -> float:
    red, green, blue = _parts(color)
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def blended(base: str, color: str, share: float) -> str:
    """Return a colour laid over another one; ``share`` in [0, 1] is its opacity."""
    parts = zip(_parts(base), _parts(color), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in parts)


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of the accessibility guidelines (WCAG 2, 1.4.3)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (each / 255 for each in _parts(color))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parts(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def style_sheet(palette: Palette, font_pt: int) -> str:
    """Return the few rules that the panel adds to napari's own style."""
    return f"""
    QLineEdit, QAbstractItemView, QHeaderView, QToolButton, QMenu, QTextEdit, QPlainTextEdit,
    QAbstractSpinBox {{ font-size: {font_pt}pt; }}
    QLabel[role="title"] {{ font-size: {max(14, font_pt)}pt; font-weight: 600; }}
    QLabel[role="heading"] {{ font-weight: 600; color: {palette.text}; padding-top: 4px; }}
    QLabel[role="faint"] {{ color: {palette.faint}; }}
    QPushButton[role="primary"] {{
        background-color: {palette.accent}; color: {palette.accent_text};
        font-weight: 600; padding: 8px; border-radius: 4px;
    }}
    QPushButton[role="primary"]:hover {{ background-color: {palette.accent}; }}
    QPushButton[role="primary"]:disabled {{
        background-color: {palette.foreground}; color: {palette.faint};
    }}
    QPushButton[role="tool"]:checked {{
        background-color: {palette.accent}; color: {palette.accent_text};
    }}
    QPushButton[role="step"] {{
        background-color: transparent; border: none; border-radius: 0;
        border-bottom: 3px solid {palette.foreground}; padding: 6px 2px; margin: 0;
        color: {palette.faint};
    }}
    QPushButton[role="step"]:hover {{ color: {palette.text}; }}
    QPushButton[role="step"]:checked {{
        border-bottom: 3px solid {palette.accent}; color: {palette.text}; font-weight: 600;
    }}
    QTreeWidget {{ background-color: {palette.foreground}; }}
    QPushButton[role="menu"]::menu-indicator {{ image: none; width: 0; }}
    QFrame[role="message-bad"] {{
        border-left: 4px solid {palette.bad}; background-color: {palette.foreground};
    }}
    QFrame[role="message-good"] {{
        border-left: 4px solid {palette.good}; background-color: {palette.foreground};
    }}
    """
