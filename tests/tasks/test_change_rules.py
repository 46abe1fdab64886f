"""What a file of rules may say, and what PostgreSQL then refuses by itself."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.errors import InputError, SettingsError
from infra.guarded_tables import role_statements
from infra.health import missing_roles
from infra.settings import get_settings
from tasks.change_rules import current_rules, read_rules, register
from tests.tasks.guarded_records import CRM, guarded

TABLES = ("customers", "subscriptions", "tickets", "payment_methods")


def as_role(database: str, role: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


async def test_rules_are_completed_by_the_catalogue(database: str) -> None:
    rules = await guarded(database)
    customers, subscriptions = (rules.tables[f"crm.{t}"] for t in ("customers", "subscriptions"))
    assert customers.key == "id"
    assert customers.types["credit"] == "numeric(10,2)"
    assert customers.change["phone"].required is False
    assert subscriptions.change["plan"].one_of == ("free", "team", "company")
    assert subscriptions.change["seats"].required is True
    assert await current_rules() == rules


async def test_without_rules_nothing_may_be_changed(database: str) -> None:
    with pytest.raises(InputError, match="no rules are registered"):
        await current_rules()


@pytest.mark.parametrize(
    "statement",
    [
        "insert into crm.{table} default values",
        "update crm.{table} set {column} = null",
        "delete from crm.{table}",
        "truncate crm.{table}",
        "drop table crm.{table}",
        "alter table crm.{table} add column x int",
        "create table crm.other (x int)",
        "select * from crm.{table}",
        "select * from patterns.change_rules",
        "insert into patterns.changes default values",
    ],
)
@pytest.mark.parametrize("table", TABLES)
async def test_the_models_side_is_refused_by_postgresql_itself(
    database: str, table: str, statement: str
) -> None:
    await guarded(database)
    column = "iban" if table == "payment_methods" else "customer"
    text = statement.format(table=table, column="name" if table == "customers" else column)
    before = everything(database)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(database, get_settings().proposer_role, text)
    assert everything(database) == before


def everything(database: str) -> list[object]:
    with psycopg.connect(database) as connection:
        return [
            connection.execute(f"select t::text from crm.{table} as t order by 1").fetchall()
            for table in TABLES
        ]


async def test_the_models_side_reads_the_columns_of_the_rules_and_no_others(database: str) -> None:
    await guarded(database)
    proposer = get_settings().proposer_role
    assert as_role(database, proposer, "select id, name, email, phone, credit from crm.customers")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(database, proposer, "select notes from crm.customers")


@pytest.mark.parametrize(
    "statement",
    [
        "update crm.customers set name = 'Eve'",
        "update crm.customers set id = 77 where id = 1",
        "update crm.payment_methods set iban = 'x'",
        "select * from crm.payment_methods",
        "insert into crm.tickets (id, customer, status, priority) values ('x', 1, 'open', 'low')",
        "delete from crm.tickets",
    ],
)
async def test_who_applies_may_change_the_columns_of_the_rules_and_nothing_else(
    database: str, statement: str
) -> None:
    await guarded(database)
    applier = get_settings().applier_role
    as_role(database, applier, "update crm.customers set phone = null where id = 3")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(database, applier, statement)


async def test_new_rules_take_away_what_the_old_ones_gave(database: str, tmp_path: Path) -> None:
    await guarded(database)
    file = tmp_path / "less.yaml"
    file.write_text("tables: {crm.tickets: {find_by: [id], change: {status: {}}}}")
    await register(file, "Zoe")
    applier, proposer = get_settings().applier_role, get_settings().proposer_role
    for role, statement in (
        (applier, "update crm.customers set phone = null"),
        (applier, "update crm.tickets set assignee = null"),
        (proposer, "select email from crm.customers"),
        (proposer, "select assignee from crm.tickets"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(database, role, statement)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tables: {crm.custmers: {find_by: [id], change: {phone: {}}}}", "no table crm.custmers"),
        ("tables: {crm.custmers: {find_by: [id], change: {phone: {}}}}", "mean 'crm.customers'"),
        ("tables: {customers: {find_by: [id], change: {phone: {}}}}", "written schema.table"),
        (
            "tables: {crm.customers: {find_by: [id], change: {phon: {}}}}",
            "crm.customers has no column phon. Did you mean 'phone'?",
        ),
        ("tables: {crm.customers: {find_by: [ID2], change: {phone: {}}}}", "no column ID2"),
        ("tables: {crm.customers: {find_by: [name], change: {id: {}}}}", "is the key"),
        ("tables: {crm.subscriptions: {find_by: [id], change: {plan: {one_of: [gold]}}}}", "gold"),
        ("tables: {crm.customers: {find_by: [id], change: {phone: {pattern: '('}}}}", "expression"),
        ("tables: {crm.customers: {find_by: [id], change: {phone: {risky: 1}}}}", "risky: Extra"),
        ("tables: {crm.customers: {find_by: [], change: {phone: {}}}}", "find_by: Tuple should"),
        ("tables: [", "is not YAML"),
        ("", "valid dictionary"),
        ("tables: {patterns.changes: {find_by: [id], change: {text: {}}}}", "no table patterns."),
    ],
)
async def test_a_file_of_rules_that_does_not_fit_is_refused_with_table_and_column(
    database: str, tmp_path: Path, text: str, fault: str
) -> None:
    await guarded(database)
    before = await current_rules()
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        await register(file, "Zoe")
    assert fault in str(refused.value)
    assert "rules.yaml" in str(refused.value)
    assert await current_rules() == before


async def test_a_table_without_a_key_and_a_made_column_are_refused(
    database: str, tmp_path: Path
) -> None:
    await guarded(database)
    with psycopg.connect(database) as connection:
        connection.execute("create table crm.log (line text)")
        connection.execute(
            "create table crm.made (id int primary key, b int generated always as (id * 2) stored)"
        )
    file = tmp_path / "rules.yaml"
    for text, fault in (
        ("tables: {crm.log: {find_by: [line], change: {line: {}}}}", "no primary key"),
        ("tables: {crm.made: {find_by: [id], change: {b: {}}}}", "made by the database"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=fault):
            await register(file, "Zoe")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        read_rules(tmp_path / "none.yaml")


async def test_a_powerful_role_is_no_guard(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await guarded(database)
    monkeypatch.setenv("PATTERNS_APPLIER_ROLE", "patterns")
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match="The role patterns is a powerful one"):
        await register(CRM / "rules.yaml", "Zoe")


async def test_without_the_right_to_make_roles_it_is_said_what_a_superuser_runs(
    database: str, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await guarded(database)
    monkeypatch.setenv("PATTERNS_PROPOSER_ROLE", "not_there_yet")
    get_settings.cache_clear()
    assert missing_roles(database, ["not_there_yet", "patterns"]) == ["not_there_yet"]
    assert 'create role "not_there_yet" nologin' in role_statements()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("create role plain login password 'plain'")
    try:
        with psycopg.connect(database) as connection:
            connection.execute("grant all on schema patterns, crm to plain")
            connection.execute("grant all on all tables in schema patterns to plain")
            connection.execute("grant all on all sequences in schema patterns to plain")
        from infra.postgres import close_pool

        await close_pool()
        whole = psycopg.conninfo.conninfo_to_dict(database)
        monkeypatch.setenv(
            "PATTERNS_DATABASE_URL",
            f"postgresql://plain:plain@{whole['host']}:{whole['port']}/{whole['dbname']}?sslmode=disable",
        )
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match='create role "not_there_yet"'):
            await register(CRM / "rules.yaml", "Zoe")
        monkeypatch.delenv("PATTERNS_PROPOSER_ROLE")
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match="may not make it"):
            await register(CRM / "rules.yaml", "Zoe")
        await close_pool()
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("drop owned by plain")
            connection.execute("drop role plain")
