//! Lists every setting once: its names, the parser of its values, and its help.

use std::{
    ffi::OsString,
    num::{NonZeroU16, NonZeroU32, NonZeroU64},
    path::PathBuf,
};

use glob::Pattern;
use secrecy::SecretString;

use super::{
    super::{
        Timeout, TlsMode, format,
        increment::LagSetting,
        preset,
        reporting::{LogFormat, ProgressMode},
    },
    setting::{
        Entry, Key, Setting, choice, duration, list, number, one_of, parameters, path, secret,
        switch, template, text,
    },
    validators::{
        any_text, byte_count, chunk_count, compression, connections, file_size, host, keep_count,
        load_target, not_empty, one_statement, output_format, parsed, pattern, port, retries,
        row_group_size, rows, rows_of_file, rows_per_second, thread_count,
    },
};
use crate::{
    artifacts::run_date::RunDate,
    format::{
        ArrowCompression, BinaryEncoding, Booleans, BuiltIn, Compression, CsvDelimiter,
        CsvFormulas, CsvNull, CsvQuote, DuplicateColumns, InvalidUtf8, LineEnding, NulTexts,
        NullMembers, NumberStyle, ParquetCompression, WideDecimals, ZeroDates,
    },
    jobs::{
        guard::{Percent, SchemaPolicy},
        plan::{OnError, Publish},
    },
    load::LoadTarget,
    pipeline::output::Flush,
    sink::SpoolFull,
    source::Protocol,
    sql::{ColumnNames, Condition, Parameter, SplitColumns, TableName, TablePattern},
};

/// Declares the settings in groups, each under the heading of its flags in the
/// help. `KEY: Type = entry;` makes one element of [`SETTINGS`] and one key,
/// whose type is that of the entry.
macro_rules! settings {
    ($($heading:literal { $($key:ident: $type:ty = $entry:expr;)* })*) => {
        /// Every setting, in the order of the help and of the documentation.
        pub static SETTINGS: &[&Setting] = &[$($(keys::$key.setting()),*),*];

        /// The keys of the settings.
        pub(crate) mod keys {
            use super::*;

            $($(
                pub(crate) const $key: Key<$type> = {
                    static ENTRY: Entry<$type> = $entry.heading($heading);
                    Key::of(&ENTRY)
                };
            )*)*
        }
    };
}

