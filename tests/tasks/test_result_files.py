"""Tables as files."""

from pathlib import Path

import pandas as pd
import pytest

from infra.errors import InputError
from tasks.result_files import require_writable, write_table

TABLE = pd.DataFrame({"id": ["T-1", "T-2"], "text": ["one, two", "é\n"]})
READ = {
    ".csv": pd.read_csv,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
    ".parquet": pd.read_parquet,
}


@pytest.mark.parametrize("suffix", READ)
def test_what_is_written_is_read_again_and_replaces_what_was_there(
    tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"table{suffix}"
    file.write_text("old")
    write_table(TABLE, file)
    assert READ[suffix](file).to_dict() == TABLE.to_dict()
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    require_writable(None)
    require_writable(str(tmp_path / "a.csv"))
    with pytest.raises(InputError, match=r"has to end in one of \.csv, \.jsonl, \.parquet"):
        require_writable(str(tmp_path / "a.txt"))
    with pytest.raises(InputError, match="its folder does not exist"):
        require_writable(str(tmp_path / "nowhere" / "a.csv"))
