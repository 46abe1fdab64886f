"""Cost against the size of a corpus, as a picture."""

from pathlib import Path

from benchmarks.results import Results
from tasks.plots import ACCENT, WARNING, panels


def plot(results: Results, path: Path) -> None:
    """Model calls and USD by tickets, of a first run, of the same again and of one ticket more."""
    sizes = results.of("scale")
    simulated = results.of("million")
    growth = {row["tickets"]: row for row in results.of("growth") if row["change"] == "one added"}
    figure, plots = panels(2, 3.6)
    for axes, cell, name in zip(plots, ("calls", "cost_usd"), ("model calls", "USD"), strict=True):
        for run, colour in (("first run", ACCENT), ("the same again", WARNING)):
            points = {row["tickets"]: row[cell] or 0 for row in sizes if row["run"] == run}
            points |= {row["tickets"]: row[cell] for row in simulated if run == "first run"}
            axes.plot(*zip(*sorted(points.items()), strict=True), "o-", color=colour, label=run)
        if growth:
            some = {size: row[cell] or 0 for size, row in growth.items()}
            axes.plot(list(some), list(some.values()), "s", color="black", label="one ticket more")
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=1 if cell == "calls" else 0.001)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("tickets", fontsize=8)
        axes.set_title(name, fontsize=9)
    plots[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, format="png")
