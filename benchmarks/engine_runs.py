"""One run of one system on the tree, measured."""

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.extracts import CODE
from benchmarks.tree_runs import work_of
from benchmarks.trees import limit_as_ready, limit_level_by_level


def systems(bench: Path | None) -> list[str]:
    """What can be run here."""
    return [*peers.OURS, *peers.BY_HAND, *peers.installed(bench)]


def measure(
    system: str, tickets: Path, endpoint: str, seed: int, *, pack: bool, bench: Path | None
) -> dict[str, Any] | None:
    """Seconds, those of its own limit, calls, tokens, CPU and memory; None for a system that
    always packs where nothing is to be packed.

    The limit is that of the same calls for a client that takes no time.
    """
    if system in peers.PACKS_ALWAYS and not pack:
        return None
    peers.reset(endpoint, seed)
    with tempfile.TemporaryDirectory() as folder:
        command, environment = peers.command_of(
            system, tickets, f"{endpoint}/v1", Path(folder), pack=pack, bench=bench
        )
        # A name of its own, or the replies of an earlier seed would be found again.
        environment["PATTERNS_CHAT_MODEL"] = f"openai:{system.replace(' ', '-')}-{seed}"
        spent, out = peers.run(command, environment), Path(folder) / "out.json"
        if spent.status or not out.exists():
            raise SystemExit(f"{system} ended with {spent.status}.")
        said = json.loads(out.read_text())
    called = peers.log(endpoint)
    if system.endswith("as ready"):
        limit = limit_as_ready(work_of(tickets, pack=pack, bench=bench), seed)
    else:
        limit = limit_level_by_level(called)
    return {
        "system": system,
        "wall_s": said["wall_s"],
        "limit_s": limit,
        "x_own": said["wall_s"] / limit,
        "calls": len(called),
        "tokens_in": sum(call.tokens_in for call in called),
        "tokens_out": sum(call.tokens_out for call in called),
        "cpu_s": spent.cpu,
        "mb": spent.memory,
        "first_s": called[0].came - spent.started,
        "codes": len(set(CODE.findall(said["final"]))),
    }
