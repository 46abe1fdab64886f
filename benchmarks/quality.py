"""How good recursive summaries are, measured: `python -m benchmarks.quality PART FILE …`.

    grouping FILE …           themes against labels that people gave, beside k-means and Ward
    rare FILE OTHER           what becomes of themes of one ticket in a thousand
    halves FILE               whether two halves of a corpus have the same largest themes
    packs FILE                how many passages a model reads well in one call (--plot PNG)
    strategies FILE           `read` beside `embed`: quality, calls, cost, what a person sees
    meetings FILE QUERIES     cited turns against those that people marked, beside map-reduce

FILE is a Parquet table with text and label; rows that are marked in a column is_oos are left out.
For meetings it has meeting_id, n_words and transcript ("[0] speaker: words", a line a turn), and
QUERIES has meeting_id, kind and relevant_spans, as QMSum has them. The model is the settings' own;
what it was asked in the same PATTERNS_HOME before is not asked again. Needs scikit-learn.
"""

import argparse
import asyncio
from pathlib import Path

import pandas as pd

from benchmarks.servers import home


def labelled(path: Path) -> pd.DataFrame:
    """The texts of a table that have a label."""
    table = pd.read_parquet(path)
    if "is_oos" in table:
        table = table[~table["is_oos"].astype(bool)]
    return table[table["text"].str.strip() != ""].reset_index(drop=True)


def sampled(table: pd.DataFrame, most: int | None, seed: int = 0) -> pd.DataFrame:
    """So many rows of a table, or all."""
    return table if most is None or most >= len(table) else table.sample(most, random_state=seed)


async def measured(given: argparse.Namespace) -> None:
    """Measure the part that was asked for, and print it."""
    from infra.llm import close_door

    try:
        match given.part:
            case "grouping":
                await _grouping(given)
            case "rare":
                from benchmarks.theme_quality import rare_themes

                tables = labelled(given.files[0]), labelled(given.files[1])
                print("\n".join(await rare_themes(*tables, given.planted)))
            case "halves":
                from benchmarks.theme_quality import halves, skewed

                table = labelled(given.files[0])
                for seed in range(given.seeds):
                    print(await halves(table, seed), flush=True)
                    print("skewed:", await halves(skewed(table, seed), seed), flush=True)
            case "packs":
                await _packs(given)
            case "strategies":
                from benchmarks.strategies import compared

                texts = labelled(given.files[0]).sample(frac=1, random_state=0)
                lines = await compared(texts[: given.most or 64], tuple(given.price))
                print("\n".join(lines))
            case "meetings":
                from benchmarks.meetings import against_people

                tables = pd.read_parquet(given.files[0]), pd.read_parquet(given.files[1])
                await against_people(*tables, given.most or 3, given.strategy)
    finally:
        await close_door()


async def _grouping(given: argparse.Namespace) -> None:
    from benchmarks.theme_quality import grouping

    for path in given.files:
        for seed in range(given.seeds):
            table = sampled(labelled(path), given.most or 2000, seed)
            print("\n".join(await grouping(f"{path.stem}, seed {seed}", table)), flush=True)


async def _packs(given: argparse.Namespace) -> None:
    from benchmarks.pack_sizes import HEADING, SIZES, as_they_are, plot, read_in_packs

    table = labelled(given.files[0]).sample(frac=1, random_state=0)
    most = min(given.most or 64, len(table))
    print(f"{most} of {len(table)} texts, {table['label'].nunique()} labels\n{HEADING}")
    print(await as_they_are(table, most), flush=True)
    readings = []
    for size in given.sizes or SIZES:
        readings.append(await read_in_packs(table, most, size))
        print(readings[-1].line, flush=True)
    if given.plot:
        plot(readings, given.plot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parts = ["grouping", "rare", "halves", "packs", "strategies", "meetings"]
    parser.add_argument("part", choices=parts)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--most", type=int, help="texts or meetings that are used")
    parser.add_argument("--seeds", type=int, default=2, help="samples or cuts")
    parser.add_argument("--planted", type=int, default=20, help="rare themes")
    parser.add_argument("--strategy", choices=["embed", "read"], default="embed")
    parser.add_argument("--price", type=float, nargs=2, default=[0.4, 1.6], help="USD a million")
    parser.add_argument("--sizes", type=int, nargs="*", help="passages a call")
    parser.add_argument("--plot", type=Path, help="write the curves to this PNG")
    given = parser.parse_args()
    wanted = 2 if given.part in ("rare", "meetings") else 1
    if len(given.files) < wanted:
        parser.error(f"{given.part} needs {wanted} files")
    with home(named=True):
        asyncio.run(measured(given))


if __name__ == "__main__":
    main()
