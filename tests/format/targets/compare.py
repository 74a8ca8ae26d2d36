# Compares what a target of --for has loaded with what the server has, value by
# value. It loads the file itself into DuckDB and ClickHouse, which are Python
# modules here.
import datetime, decimal, json, math, pymysql, re, struct, sys

socket, password, database, query, target, place, statement = sys.argv[1:]


def kind_of(name):
    kinds = {'flag': 'int', 'bit': 'int', 'dec': 'decimal', 'fl': 'f32', 'do': 'f64', 'da': 'date', 'dt': 'datetime',
             'ts': 'datetime', 'ti': 'time', 'bn': 'bytes', 'vb': 'bytes', 'bl': 'bytes', 'ge': 'bytes', 'text': 'text'}
    prefix = name.split('_')[0]
    return kinds.get(prefix, 'int')


def micros(text):
    sign = -1 if text.startswith('-') else 1
    hours, minutes, seconds = text.lstrip('-').split(':')
    whole, _, fraction = seconds.partition('.')
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(whole)
    return sign * (whole * 10**6 + int((fraction + '000000')[:6]))


def moment(text):
    whole, _, fraction = text.partition('.')
    return whole + '.' + (fraction + '000000')[:6]


def canonical(kind, value):
    """The value in a form that does not depend on where it is read."""
    if value is None:
        return None
    if isinstance(value, bytes) and kind not in ('bytes', 'text'):
        value = value.decode()
    if kind == 'int':
        words = {'t': 1, 'true': 1, 'f': 0, 'false': 0}
        return int(words.get(value, value))
    if kind == 'decimal':
        return decimal.Decimal(repr(value) if isinstance(value, float) else value)
    if kind in ('f32', 'f64'):
        return struct.pack('f' if kind == 'f32' else 'd', float(value) + 0.0)
    if kind == 'time':
        return value if isinstance(value, int) else micros(value)
    if kind == 'datetime':
        return moment(re.sub(r'\+00$', '', value))
    if kind == 'bytes':
        return value.hex() if isinstance(value, bytes) else value.removeprefix('\\x').lower()
    return value.encode() if isinstance(value, str) else value


def from_server(connection, sql, names=None):
    """The rows of the server, as its texts, but with all digits of a FLOAT."""
    cursor = connection.cursor()
    cursor.execute(sql)
    return [column[0] for column in cursor.description], list(cursor)


def mysql_like():
    connection = pymysql.connect(unix_socket=socket, user='root', password=password, database=database,
                                 charset='utf8mb4', conv={}, init_command="SET time_zone = '+00:00'")
    connection.encoders = {str: lambda text, _: text}
    return connection


def columns(names, quote, form):
    quoted = [quote + name.replace(quote, quote * 2) + quote for name in names]
    return ', '.join(form(name, text) for name, text in zip(names, quoted))


def expected():
    connection = mysql_like()
    names, _ = from_server(connection, f'SELECT * FROM ({query}) q LIMIT 0')
    chosen = columns(names, '`', server_form)
    return names, from_server(connection, f'SELECT {chosen} FROM ({query}) q')[1]


def server_form(name, quoted):
    kind = kind_of(name)
    if kind == 'f32':
        return f'{quoted} + 0e0'
    if kind in ('bytes', 'text'):
        return f'HEX({quoted})' if kind == 'bytes' else f'CONVERT({quoted} USING utf8mb4)'
    return f'{quoted} + 0' if name.startswith('bit') else quoted


def loaded_by_mysql(names):
    chosen = columns(names, '`', server_form)
    return from_server(mysql_like(), f'SELECT {chosen} FROM {place}')[1]


def loaded_by_postgres(names):
    # The rows as psql prints them, each value in hexadecimal digits of its text.
    rows = [line.split('|') for line in open(place).read().splitlines()]
    return [[None if text == 'NULL' else bytes.fromhex(text) .decode() for text in row] for row in rows]


def loaded_by_duckdb(names):
    import duckdb
    connection = duckdb.connect()
    connection.execute(statement)
    text = lambda name, quoted: quoted if kind_of(name) == 'bytes' else (
        f"strftime({quoted} AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%f')" if name.startswith('ts') else
        f'encode(CAST({quoted} AS VARCHAR))')
    return connection.execute(f"SELECT {columns(names, chr(34), text)} FROM {place}").fetchall()


def loaded_by_clickhouse(names):
    from chdb import session
    connection = session.Session()
    connection.query('CREATE DATABASE d')
    connection.query('USE d')
    for part in statement.split(';\n'):
        if part.strip():
            connection.query(part)
    quoted = ['`' + name.replace('\\', '\\\\').replace('`', '\\`') + '`' for name in names]
    chosen = ', '.join(f'hex(toString({name}))' if kind_of(column) != 'f32' else f'hex(toString(reinterpretAsUInt32({name})))'
                       for column, name in zip(names, quoted))
    rows = str(connection.query(f'SELECT {chosen} FROM {place}', 'TSV')).splitlines()
    def value(name, text):
        if text == '\\N':
            return None
        found = bytes.fromhex(text)
        return struct.unpack('f', struct.pack('I', int(found)))[0] if kind_of(name) == 'f32' else found
    return [[value(name, text) for name, text in zip(names, row.split('\t'))] for row in rows]


