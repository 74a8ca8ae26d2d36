"""Writes a table to Parquet by other programs, and counts the values in which their file
differs from another one.

    peers.py PEER TABLE FILE            DATABASE_URL names the server
    peers.py differences OURS THEIRS

PEER is chdb, connectorx, duckdb, or odbc2parquet or sling if they are in PATH.
"""

import os
import subprocess
import sys
from urllib.parse import urlsplit

URL = urlsplit(os.environ.get("DATABASE_URL", ""))
DATABASE = URL.path[1:]


def chdb(table, path):
    from chdb import session
    source = f"mysql('{URL.hostname}:{URL.port}', '{DATABASE}', '{table}', '{URL.username}', '{URL.password}')"
    session.Session().query(f"SELECT * FROM {source} INTO OUTFILE '{path}' FORMAT Parquet")


def connectorx(table, path):
    import connectorx
    frame = connectorx.read_sql(URL.geturl(), f"SELECT * FROM {table}", return_type="polars")
    frame.write_parquet(path, compression="zstd", compression_level=1)


def duckdb(table, path):
    import duckdb
    connection = duckdb.connect()
    # The extension is not part of the module.
    connection.execute("INSTALL mysql; LOAD mysql")
    connection.execute(f"ATTACH 'host={URL.hostname} port={URL.port} user={URL.username} password={URL.password} "
                       f"database={DATABASE}' AS d (TYPE mysql, READ_ONLY)")
    connection.execute(f"COPY (SELECT * FROM d.{table}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def run(command):
    # Not by an exception, which would show the password.
    if code := subprocess.run(command).returncode:
        sys.exit(code)


def odbc2parquet(table, path):
    server = (f"Driver={{MariaDB Unicode}};Server={URL.hostname};Port={URL.port};Uid={URL.username};Pwd={URL.password};"
              f"Database={DATABASE}")
    run(["odbc2parquet", "--quiet", "query", "--connection-string", server,
         "--column-compression-level-default", "1", path, f"SELECT * FROM {table}"])


def sling(table, path):
    run(["sling", "run", "--src-conn", URL.geturl(), "--src-stream", f"{DATABASE}.{table}",
         "--tgt-object", f"file://{path}"])


def differences(ours, theirs):
    """Prints how many values differ, whatever their types are, by the first column."""
    import pyarrow.parquet as parquet
    tables = [parquet.read_table(path) for path in (ours, theirs)]
    tables = [table.sort_by(table.column_names[0]) for table in tables]
    names = tables[0].column_names
    assert names == tables[1].column_names and tables[0].num_rows == tables[1].num_rows
    found = {}
    for name in names:
        pairs = zip(*(map(plain, table.column(name).to_pylist()) for table in tables))
        count = sum(one != other for one, other in pairs)
        if count:
            found[name] = count
    print(f"{sum(found.values()):,} ({', '.join(found)})" if found else "0")


def plain(value):
    """A value without what depends on its type alone: bytes are text, truths are numbers."""
    if isinstance(value, bytes):
        return value.decode()
    return int(value) if isinstance(value, bool) else value


PEERS = {"chdb": chdb, "connectorx": connectorx, "duckdb": duckdb, "odbc2parquet": odbc2parquet, "sling": sling}

if __name__ == "__main__":
    (PEERS | {"differences": differences})[sys.argv[1]](*sys.argv[2:])
