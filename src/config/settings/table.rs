//! The table itself.

use super::{
    super::{
        Timeout, TlsMode, format,
        reporting::{LogFormat, ProgressMode},
    },
    ASK_PASSWORD, CLEARTEXT_PLUGIN, CONFIG, DEFAULTS_FILE, DEFAULTS_GROUP_SUFFIX, JOB, Kind,
    NO_DEFAULTS, PASSWORD, SERVER_PUBLIC_KEY, SSL, Setting, TRANSPORT, VERIFY_SERVER_CERT,
    checks::{
        anything, choice, connections, host, kept, not_empty, one_statement, parses, pattern, port,
        retries, rows,
    },
};
use crate::{
    format::{
        BinaryEncoding, CsvDelimiter, CsvNull, CsvQuote, DuplicateColumns, InvalidUtf8, LineEnding,
        NumberStyle, ZeroDates,
    },
    jobs::{
        guard::{Percent, SchemaPolicy},
        plan::{OnError, Publish},
    },
    pipeline::output::Flush,
    source::Protocol,
};

/// Every setting, in the order of the help and of the documentation.
pub static SETTINGS: &[Setting] = &[
    Setting::new("query.sql", Kind::Text(anything), "The query, as an option")
        .flag("query")
        .short('q')
        .value("SQL")
        .variable("DATABASE_QUERY"),
    Setting::new(
        "query.file",
        Kind::Path,
        "Read the query from FILE; `-` is standard input",
    )
    .flag("query-file"),
    Setting::new(
        "query.params",
        Kind::Parameters,
        "Bind VALUE, as text, to :NAME in the query; may be repeated",
    )
    .flag("param"),
    Setting::new("query.protocol", choice::<Protocol>(), "How rows travel")
        .flag("protocol")
        .value("PROTOCOL")
        .default("auto"),
    Setting::new(
        "connection.url",
        Kind::Secret,
        "Where the server is, as a URL",
    )
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
    ),
    Setting::new(
        "connection.host",
        Kind::Text(host),
        "The server's name or address",
    )
    .flag("host")
    .value("HOST")
    .option("host")
    .more(
        "localhost without a port means the server's Unix socket, as for the mysql client, \
             where one is found in its usual place.",
    ),
    Setting::new(
        "connection.port",
        Kind::Number(port),
        "The server's TCP port",
    )
    .flag("port")
    .value("PORT")
    .option("port"),
    Setting::new("connection.socket", Kind::Path, "The server's Unix socket")
        .flag("socket")
        .option("socket"),
    Setting::new(
        "connection.user",
        Kind::Text(not_empty),
        "The account that logs in, otherwise your login name",
    )
    .flag("user")
    .value("USER")
    .option("user"),
    Setting::new(
        "connection.database",
        Kind::Text(not_empty),
        "The default database",
    )
    .flag("database")
    .value("NAME")
    .option("database"),
    Setting::new(
        "connection.password_file",
        Kind::Path,
        "Read the password from FILE",
    )
    .flag("password-file"),
    Setting::new(
        "connection.password_env",
        Kind::Text(not_empty),
        "Take the password from the environment variable NAME",
    )
    .flag("password-env")
    .value("NAME"),
    Setting::new(
        ASK_PASSWORD,
        Kind::Switch,
        "Ask for the password on the terminal",
    )
    .flag("ask-password"),
    Setting::new(
        TRANSPORT,
        Kind::Text(anything),
        "tcp: localhost means TCP, not the Unix socket",
    )
    .option("protocol"),
    // Only option files have it: a command line is no place for a password.
    Setting::new(PASSWORD, Kind::Secret, "The password").option("password"),
    Setting::new(
        "connection.connect_timeout",
        Kind::Text(parses::<Timeout>),
        "How long connecting and logging in may take",
    )
    .flag("connect-timeout")
    .value("DURATION")
    .option("connect-timeout")
    .default("10s"),
    Setting::new(
        "connection.read_timeout",
        Kind::Text(parses::<Timeout>),
        "How long the server may be silent, also before the first row",
    )
    .flag("read-timeout")
    .value("DURATION")
    .more(
        "Without it, a server that has vanished is noticed after two minutes (TCP keepalive), and \
             one that is there may take its time.",
    ),
    Setting::new(
        "connection.retry",
        Kind::Number(retries),
        "Begin anew up to N times after a connection that was lost or could not be had",
    )
    .flag("retry")
    .value("N")
    .default("0")
    .more(
        "After 1 s, then twice as long each time, a minute at most. Never after a refused login or \
             an error of the query, nor where rows have gone to standard output or a FIFO, nor \
             once a statement may have written (--read-write).",
    ),
    Setting::new(
        "connection.compress",
        Kind::Switch,
        "Have the server compress what it sends (zlib): for slow networks",
    )
    .flag("compress")
    .default("false"),
    Setting::new(
        SERVER_PUBLIC_KEY,
        Kind::Path,
        "The server's RSA key (PEM), for caching_sha2_password without TLS",
    )
    .flag("server-public-key")
    .option("server-public-key-path"),
    Setting::new(
        CLEARTEXT_PLUGIN,
        Kind::Switch,
        "Let a server whose certificate is verified have the password itself (PAM, LDAP)",
    )
    .flag("enable-cleartext-plugin")
    .option("enable-cleartext-plugin")
    .default("false"),
    Setting::new(
        "tls.mode",
        choice::<TlsMode>(),
        "How the connection is encrypted and the server verified",
    )
    .flag("tls")
    .value("MODE")
    .option("ssl-mode")
    .spelled(&[
        ("insecure-skip-hostname-verify", "verify-ca"),
        ("allow-invalid-certificate", "required"),
    ])
    .more(
        "Without it, verify-identity for other hosts, and disabled for Unix sockets and the \
             loopback addresses unless --tls-ca-file or --tls-cert asks for more.",
    ),
    Setting::new(
        "tls.ca_file",
        Kind::Path,
        "Only the CAs in FILE (PEM) vouch for the server, otherwise the system's trust store",
    )
    .flag("tls-ca-file")
    .option("ssl-ca"),
    Setting::new(
        "tls.cert",
        Kind::Path,
        "Show the server the certificate in FILE (PEM)",
    )
    .flag("tls-cert")
    .option("ssl-cert"),
    Setting::new("tls.key", Kind::Path, "The private key of --tls-cert (PEM)")
        .flag("tls-key")
        .option("ssl-key"),
    // MariaDB's clients have these in the place of a mode.
    Setting::new(
        SSL,
        Kind::Switch,
        "Whether to encrypt, also on this machine",
    )
    .option("ssl"),
    Setting::new(
        VERIFY_SERVER_CERT,
        Kind::Switch,
        "Off: `required` in the place of `verify-identity`",
    )
    .option("ssl-verify-server-cert"),
    Setting::new(
        "session.time_zone",
        Kind::Text(not_empty),
        "The session's time zone, in which TIMESTAMPs are shown, otherwise the server's",
    )
    .flag("time-zone")
    .value("ZONE"),
    Setting::new(
        "session.read_write",
        Kind::Switch,
        "Let the statement write (the session is read-only otherwise)",
    )
    .flag("read-write")
    .default("false"),
    Setting::new(
        "session.init",
        Kind::List(one_statement),
        "Run the statement SQL before the query; may be repeated",
    )
    .flag("init")
    .value("SQL"),
    Setting::new(
        "session.statement_timeout",
        Kind::Text(parses::<Timeout>),
        "How long the server may work on the query before it gives up",
    )
    .flag("statement-timeout")
    .value("DURATION"),
    Setting::new(
        "output.path",
        Kind::Template,
        "Write to FILE; `-` or nothing is standard output",
    )
    .flag("output")
    .short('o')
    .variable("OUTPUT_FILE")
    .more(
        "{date}, {time}, {timestamp} and {database} in it are replaced, and {date:%Y/%m} takes a \
         strftime form; {{ and }} are braces.",
    ),
    Setting::new(
        "output.format",
        Kind::Choice(format::possible_values),
        "Output format, otherwise by the file's extension, or tsv",
    )
    .flag("format")
    .value("FORMAT"),
    Setting::new("output.flush", choice::<Flush>(), "When rows are written")
        .flag("flush")
        .value("WHEN")
        .default("auto"),
    Setting::new(
        "output.allow_empty",
        Kind::Switch,
        "Accept a result without rows: write an empty document and exit 0",
    )
    .flag("allow-empty")
    .default("false"),
    Setting::new(
        "output.keep_partial",
        Kind::Switch,
        "Keep what had come when an export to FILE fails, as FILE.partial",
    )
    .flag("keep-partial")
    .default("false")
    .more("For a look at it only: it ends anywhere, and JSON is not closed."),
    Setting::new(
        "output.duplicate_columns",
        choice::<DuplicateColumns>(),
        "What to do where two columns have one name (JSON; CSV and TSV keep both)",
    )
    .flag("duplicate-columns")
    .value("WHAT")
    .default("error"),
    Setting::new(
        "output.create_dirs",
        Kind::Switch,
        "Create the folders of FILE that are missing",
    )
    .flag("create-dirs")
    .default("false"),
    Setting::new(
        "output.manifest",
        Kind::Switch,
        "Write what FILE is to FILE.manifest.json, by which `verify` checks it",
    )
    .flag("manifest")
    .default("false"),
    Setting::new(
        "output.keep",
        Kind::Number(kept),
        "Keep the last N files of FILE's name with other dates, and remove older ones",
    )
    .flag("keep")
    .value("N")
    .more("Only files whose names this FILE has or had, and which have their manifest (--manifest)."),
    Setting::new(
        "guards.min_rows",
        Kind::Number(rows),
        "Fail, and publish nothing, where there are fewer rows",
    )
    .flag("min-rows")
    .value("N"),
    Setting::new(
        "guards.max_rows",
        Kind::Number(rows),
        "Fail, and publish nothing, where there are more rows",
    )
    .flag("max-rows")
    .value("N"),
    Setting::new(
        "guards.columns",
        Kind::List(anything),
        "Fail, and publish nothing, where the columns are not these, in this order; may be repeated",
    )
    .flag("expect-column")
    .value("NAME"),
    Setting::new(
        "guards.max_change",
        Kind::Text(parses::<Percent>),
        "Fail, and publish nothing, where the rows are so many more or fewer than last time",
    ),
    Setting::new(
        "guards.schema",
        choice::<SchemaPolicy>(),
        "Whether the columns and their types must be those of last time",
    )
    .default("any"),
    Setting::new(
        "run.on_error",
        choice::<OnError>(),
        "What becomes of the other exports when one fails",
    )
    .flag("on-error")
    .value("WHAT")
    .default("continue"),
    Setting::new(
        "run.publish",
        choice::<Publish>(),
        "When files get their names",
    )
    .flag("publish")
    .value("WHEN")
    .default("each"),
    Setting::new(
        "run.snapshot",
        Kind::Switch,
        "Have all exports read one consistent snapshot",
    )
    .flag("snapshot")
    .default("false"),
    Setting::new(
        "run.connections",
        Kind::Number(connections),
        "Run so many exports side by side, each over a connection of its own",
    )
    .flag("connections")
    .value("N")
    .default("1"),
    Setting::new(
        "run.lock",
        Kind::Switch,
        "Begin the snapshot under FLUSH TABLES WITH READ LOCK, which can stall a busy server",
    )
    .flag("lock")
    .default("false")
    .more(
        "Only where several connections cannot get one snapshot otherwise: the server's GTIDs or \
             its binary log tell whether they have.",
    ),
    Setting::new(
        "run.state",
        Kind::Path,
        "Where the rows and columns of each export's last success are kept",
    )
    .flag("state"),
    Setting::new(
        JOB,
        Kind::List(pattern),
        "Run only the exports of the configuration file called NAME, or like it (`daily-*`)",
    )
    .flag("job")
    .value("NAME"),
    Setting::new(
        "csv.delimiter",
        Kind::Text(parses::<CsvDelimiter>),
        "CSV: what stands between values, such as `;` or `\\t`",
    )
    .flag("csv-delimiter")
    .value("CHAR")
    .default(","),
    Setting::new(
        "csv.header",
        Kind::Switch,
        "CSV and TSV: begin with the columns' names",
    )
    .flag("header")
    .default("true"),
    Setting::new(
        "csv.line_ending",
        choice::<LineEnding>(),
        "CSV: how lines end",
    )
    .flag("line-ending")
    .value("ENDING")
    .default("lf"),
    Setting::new(
        "csv.null",
        Kind::Text(parses::<CsvNull>),
        "CSV: write NULL as TEXT instead of nothing",
    )
    .flag("csv-null")
    .default(""),
    Setting::new(
        "csv.bom",
        Kind::Switch,
        "CSV: begin with a byte order mark, by which Excel knows UTF-8",
    )
    .flag("csv-bom")
    .default("false"),
    Setting::new(
        "csv.quote",
        choice::<CsvQuote>(),
        "CSV: which values are quoted",
    )
    .flag("csv-quote")
    .value("WHICH")
    .default("necessary"),
    Setting::new(
        "tsv.header",
        Kind::Switch,
        "CSV and TSV: begin with the columns' names",
    )
    .flag("header")
    .default("true"),
    Setting::new("json.pretty", Kind::Switch, "JSON: indent")
        .flag("pretty")
        .default("false"),
    Setting::new(
        "json.root",
        Kind::Text(anything),
        "JSON: wrap the array as {\"NAME\": […]}",
    )
    .flag("json-root")
    .value("NAME"),
    Setting::new(
        "json.bigint",
        choice::<NumberStyle>(),
        "JSON: how to write integers beyond ±(2^53 − 1)",
    )
    .flag("json-bigint")
    .value("STYLE")
    .default("number"),
    Setting::new(
        "json.decimal",
        choice::<NumberStyle>(),
        "JSON: how to write DECIMAL",
    )
    .flag("json-decimal")
    .value("STYLE")
    .default("number"),
    Setting::new(
        "json.columns",
        Kind::List(anything),
        "JSON: embed the text column NAME, which holds JSON; may be repeated",
    )
    .flag("json-column")
    .value("NAME"),
    Setting::new(
        "values.binary",
        choice::<BinaryEncoding>(),
        "How bytes without a character set are written (BLOB, BINARY, GEOMETRY, …)",
    )
    .flag("binary")
    .value("ENCODING")
    .default("base64"),
    Setting::new(
        "values.zero_dates",
        choice::<ZeroDates>(),
        "JSON: what becomes of dates whose month or day is zero",
    )
    .flag("zero-dates")
    .value("WHAT")
    .default("keep"),
    Setting::new(
        "values.tinyint1_as_bool",
        Kind::Switch,
        "JSON: write TINYINT(1) as true and false",
    )
    .flag("tinyint1-as-bool")
    .default("false"),
    Setting::new(
        "values.invalid_utf8",
        choice::<InvalidUtf8>(),
        "What becomes of text that is not UTF-8",
    )
    .flag("invalid-utf8")
    .value("WHAT")
    .default("error"),
    Setting::new(
        CONFIG,
        Kind::Path,
        "Read settings from a TOML file; flags and environment win over it",
    )
    .flag("config")
    .variable("GOLD_DIGGER_CONFIG"),
    Setting::new(
        DEFAULTS_FILE,
        Kind::Path,
        "Read FILE as a MySQL option file instead of ~/.my.cnf",
    )
    .flag("defaults-file"),
    Setting::new(
        DEFAULTS_GROUP_SUFFIX,
        Kind::Text(not_empty),
        "Read also the option files' groups whose names end so, such as [client_test]",
    )
    .flag("defaults-group-suffix")
    .value("SUFFIX")
    .variable("MYSQL_GROUP_SUFFIX"),
    Setting::new(
        "progress",
        choice::<ProgressMode>(),
        "When progress is shown on standard error",
    )
    .flag("progress")
    .value("WHEN")
    .default("auto"),
    Setting::new(
        "summary",
        Kind::Path,
        "Write what the run did to FILE as JSON, also when it fails; `-` is standard error",
    )
    .flag("summary"),
    Setting::new(
        "log_format",
        choice::<LogFormat>(),
        "How messages are written",
    )
    .flag("log-format")
    .value("FORMAT")
    .default("text"),
    Setting::new(NO_DEFAULTS, Kind::Switch, "Read no MySQL option file").flag("no-defaults"),
];
