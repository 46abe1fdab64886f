"""Migrations, on databases that are empty, half made, too new, or lack pgvector."""

import subprocess
import sys
import textwrap
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from infra.errors import DatabaseError
from infra.health import missing_roles
from infra.schema import migrate


def revision(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("select version_num from patterns.alembic_version").fetchone()


def test_an_empty_database_gets_the_schema_and_a_second_time_changes_nothing(
    empty_database: str,
) -> None:
    migrate(empty_database)
    first = revision(empty_database)
    assert first
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select to_regclass('patterns.calls')").fetchone() != (None,)
    migrate(empty_database)
    assert revision(empty_database) == first


def test_twenty_processes_at_once_make_one_schema(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_DATABASE_URL", empty_database)
    code = textwrap.dedent("""
        import asyncio, multiprocessing
        from infra.postgres import transaction

        async def count():
            async with transaction() as connection:
                cursor = await connection.execute("select count(*) as n from patterns.calls")
                return (await cursor.fetchone())["n"]

        def work(barrier):
            barrier.wait()
            assert asyncio.run(count()) == 0

        context = multiprocessing.get_context("fork")
        barrier = context.Barrier(20)
        processes = [context.Process(target=work, args=[barrier]) for _ in range(20)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print(sum(process.exitcode == 0 for process in processes))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("20\n", "")
    assert revision(empty_database)


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create schema patterns")
        connection.execute("create table patterns.themes (ours int)")
    with pytest.raises(DatabaseError, match="themes"):
        migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select to_regclass('patterns.calls')").fetchone() == (None,)


def test_a_schema_newer_than_the_program_is_refused(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute("update patterns.alembic_version set version_num = '9999'")
    with pytest.raises(DatabaseError, match=r"9999.*newer than this program"):
        migrate(empty_database)


def test_a_server_without_pgvector_is_told_what_to_install(empty_database: str) -> None:
    nowhere = quote("-c extension_control_path=/nowhere")
    joint = "&" if "?" in empty_database else "?"
    with pytest.raises(DatabaseError, match=r"no pgvector\. Install"):
        migrate(f"{empty_database}{joint}options={nowhere}")


def test_a_pgvector_that_is_too_old_is_named(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create extension vector")
        connection.execute("update pg_extension set extversion = '0.7.4' where extname = 'vector'")
    with pytest.raises(DatabaseError, match=r"pgvector 0\.7\.4, which is older than 0\.8"):
        migrate(empty_database)


def test_a_user_who_may_not_create_extensions_is_told_who_may(empty_database: str) -> None:
    limited = psycopg.conninfo.conninfo_to_dict(empty_database)
    role = sql.Identifier(f"limited_{limited['dbname']}")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login password 'x'").format(role))
        try:
            name = role.as_string().strip('"')
            with pytest.raises(DatabaseError, match="create extension vector"):
                migrate(psycopg.conninfo.make_conninfo(empty_database, user=name, password="x"))
        finally:
            connection.execute(sql.SQL("drop role {}").format(role))


def test_who_may_make_no_roles_gets_the_schema_and_doctor_names_the_roles_he_lacks(
    empty_database: str,
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create role plain_owner login password 'plain'")
        try:
            connection.execute("create extension vector")
            connection.execute(
                sql.SQL("alter database {} owner to plain_owner").format(
                    sql.Identifier(connection.info.dbname)
                )
            )
            where = f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
            url = f"postgresql://plain_owner:plain@{where}?sslmode=disable"
            migrate(url)
            roles = ["patterns_proposer", "patterns_applier"]
            assert missing_roles(url, roles) == roles
            assert missing_roles(empty_database, roles) == []
        finally:
            connection.execute("reassign owned by plain_owner to current_user")
            connection.execute("drop owned by plain_owner")
            connection.execute("drop role plain_owner")