def loaded_by_sqlite(names):
    import sqlite3
    connection = sqlite3.connect(place)
    connection.text_factory = bytes
    found = connection.execute('SELECT * FROM copy')
    assert [column[0] for column in found.description] == names
    return list(found)


def plain(kind, value):
    """A value of a columnar file as the text that servers write."""
    if isinstance(value, datetime.timedelta):
        return value // datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.datetime):
        # (A sheet has no dates without a time of day.)
        return str(value.date()) if kind == 'date' else value.replace(tzinfo=None).isoformat(' ', 'microseconds')
    return str(value) if isinstance(value, datetime.date) else value


def from_file(reader):
    """The rows of the columnar file at `place`, in whatever types the reader has."""
    kinds = [kind_of(name) for name in names]
    return [[plain(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in reader()]


def by_pyarrow():
    import pyarrow, pyarrow.parquet
    read = {'parquet': pyarrow.parquet.read_table, 'arrow': lambda path: pyarrow.ipc.open_file(path).read_all(),
            'arrows': lambda path: pyarrow.ipc.open_stream(path).read_all()}[place.rpartition('.')[2]]
    table = read(place)
    assert table.column_names == names
    return zip(*(column.to_pylist() for column in table.columns))


def by_polars():
    import polars
    read = {'parquet': polars.read_parquet, 'arrow': polars.read_ipc,
            'arrows': polars.read_ipc_stream}[place.rpartition('.')[2]]
    frame = read(place)
    assert frame.columns == names
    return frame.rows()


def by_spark():
    # In place of a statement stands the folder of Spark's modules.
    sys.path.append(statement)
    from pyspark.sql import SparkSession
    settings = {'spark.driver.bindAddress': '127.0.0.1', 'spark.driver.host': '127.0.0.1', 'spark.ui.enabled': 'false',
                'spark.sql.session.timeZone': 'UTC', 'spark.log.level': 'OFF'}
    session = SparkSession.builder.master('local[1]').config(map=settings).getOrCreate()
    frame = session.read.parquet(place)
    assert frame.columns == names
    try:
        return [[bytes(value) if isinstance(value, bytearray) else value for value in row] for row in frame.collect()]
    finally:
        session.stop()


def by_openpyxl():
    import openpyxl
    from openpyxl.utils.escape import unescape
    book = openpyxl.load_workbook(place, read_only=True)
    header, *rows = book.worksheets[0].iter_rows()
    assert [unescape(cell.value) for cell in header] == names
    assert not any(cell.data_type == 'f' for row in rows for cell in row)
    return [[unescape(cell.value) if isinstance(cell.value, str) else cell.value for cell in row] for row in rows]


def by_duckdb():
    import duckdb
    # Without the settings of the machine, whose zone it would choose.
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    found = connection.execute(f"SELECT * FROM '{place}'")
    assert [column[0] for column in found.description] == names
    return found.fetchall()


names, wanted = expected()
found = {'mysql': loaded_by_mysql, 'postgres': loaded_by_postgres, 'duckdb': loaded_by_duckdb,
         'clickhouse': loaded_by_clickhouse, 'sqlite': loaded_by_sqlite,
         'pyarrow': lambda _: from_file(by_pyarrow), 'polars': lambda _: from_file(by_polars),
         'duckdb-file': lambda _: from_file(by_duckdb), 'spark': lambda _: from_file(by_spark), 'openpyxl': lambda _: from_file(by_openpyxl),
         'calc': lambda _: from_file(by_openpyxl)}[target](names)
is_sheet = target in ('openpyxl', 'calc')
holds_zero_dates = is_sheet or target in ('mysql', 'sqlite')
is_columnar = target in ('pyarrow', 'polars', 'duckdb-file', 'spark')
kinds = [kind_of(name) for name in names]


def without_zero_date(kind, value):
    is_zero = kind in ('date', 'datetime') and not holds_zero_dates and value is not None and '-00' in str(value)
    # No calendar has this one.
    return None if is_zero or is_columnar and value == '2026-02-31' else value


def comparable(rows):
    """The rows in an order of their own: some have no number."""
    return sorted(([canonical(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows), key=repr)


wanted = [[without_zero_date(kind, value) for kind, value in zip(kinds, row)] for row in wanted]
if is_columnar:
    # WKB has no number of the reference system before it.
    wanted = [[value and value[8:] if name == 'ge' else value for name, value in zip(names, row)] for row in wanted]
if is_sheet:
    # An empty text is an empty cell. Calc has one kind of line end only.
    ends = ('\r\n', '\n') if target == 'calc' else ('\r\n', '\r\n')
    wanted = [[None if value == '' else value.replace(*ends) if isinstance(value, str) else value for value in row]
              for row in wanted]
for one, other in zip(comparable(wanted), comparable(found), strict=True):
    for name, *pair in zip(names, one, other):
        if target == 'calc' and kind_of(name) == 'f64' and None not in pair:
            # Calc saves fewer digits than it has read.
            numbers = [struct.unpack('d', value)[0] for value in pair]
            pair = [True, math.isclose(*numbers, rel_tol=1e-14)]
        assert pair[0] == pair[1], (str(one[0])[:20], name, pair)
print(len(wanted))
