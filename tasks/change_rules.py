"""What may be changed in which records: a file of rules, held against the database's catalogue.

    tables:
      crm.customers:
        find_by: [id, email]             # columns by which a record may be named
        max_rows: 5                      # most records that one request may change
        where: "region <> 'internal'"    # SQL; only such records may be touched
        change:
          plan: {risk: low, one_of: [free, team, company]}
          credit: {min: 0, max: 500, max_change: 100}
          email: {pattern: '[^@ ]+@[^@ ]+', required: true}
    low_risk_rows: 1                     # most records that are changed without a review

Types, keys, enums and what may be null are the database's own to tell. To register rules grants two
roles exactly what they allow: one reads for the model's side, one applies what was approved.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from infra.errors import DatabaseError, DatabaseUnavailable, InputError, SettingsError
from infra.guarded_tables import Place, grant, require_roles, role_statements, run_script
from infra.postgres import Jsonb, fetch, transaction
from infra.sql import queries
from tasks.suggestions import did_you_mean


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnRule(_Rules):
    """What a column may become. ``risk``: whether a person has to see it; ``pattern``: that the
    whole value has to match; ``max_change``: most by which a number may grow or shrink;
    ``required``: it may not become null. ``type`` and the enum's labels come from the catalogue."""

    risk: Literal["low", "high"] = "high"
    one_of: tuple[str, ...] | None = None
    pattern: str | None = None
    min: float | None = None
    max: float | None = None
    max_change: float | None = Field(None, ge=0)
    required: bool = False

    @field_validator("one_of", mode="before")
    @classmethod
    def _as_written(cls, values: Any) -> Any:
        return [str(each) for each in values] if isinstance(values, list) else values

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"it is no regular expression: {error}") from None
        return pattern


class TableRule(_Rules):
    """What may be changed in a table. ``key`` and ``types`` come from the catalogue."""

    find_by: tuple[str, ...] = Field(min_length=1)
    change: dict[str, ColumnRule] = Field(min_length=1)
    max_rows: int = Field(5, ge=1, le=1000)
    where: str | None = None
    key: str = ""
    types: dict[str, str] = Field(default_factory=dict)

    @property
    def readable(self) -> list[str]:
        """The columns that are read before anything is approved: those that say which record, those
        that may be changed, and those that ``where`` speaks of."""
        spoken = {
            name for name in self.types if re.search(rf"\b{re.escape(name)}\b", self.where or "")
        }
        return sorted({self.key, *self.find_by, *self.change, *spoken})

    def place(self, name: str) -> Place:
        """Where its records are."""
        return Place(name, self.key, self.types, self.where)


class Rules(_Rules):
    """All that may be changed, by schema.table. ``low_risk_rows``: most records that are changed
    without a review, where every column of them is of low risk."""

    tables: dict[str, TableRule] = Field(min_length=1)
    low_risk_rows: int = Field(1, ge=0)

    @property
    def version(self) -> str:
        """SHA-256 (hex) of the rules."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def fields(self) -> dict[str, tuple[str, str]]:
        """Table and column by schema.table.column, of all that may be changed."""
        return {
            f"{table}.{column}": (table, column)
            for table, rule in self.tables.items()
            for column in rule.change
        }

    @property
    def readable(self) -> dict[str, list[str]]:
        """The columns that are read before anything is approved, by table."""
        return {name: table.readable for name, table in self.tables.items()}

    @property
    def writable(self) -> dict[str, list[str]]:
        """The columns that may be changed, by table."""
        return {name: sorted(table.change) for name, table in self.tables.items()}


async def register(path: Path, by: str) -> Rules:
    """Make the rules of a file those that hold, and grant the two roles what they allow.

    Raises InputError naming file, table and column, SettingsError where a role or a right is
    missing, with what a superuser has to run.
    """
    source = str(path)
    rules = await held_against_catalogue(read_rules(path), source)
    await require_roles()
    try:
        async with transaction() as connection:
            await grant(connection, rules.readable, rules.writable)
            kept = {"version": rules.version, "rules": Jsonb(rules.model_dump(mode="json"))}
            await connection.execute(queries()["keep_rules"], {**kept, "by": by})
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        raise SettingsError(
            f"{source}: the rights cannot be granted: {error} They are the tables' owner's to "
            f"give. The roles are made by:\n{role_statements()}"
        ) from error
    return rules


async def set_up(path: Path) -> None:
    """Run a file of SQL, such as the sample's tables. Raises InputError where it does not run."""
    try:
        await run_script(_text(path))
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        raise InputError(f"{path}: {error} Nothing of it was kept.") from error


async def current_rules() -> Rules:
    """The rules that hold. Raises InputError when none were registered."""
    rows = await fetch("current_rules")
    if not rows:
        raise InputError(
            "Nothing may be changed yet: no rules are registered. "
            "`patterns changes rules FILE` registers a file such as examples/crm/rules.yaml."
        )
    return Rules.model_validate(rows[0]["rules"])


def read_rules(path: Path) -> Rules:
    """The rules of a YAML file. Raises InputError naming file and field."""
    return parse_rules(_text(path), str(path))


def parse_rules(text: str, source: str) -> Rules:
    """Rules written in YAML. Raises InputError naming source and field."""
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source} is not YAML: {error}") from error
    try:
        return Rules.model_validate(written)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{source}: {'; '.join(faults)}.") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Name a text file in UTF-8.") from error


async def held_against_catalogue(rules: Rules, source: str) -> Rules:
    """The rules, with what the catalogue says of tables and columns. Raises InputError naming
    source, table and column where it knows better."""
    there = [row["name"] for row in await fetch("tables_there")]
    tables = {}
    for name, table in rules.tables.items():
        if name not in there:
            raise InputError(
                f"{source}: there is no table {name}; it is written schema.table."
                f"{did_you_mean(name, there)}"
            )
        schema, _, bare = name.partition(".")
        rows = await fetch("catalogue", {"schema": schema, "table": bare})
        tables[name] = _typed(table, rows, f"{source}: {name}")
    return rules.model_copy(update={"tables": tables})


def _typed(table: TableRule, rows: list[dict[str, Any]], where: str) -> TableRule:
    """The rules of a table, with what the catalogue says of its columns."""
    columns = {row["name"]: row for row in rows}
    for column in (*table.find_by, *table.change):
        if column not in columns:
            near = did_you_mean(column, columns)
            raise InputError(f"{where} has no column {column}.{near}")
    key = rows[0]["key"] or []
    if len(key) != 1:
        raise InputError(f"{where} has no primary key of one column: its records have no name.")
    if key[0] in table.change:
        raise InputError(f"{where}.{key[0]} is the key: it is what a record is known by.")
    return table.model_copy(
        update={
            "key": key[0],
            "types": {name: row["type"] for name, row in columns.items()},
            "change": {
                name: _with_labels(rule, columns[name], f"{where}.{name}")
                for name, rule in table.change.items()
            },
        }
    )


def _with_labels(rule: ColumnRule, row: dict[str, Any], where: str) -> ColumnRule:
    if row["made_by_database"]:
        raise InputError(f"{where} is made by the database itself: it cannot be changed.")
    labels = row["labels"]
    if labels and rule.one_of and (unknown := {*rule.one_of} - {*labels}):
        raise InputError(f"{where}: its type has no {', '.join(sorted(unknown))}.")
    return rule.model_copy(
        update={
            "one_of": rule.one_of or (tuple(labels) if labels else None),
            "required": rule.required or not row["nullable"],
        }
    )
