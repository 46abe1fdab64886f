"""`patterns backup` and `restore`, on a platform that is up."""

from pathlib import Path

from tests.deployments.conftest import Terminal


def records(terminal: Terminal) -> int:
    kept = terminal.result("corpus", "list")["corpora"]
    return next(int(each["records"]) for each in kept if each["name"] == "kept")


def test_what_was_there_when_the_platform_was_backed_up_is_there_after_a_restore(
    terminal: Terminal, api: str, tmp_path: Path
) -> None:
    tickets, file = tmp_path / "kept.csv", str(tmp_path / "patterns.tar")
    tickets.write_text("id,text\nT-1,The lamp hums.\nT-2,Where is my order?\n")
    terminal.result("corpus", "add", str(tickets), "kept")
    made = terminal.result("backup", file)
    assert Path(made["file"]).stat().st_size == made["bytes"]
    terminal.result("corpus", "remove", "kept", "--id", "T-1")
    assert records(terminal) == 1
    early = terminal.patterns("restore", file)
    assert (early.returncode, "patterns down" in early.stderr) == (1, True)
    terminal.result("down")
    terminal.result("restore", file)
    assert records(terminal) == 2
    terminal.result("up")