settings! {
    "Query" {
        QUERY_SQL: String = text("query.sql", &any_text, "The query, as an option; `-` is standard input")
            .flag("query")
            .short('q')
            .value("SQL")
            .variable("DATABASE_QUERY");
        QUERY_FILE: PathBuf = path("query.file", "Read the query from FILE; `-` is standard input")
            .flag("query-file");
        QUERY_TABLE: TableName = text(
            "query.table",
            &parsed::<TableName>,
            "Export the table or view NAME, or DATABASE.NAME",
        )
        .flag("table")
        .value("NAME")
        .more("A name with a dot or a backtick in it is put in backticks.");
        QUERY_TABLES: Vec<TablePattern> = list(
            "query.tables",
            &parsed::<TablePattern>,
            "Export each table like DATABASE.*; may be repeated",
        )
        .flag("tables")
        .value("PATTERN")
        .more(
            "The output path has {table}, and {database} if there are several. Views and sequences \
             are found by their full names, and databases of the server itself by theirs.",
        );
        QUERY_EXCLUDE: Vec<TablePattern> = list(
            "query.exclude_tables",
            &parsed::<TablePattern>,
            "Leave out tables like this; may be repeated",
        )
        .flag("exclude-tables")
        .value("PATTERN");
        QUERY_SELECT: Vec<ColumnNames> = list(
            "query.select",
            &parsed::<ColumnNames>,
            "Only these columns of the table, separated by commas",
        )
        .flag("columns")
        .value("NAMES")
        .more("Without it, all but invisible ones. A name with a comma in it is put in backticks.");
        QUERY_WHERE: Condition = text(
            "query.where",
            &parsed::<Condition>,
            "Only the rows of the table for which SQL is true",
        )
        .flag("where")
        .short('w')
        .value("SQL");
        QUERY_LIMIT: u64 = number("query.limit", &rows, "At most N rows of the table")
            .flag("limit")
            .value("N");
        SPLIT: NonZeroU32 = number(
            "query.split",
            &chunk_count,
            "Read the table in N chunks, over several connections",
        )
        .flag("split")
        .value("N")
        .more(
            "Divided by its primary key, and read in one snapshot. In a query, :chunk stands for \
             the condition of a chunk. With {part} in FILE, each chunk is a file.",
        );
        SPLIT_ROWS: NonZeroU64 = number(
            "query.split_rows",
            &rows_of_file,
            "The same in chunks of about N rows",
        )
        .flag("split-rows")
        .value("N");
        SPLIT_BY: SplitColumns = text(
            "query.split_by",
            &parsed::<SplitColumns>,
            "Divide by these columns, separated by commas",
        )
        .flag("split-by")
        .value("COLUMNS")
        .more("In a query of several tables, with the table's name or alias: o.id.");
        RESUME: bool = switch(
            "query.resume",
            "Keep chunks that are whole, and read only the others when run again",
        )
        .flag("resume")
        .default("false")
        .more(
            "In the folder FILE.resume, until the run succeeds. The next run with --resume goes on \
             from there, also after SIGKILL.",
        );
        INCREMENTAL: SplitColumns = text(
            "query.incremental",
            &parsed::<SplitColumns>,
            "Read only the rows that are new by these columns since the last run",
        )
        .flag("incremental")
        .value("COLUMNS")
        .more(
            "The state file keeps the last row. In a query, :increment stands for the condition, or \
             COLUMN > :since AND COLUMN <= :until.",
        );
        SINCE: String = text(
            "query.since",
            &any_text,
            "Begin at VALUE of the first column; the state stays as it is",
        )
        .flag("since")
        .value("VALUE")
        .more("In the configuration file, it is where the first run begins.");
        LAG: LagSetting = text(
            "query.lag",
            &parsed::<LagSetting>,
            "Stay so far from the end, where open transactions may add rows: 5m, or 1000 ids",
        )
        .flag("lag")
        .value("LAG");
        QUERY_PARAMS: Vec<Parameter> = parameters(
            "query.params",
            "Give :NAME in the query the text VALUE; may be repeated",
        )
        .flag("param")
        .more(
            "A list, for IN (:NAME), is [1, 2] or [\"a\", \"b\"]; a text that begins with [ is \
             the list of it alone, [\"[a\"].",
        );
        PROTOCOL: Protocol = choice("query.protocol", "How rows travel")
            .flag("protocol")
            .value("PROTOCOL")
            .default("auto");
    }
    "Connection" {
        DATABASE_URL: SecretString = secret("connection.url", "Where the server is, as a URL")
            .flag("db-url")
            .value("URL")
            .variable("DATABASE_URL")
            .more(
                "mysql://USER:PASSWORD@HOST:PORT/DATABASE, or for a Unix socket \
                 mysql://USER@localhost/DATABASE?socket=/PATH. Special characters are \
                 percent-encoded. It replaces whatever the environment, the files and the option \
                 files say of host, port, socket, user, database and password. Other users of the \
                 machine can read a command line: DATABASE_URL, a configuration file or an option \
                 file keeps the password to yourself.",
            );
        HOST: String = text("connection.host", &host, "The server's name or address")
            .flag("host")
            .short('h')
            .value("HOST")
            .client_variable("MYSQL_HOST")
            .option("host")
            .more(
                "localhost without a port means the server's Unix socket, as for the mysql client, \
                 where one is found in its usual place.",
            );
        PORT: NonZeroU16 = number("connection.port", &port, "The server's TCP port")
            .flag("port")
            .short('P')
            .value("PORT")
            .client_variable("MYSQL_TCP_PORT")
            .option("port");
        SOCKET: PathBuf = path("connection.socket", "The server's Unix socket")
            .flag("socket")
            .short('S')
            .client_variable("MYSQL_UNIX_PORT")
            .option("socket");
        USER: String = text(
            "connection.user",
            &not_empty,
            "The account that logs in, otherwise your login name",
        )
        .flag("user")
            .short('u')
        .value("USER")
        .option("user");
        DATABASE: String = text("connection.database", &not_empty, "The default database")
            .flag("database")
            .short('D')
            .value("NAME")
            .option("database");
        PASSWORD_FILE: PathBuf = path("connection.password_file", "Read the password from FILE")
            .flag("password-file");
        PASSWORD_ENV: String = text(
            "connection.password_env",
            &not_empty,
            "Take the password from the environment variable NAME",
        )
        .flag("password-env")
        .value("NAME");
        ASK_PASSWORD: bool = switch("ask_password", "Ask for the password on the terminal")
            .flag("ask-password")
            .short('p')
            .dumped_in("connection");
        TRANSPORT: String = text(
            "transport",
            &any_text,
            "tcp: localhost means TCP, not the Unix socket",
        )
        .option("protocol")
        .dumped_in("connection");
        // There is no flag for it: other users can read a command line.
        PASSWORD: SecretString = secret("password", "The password")
            .client_variable("MYSQL_PWD")
            .option("password")
            .dumped_in("connection");
        CONNECT_TIMEOUT: Timeout = duration(
            "connection.connect_timeout",
            "How long connecting and logging in may take",
        )
        .flag("connect-timeout")
        .option("connect-timeout")
        .default("10s");
        READ_TIMEOUT: Timeout = duration(
            "connection.read_timeout",
            "How long the server may be silent, also before the first row",
        )
        .flag("read-timeout")
        .more(
            "Without it, a server that has vanished is noticed after two minutes (TCP keepalive), and \
             one that is there may take its time.",
        );
        RETRY: u32 = number(
            "connection.retry",
            &retries,
            "Begin anew up to N times after a lost connection, or where none, or no lock, could be had",
        )
        .flag("retry")
        .value("N")
        .default("0")
        .more(
            "After 1 s, then twice as long each time, a minute at most. Never after a refused login or \
             another error of the query, nor where rows have gone to standard output or a FIFO, nor \
             once a statement may have written (--read-write).",
        );
        COMPRESS: bool = switch(
            "connection.compress",
            "Have the server compress what it sends (zlib): for slow networks",
        )
        .flag("compress")
        .default("false");
    }
    "Encryption and login" {
        SERVER_PUBLIC_KEY: PathBuf = path(
            "connection.server_public_key",
            "The server's RSA key (PEM), for caching_sha2_password without TLS",
        )
        .flag("server-public-key")
        .option("server-public-key-path")
        .listed_last();
        CLEARTEXT_PLUGIN: bool = switch(
            "connection.enable_cleartext_plugin",
            "Let a server whose certificate is verified have the password itself (PAM, LDAP)",
        )
        .flag("enable-cleartext-plugin")
        .option("enable-cleartext-plugin")
        .default("false")
        .listed_last();
        TLS_MODE: TlsMode = choice(
            "tls.mode",
            "How the connection is encrypted and the server verified",
        )
        .flag("tls")
        .value("MODE")
        .option("ssl-mode")
        .aliases(&[
            ("insecure-skip-hostname-verify", "verify-ca"),
            ("allow-invalid-certificate", "required"),
        ])
        .more(
            "Without it, verify-identity for other hosts, and disabled for Unix sockets and the \
             loopback addresses unless --tls-ca-file or --tls-cert asks for more.",
        );
        TLS_CA_FILE: PathBuf = path(
            "tls.ca_file",
            "Only the CAs in FILE (PEM) vouch for the server, otherwise the system's trust store",
        )
        .flag("tls-ca-file")
        .option("ssl-ca");
        TLS_CERT: PathBuf = path("tls.cert", "Show the server the certificate in FILE (PEM)")
            .flag("tls-cert")
            .option("ssl-cert");
        TLS_KEY: PathBuf = path("tls.key", "The private key of --tls-cert (PEM)")
            .flag("tls-key")
            .option("ssl-key");
        // MariaDB's clients have these instead of a mode.
        SSL: bool = switch("ssl", "Whether to encrypt, also on this machine")
            .option("ssl")
            .dumped_in("tls");
        VERIFY_SERVER_CERT: bool = switch(
            "verify_server_cert",
            "Off: `required` in the place of `verify-identity`",
        )
        .option("ssl-verify-server-cert")
        .dumped_in("tls");
    }
    "Session" {
        TIME_ZONE: String = text(
            "session.time_zone",
            &not_empty,
            "The session's time zone, in which TIMESTAMPs are shown, otherwise the server's",
        )
        .flag("time-zone")
        .value("ZONE");
        READ_WRITE: bool = switch(
            "session.read_write",
            "Let the statement write (the session is read-only otherwise)",
        )
        .flag("read-write")
        .default("false");
        INIT: Vec<String> = list(
            "session.init",
            &one_statement,
            "Run the statement SQL before the query; may be repeated",
        )
        .flag("init")
        .value("SQL");
        STATEMENT_TIMEOUT: Timeout = duration(
            "session.statement_timeout",
            "How long the server may work on the query before it gives up",
        )
        .flag("statement-timeout");
        STRICT_WARNINGS: bool = switch(
            "session.strict_warnings",
            "Fail where the server warns that it has altered values",
        )
        .flag("strict-warnings")
        .default("false")
        .more("Nothing is published then. Without it, that is a warning; where rows or whole values are \
                 missing, an export always fails.");
    }
    "Output" {
        OUTPUT_PATH: OsString = template(
            "output.path",
            "Write to FILE; `-` or nothing is standard output",
        )
        .flag("output")
        .short('o')
        .variable("OUTPUT_FILE")
        .more(
            "{date}, {time}, {timestamp} and {database} in it are replaced, and {date:%Y/%m} takes a \
             strftime form; {{ and }} are braces. Of several, each has the rows, which are read once.",
        );
        OUTPUT_FORMAT: &'static BuiltIn = one_of(
            "output.format",
            format::possible_values,
            &output_format,
            "Output format, else by the file's extension, else table on a terminal and tsv elsewhere",
        )
        .flag("format")
        .value("FORMAT")
        .aliases(&[("vertical", "vertical")]);
        OUTPUT_FOR: &'static LoadTarget = one_of(
            "output.for",
            preset::possible_values,
            &load_target,
            "Write what TARGET reads back exactly; -v prints the statement that loads it",
        )
        .flag("for")
        .value("TARGET")
        .more(
            "It stands for other settings, which --dump-config shows; a flag, variable or key for one of \
             them wins. docs/targets.md says what each target cannot hold.",
        );
        LOAD_STATEMENT: OsString = template(
            "output.load_statement",
            "Write the statement that loads the rows into the target of --for to FILE",
        )
        .flag("load-statement");
        SCHEMA_FILE: OsString = template(
            "output.schema_file",
            "Write the CREATE statement of the table to FILE, published with its rows",
        )
        .flag("schema-file")
        .more("For --table and --tables, where FILE has {table}.");
        ROWS_PER_FILE: NonZeroU64 = number(
            "output.rows_per_file",
            &rows_of_file,
            "Begin a new file after N rows, named by {part} in FILE",
        )
        .flag("rows-per-file")
        .value("N");
        BYTES_PER_FILE: NonZeroU64 = text(
            "output.bytes_per_file",
            &file_size,
            "Begin a new file after the row that reaches SIZE",
        )
        .flag("bytes-per-file")
        .value("SIZE")
        .more("Before compression, such as 1GiB; FILE has {part}.");
        COMPRESSION: Option<Compression> = text(
            "output.compression",
            &compression,
            "Compress the bytes: gzip, zstd, lz4, gzip:LEVEL, zstd:LEVEL or none",
        )
        .flag("compression")
        .value("CODEC")
        .more("Without it, the extension .gz, .zst or .lz4 says so.");
        COMPRESSION_THREADS: NonZeroU16 = number(
            "output.compression_threads",
            &connections,
            "Compress on N threads",
        )
        .flag("compression-threads")
        .value("N");
        FLUSH: Flush = choice("output.flush", "When rows are written")
            .flag("flush")
            .value("WHEN")
            .default("auto");
        ALLOW_EMPTY: bool = switch(
            "output.allow_empty",
            "Accept a result without rows: write an empty document and exit 0",
        )
        .flag("allow-empty")
        .default("false");
        OUTPUT_ON_ERROR: OnError = choice(
            "output.on_error",
            "Of several outputs of a query, what becomes of the others when one fails",
        )
        .flag("on-output-error")
        .value("WHAT")
        .default("stop");
        IF_ABSENT: bool = switch(
            "output.if_absent",
            "Fail if FILE is there already, and leave it as it is",
        )
        .flag("if-absent")
        .more("So it is for --incremental, whose earlier rows would be lost, unless it is false.");
        KEEP_PARTIAL: bool = switch(
            "output.keep_partial",
            "Keep what had come when an export to FILE fails, as FILE.partial",
        )
        .flag("keep-partial")
        .default("false")
        .more("For a look at it only: it ends anywhere, and JSON is not closed.");
        DUPLICATE_COLUMNS: DuplicateColumns = choice(
            "output.duplicate_columns",
            "What to do where two columns have one name (CSV, TSV, Markdown and xlsx keep both)",
        )
        .flag("duplicate-columns")
        .value("WHAT")
        .default("error")
        .only_for(&["json", "ndjson", "sql", "parquet", "arrow", "arrow-stream"]);
        CREATE_DIRS: bool = switch(
            "output.create_dirs",
            "Create the folders of FILE that are missing",
        )
        .flag("create-dirs")
        .default("false");
        MANIFEST: bool = switch(
            "output.manifest",
            "Write what FILE is to FILE.manifest.json, by which `verify` checks it",
        )
        .flag("manifest")
        .default("false");
        KEEP: NonZeroU32 = number(
            "output.keep",
            &keep_count,
            "Keep the last N files of FILE's name with other dates, and remove older ones",
        )
        .flag("keep")
        .value("N")
        .more(
            "Only files whose names this FILE has or had, and which have their manifest (--manifest).",
        );
    }
    "Guards" {
        MIN_ROWS: u64 = number(
            "guards.min_rows",
            &rows,
            "Fail, and publish nothing, where there are fewer rows",
        )
        .flag("min-rows")
        .value("N");
        MAX_ROWS: u64 = number(
            "guards.max_rows",
            &rows,
            "Fail, and publish nothing, where there are more rows",
        )
        .flag("max-rows")
        .value("N");
        EXPECTED_COLUMNS: Vec<String> = list(
            "guards.columns",
            &any_text,
            "Fail, and publish nothing, where the columns are not these, in this order; may be repeated",
        )
        .flag("expect-column")
        .value("NAME");
        MAX_CHANGE: Percent = text(
            "guards.max_change",
            &parsed::<Percent>,
            "Fail, and publish nothing, where the rows are so many more or fewer than last time",
        );
        SCHEMA_POLICY: SchemaPolicy = choice(
            "guards.schema",
            "Whether the columns and their types must be those of last time",
        )
        .default("any");
    }
    "Exports of the configuration file" {
        ON_ERROR: OnError = choice(
            "run.on_error",
            "What becomes of the other exports when one fails",
        )
        .flag("on-error")
        .value("WHAT")
        .default("continue");
        PUBLISH: Publish = choice("run.publish", "When files get their names")
            .flag("publish")
            .value("WHEN")
            .default("each");
        SNAPSHOT: bool = switch("run.snapshot", "Have all exports read one consistent snapshot")
            .flag("snapshot")
            .default("false");
        CONNECTIONS: NonZeroU16 = number(
            "run.connections",
            &connections,
            "Run so many exports side by side, each over a connection of its own",
        )
        .flag("connections")
        .value("N")
        .default("1");
        LOCK: bool = switch(
            "run.lock",
            "Begin the snapshot under FLUSH TABLES WITH READ LOCK, which can stall a busy server",
        )
        .flag("lock")
        .default("false")
        .more(
            "Only where several connections cannot get one snapshot otherwise: the server's GTIDs or \
             its binary log tell whether they have.",
        );
        MAX_THREADS_RUNNING: NonZeroU32 = number(
            "run.max_threads_running",
            &thread_count,
            "Begin no export or chunk while more than N threads run on the server",
        )
        .flag("max-threads-running")
        .value("N")
        .more("Those of this program count too. -v tells of pauses.");
        MAX_REPLICA_LAG: Timeout = duration(
            "run.max_replica_lag",
            "Begin no export or chunk while the server, a replica, is farther behind",
        )
        .flag("max-replica-lag");
        THROTTLE: NonZeroU64 = number(
            "run.throttle",
            &rows_per_second,
            "Read at most N rows per second, of all exports together",
        )
        .flag("throttle")
        .value("N");
        STATE: PathBuf = path(
            "run.state",
            "Where the rows and columns of each export's last success are kept",
        )
        .flag("state");
    }
    "Output" {
        DATE: RunDate = text(
            "run.date",
            &parsed::<RunDate>,
            "The date, and the time, of {date} in FILE, otherwise those of the start",
        )
        .flag("date")
        .value("DATE")
        .more("For a run that was missed: 2020-01-03, or 2020-01-03T04:05:06 in local time.");
    }
    "Spool" {
        SPOOL: PathBuf = path(
            "spool.path",
            "Where FILE is slower than the server, keep the rest in the folder DIR until it is sent",
        )
        .flag("spool")
        .value("DIR")
        .more("The server is free when its last row has come.");
        SPOOL_MEMORY: u64 = text(
            "spool.memory",
            &byte_count,
            "Keep up to SIZE of it in memory before",
        )
        .flag("spool-memory")
        .value("SIZE")
        .default("64MiB");
        SPOOL_LIMIT: u64 = text("spool.limit", &byte_count, "Keep up to SIZE in DIR")
            .flag("spool-limit")
            .value("SIZE")
            .default("20GiB");
        SPOOL_FULL: SpoolFull = choice(
            "spool.full",
            "What happens when that is reached, or the disk is full",
        )
        .flag("spool-full")
        .value("WHAT")
        .default("wait");
    }
    "CSV and TSV" {
        CSV_DELIMITER: CsvDelimiter = text(
            "csv.delimiter",
            &parsed::<CsvDelimiter>,
            "CSV: what stands between values, such as `;` or `\\t`",
        )
        .flag("csv-delimiter")
        .value("CHAR")
        .default(",")
        .only_for(&["csv"]);
        CSV_HEADER: bool = switch("csv.header", "CSV and TSV: begin with the columns' names")
            .flag("header")
            .default("true")
            .only_for(&["csv", "tsv"]);
        CSV_LINE_ENDING: LineEnding = choice("csv.line_ending", "CSV: how lines end")
            .flag("line-ending")
            .value("ENDING")
            .default("lf")
            .only_for(&["csv"]);
        CSV_NULL: CsvNull = text(
            "csv.null",
            &parsed::<CsvNull>,
            "CSV: write NULL as TEXT instead of nothing",
        )
        .flag("csv-null")
        .default("")
        .only_for(&["csv"]);
        CSV_BOM: bool = switch(
            "csv.bom",
            "CSV: begin with a byte order mark, by which Excel knows UTF-8",
        )
        .flag("csv-bom")
        .default("false")
        .only_for(&["csv"]);
        CSV_QUOTE: CsvQuote = choice("csv.quote", "CSV: which values are quoted")
            .flag("csv-quote")
            .value("WHICH")
            .default("necessary")
            .only_for(&["csv"]);
        CSV_FORMULAS: CsvFormulas = choice(
            "csv.formulas",
            "CSV: what becomes of texts that spreadsheets take for formulas",
        )
        .flag("csv-formulas")
        .value("WHAT")
        .default("keep")
        .only_for(&["csv"]);
        TSV_HEADER: bool = switch("tsv.header", "CSV and TSV: begin with the columns' names")
            .flag("header")
            .default("true")
            .only_for(&["csv", "tsv"]);
    }
    "JSON" {
        JSON_PRETTY: bool = switch("json.pretty", "JSON: indent")
            .flag("pretty")
            .default("false")
            .only_for(&["json"]);
        JSON_ROOT: String = text("json.root", &any_text, "JSON: wrap the array as {\"NAME\": […]}")
            .flag("json-root")
            .value("NAME")
            .only_for(&["json"]);
        JSON_BIGINT: NumberStyle = choice(
            "json.bigint",
            "JSON: how to write integers beyond ±(2^53 − 1)",
        )
        .flag("json-bigint")
        .value("STYLE")
        .default("number")
        .only_for(&["json", "ndjson"]);
        JSON_DECIMAL: NumberStyle = choice("json.decimal", "JSON: how to write DECIMAL")
            .flag("json-decimal")
            .value("STYLE")
            .default("number")
            .only_for(&["json", "ndjson"]);
        JSON_COLUMNS: Vec<String> = list(
            "json.columns",
            &any_text,
            "JSON: embed the text column NAME, which holds JSON; may be repeated",
        )
        .flag("json-column")
        .value("NAME")
        .only_for(&["json", "ndjson"]);
        JSON_NULLS: NullMembers = choice("json.nulls", "JSON: what becomes of members that are NULL")
            .flag("json-nulls")
            .value("WHAT")
            .default("keep")
            .only_for(&["json", "ndjson"]);
    }
    "SQL" {
        SQL_TABLE: String = text(
            "insert.into",
            &not_empty,
            "SQL: the table that INSERT names; else the export's or the file's name",
        )
        .flag("sql-table")
        .value("NAME")
        .only_for(&["sql"]);
    }
    "Parquet and Arrow" {
        PARQUET_COMPRESSION: ParquetCompression = text(
            "parquet.compression",
            &parsed::<ParquetCompression>,
            "Parquet: compress pages: zstd, zstd:LEVEL, snappy, lz4 or none",
        )
        .flag("parquet-compression")
        .value("CODEC")
        .default("zstd")
        .only_for(&["parquet"]);
        ROW_GROUP_SIZE: u64 = text(
            "parquet.row_group_size",
            &row_group_size,
            "Parquet: end a row group that takes SIZE in memory",
        )
        .flag("row-group-size")
        .value("SIZE")
        .more("Without it 64MiB, or a quarter of the memory that a limit leaves.")
        .only_for(&["parquet"]);
        PARQUET_DECIMAL: WideDecimals = choice(
            "parquet.decimal",
            "Parquet: what becomes of DECIMALs of more than 38 digits",
        )
        .flag("parquet-decimal")
        .value("WHAT")
        .default("string")
        .only_for(&["parquet"]);
        PARQUET_BLOOM: Vec<String> = list(
            "parquet.bloom",
            &any_text,
            "Parquet: write a bloom filter for the column NAME; may be repeated",
        )
        .flag("parquet-bloom")
        .value("NAME")
        .only_for(&["parquet"]);
        ARROW_COMPRESSION: ArrowCompression = choice("arrow.compression", "Arrow: compress arrays")
            .flag("arrow-compression")
            .value("CODEC")
            .default("none")
            .only_for(&["arrow", "arrow-stream"]);
    }
    "Spreadsheets" {
        XLSX_SPLIT: bool = switch(
            "xlsx.split",
            "xlsx: go on in a further sheet after 1,048,575 rows",
        )
        .flag("xlsx-split")
        .default("false")
        .only_for(&["xlsx"]);
    }
    "Values" {
        BINARY: BinaryEncoding = choice(
            "values.binary",
            "How bytes without a character set are written (BLOB, BINARY, GEOMETRY, …)",
        )
        .flag("binary")
        .value("ENCODING")
        .default("base64")
        .only_for(&[
            "csv", "tsv", "json", "ndjson", "markdown", "table", "vertical", "xlsx",
        ])
        .values_only_for(&[("raw", &["tsv"]), ("postgres", &["csv", "tsv"])]);
        ZERO_DATES: ZeroDates = choice(
            "values.zero_dates",
            "What becomes of dates whose month or day is zero",
        )
        .flag("zero-dates")
        .value("WHAT")
        .default("keep")
        .values_only_for(&[("keep", &["csv", "tsv", "json", "ndjson", "sql", "markdown", "table", "vertical", "xlsx"])]);
        BOOLEANS: Booleans = choice("values.booleans", "What is written as true and false")
            .flag("booleans")
            .value("WHAT")
            .default("number");
        TINYINT1_AS_BOOL: bool = switch(
            "values.tinyint1_as_bool",
            "The same as --booleans tinyint1",
        )
        .flag("tinyint1-as-bool")
        .default("false");
        NUL: NulTexts = choice(
            "values.nul",
            "CSV and TSV: whether texts that hold NUL are warned of",
        )
        .flag("nul")
        .value("WHAT")
        .default("warn")
        .only_for(&["csv", "tsv"]);
        INVALID_UTF8: InvalidUtf8 = choice(
            "values.invalid_utf8",
            "What becomes of text that is not UTF-8",
        )
        .flag("invalid-utf8")
        .value("WHAT")
        .default("error");
    }
    "Exports of the configuration file" {
        JOB: Vec<Pattern> = list(
            "job",
            &pattern,
            "Run only the exports of the configuration file called NAME, or like it (`daily-*`)",
        )
        .flag("job")
        .value("NAME");
    }
    "Settings" {
        CONFIG: PathBuf = path(
            "config",
            "Read settings from a TOML file; flags and environment win over it",
        )
        .flag("config")
        .variable("GOLD_DIGGER_CONFIG");
        DEFAULTS_FILE: PathBuf = path(
            "defaults_file",
            "Read FILE as a MySQL option file instead of ~/.my.cnf",
        )
        .flag("defaults-file");
        DEFAULTS_GROUP_SUFFIX: String = text(
            "defaults_group_suffix",
            &not_empty,
            "Read also the option files' groups whose names end so, such as [client_test]",
        )
        .flag("defaults-group-suffix")
        .value("SUFFIX")
        .variable("MYSQL_GROUP_SUFFIX");
    }
    "Reporting" {
        PROGRESS: ProgressMode = choice("progress", "When progress is shown on standard error")
            .flag("progress")
            .value("WHEN")
            .default("auto");
        SUMMARY: PathBuf = path(
            "summary",
            "Write what the run did to FILE as JSON, also when it fails; `-` is standard error",
        )
        .flag("summary");
        LOG_FORMAT: LogFormat = choice("log_format", "How messages are written")
            .flag("log-format")
            .value("FORMAT")
            .default("text");
    }
    "Settings" {
        NO_DEFAULTS: bool = switch("no_defaults", "Read no MySQL option file")
            .flag("no-defaults");
    }
}
