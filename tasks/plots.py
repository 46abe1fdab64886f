"""Plots as pictures for Markdown. They hold numbers, dates and ids, never words of others."""

import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCENT = "#1a5c78"
PALE = "#a9cbd9"
WARNING = "#c4572e"


def panels(count: int, width: float = 4.5, height: float = 3) -> "tuple[Figure, list[Any]]":
    """A figure of so many plots side by side, each so many inches wide and high, and their axes."""
    from matplotlib.figure import Figure  # without pyplot: no display, no global state

    figure = Figure(figsize=(width * count, height), dpi=110, layout="constrained")
    plots = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in plots:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, plots


def picture(figure: "Figure", caption: str) -> str:
    """The figure as a PNG inside a Markdown image."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return f"![{caption}](data:image/png;base64,{base64.b64encode(file.getvalue()).decode()})"
