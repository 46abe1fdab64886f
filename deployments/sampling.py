"""`patterns samples`: something to try the platform on."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.terminal import AsJson, run_async, run_flow, show, tell, user_name


def samples(
    folder: Annotated[Path, typer.Argument(help="Folder of the sample data.")] = Path("examples"),
    as_json: AsJson = False,
) -> None:
    """Put the sample data where the forms of the deployments look for it.

    What is there stays as it is.
    """
    from deployments.server import use_server
    from infra.settings import get_settings

    use_server(get_settings().home)
    from tasks.document_collections import list_collections
    from tasks.sample_data import COLLECTIONS, put_samples

    async def put() -> tuple[list[str], set[str]]:
        done = await put_samples(folder, user_name())
        return done, {each.name for each in await list_collections()}

    done, there = run_async(put())
    for name, source in COLLECTIONS.items():
        if name in there:
            continue
        place = source if ":" in source else str((folder / source).absolute())
        tell(f"Ingesting {place} …")
        # One of the sample tickets has no text.
        request = {"source": place, "collection": name, "max_skipped": 1}
        run_flow("flows.rag.ingest_documents", request=request)
        done.append(f"the collection {name}")
    words = f"Put there: {', '.join(done)}." if done else "All of it is there."
    show({"put": done}, words, as_json=as_json)
