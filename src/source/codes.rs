//! The error codes of servers and proxies that this program distinguishes (MySQL
//! manual, "Server Error Message Reference" and "Client Error Message Reference";
//! MariaDB's documentation, "MariaDB Error Codes").
//!
//! Where no server is named, MySQL and MariaDB share the code.

use std::ops::Range;

/// ER_YES: the note of EXPLAIN that holds the rewritten statement.
pub(super) const REWRITTEN_STATEMENT: u16 = 1003;

/// ER_CON_COUNT_ERROR: `max_connections` are open.
pub(super) const TOO_MANY_CONNECTIONS: u16 = 1040;

/// ER_DBACCESS_DENIED_ERROR.
pub(super) const DATABASE_ACCESS_DENIED: u16 = 1044;

/// ER_ACCESS_DENIED_ERROR: user, password and host do not match an account.
pub(super) const ACCESS_DENIED: u16 = 1045;

/// ER_UNKNOWN_COM_ERROR: the server or a proxy does not know a command of the
/// protocol.
const UNKNOWN_COMMAND: u16 = 1047;

/// ER_NO_DB_ERROR: a table is named without its database, and none is selected.
pub(super) const NO_DATABASE: u16 = 1046;

/// ER_BAD_DB_ERROR.
pub(super) const UNKNOWN_DATABASE: u16 = 1049;

/// ER_SERVER_SHUTDOWN.
pub(super) const SERVER_SHUTDOWN: u16 = 1053;

/// ER_PARSE_ERROR: the statement is wrong, or unknown to this version of the
/// server.
pub(super) const PARSE_ERROR: u16 = 1064;

/// ER_NO_SUCH_THREAD: KILL names no connection.
pub(super) const NO_SUCH_THREAD: u16 = 1094;

/// ER_UNKNOWN_ERROR: the code of servers that have no codes of their own.
const UNKNOWN_ERROR: u16 = 1105;

/// ER_HOST_IS_BLOCKED.
pub(super) const HOST_BLOCKED: u16 = 1129;

/// ER_HOST_NOT_PRIVILEGED.
pub(super) const HOST_NOT_PRIVILEGED: u16 = 1130;

/// ER_NET_READ_INTERRUPTED: the server's read from the client timed out.
pub(super) const NET_READ_TIMEOUT: u16 = 1159;

/// ER_NEW_ABORTING_CONNECTION: the server has ended a session that it had just begun, as
/// `init_connect` failed.
pub(super) const INIT_CONNECT_FAILED: u16 = 1184;

/// ER_UNKNOWN_SYSTEM_VARIABLE.
pub(super) const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;

/// ER_TOO_MANY_USER_CONNECTIONS.
pub(super) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;

/// ER_USER_LIMIT_REACHED.
pub(super) const USER_LIMIT_REACHED: u16 = 1226;

/// ER_NOT_SUPPORTED_YET.
const NOT_SUPPORTED_YET: u16 = 1235;

/// ER_NOT_SUPPORTED_AUTH_MODE: the account's password has the hash of servers
/// before 4.1.
pub(super) const OLD_AUTH_MODE: u16 = 1251;

/// ER_CUT_VALUE_GROUP_CONCAT: a warning that `group_concat_max_len` truncated a
/// value.
pub(super) const GROUP_CONCAT_CUT: u16 = 1260;

/// ER_TRUNCATED_WRONG_VALUE: a warning that a value has another form than its use
/// needs.
pub(super) const TRUNCATED_VALUE: u16 = 1292;

/// ER_WRONG_VALUE: a date that is none, where dates are compared.
pub(super) const WRONG_VALUE: u16 = 1525;

/// ER_SERVER_IS_IN_SECURE_AUTH_MODE: as [`OLD_AUTH_MODE`], where the server
/// refuses such accounts.
pub(super) const SECURE_AUTH_MODE: u16 = 1275;

/// ER_UNSUPPORTED_PS: the statement cannot be prepared.
pub(super) const UNSUPPORTED_PREPARED_STATEMENT: u16 = 1295;

/// ER_VIEW_NO_EXPLAIN: the account may not see what a view of the statement reads.
pub(super) const VIEW_NOT_EXPLAINED: u16 = 1345;

/// ER_NET_PACKET_TOO_LARGE: the statement is longer than `max_allowed_packet`. The server
/// closes the connection.
pub(super) const PACKET_TOO_LARGE: u16 = 1153;

/// ER_WARN_ALLOWED_PACKET_OVERFLOWED: a warning that a value became NULL because
/// it is longer than `max_allowed_packet`.
pub(super) const VALUE_TOO_LARGE: u16 = 1301;

/// ER_SP_DOES_NOT_EXIST: a savepoint, or a procedure, does not exist.
pub(super) const DOES_NOT_EXIST: u16 = 1305;

/// ER_QUERY_INTERRUPTED: KILL QUERY ended the statement.
pub(super) const QUERY_INTERRUPTED: u16 = 1317;

/// ER_TABLE_DEF_CHANGED: a table was altered after the snapshot began.
pub(super) const TABLE_DEF_CHANGED: u16 = 1412;

/// ER_MAX_PREPARED_STMT_COUNT_REACHED.
const TOO_MANY_PREPARED_STATEMENTS: u16 = 1461;

/// ER_PLUGIN_IS_NOT_LOADED: the server lacks the account's authentication plugin.
pub(super) const PLUGIN_NOT_LOADED: u16 = 1524;

/// ER_ACCESS_DENIED_NO_PASSWORD_ERROR: the account logs in by the Unix user of
/// its name.
pub(super) const UNIX_USER_DENIED: u16 = 1698;

/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION.
pub(super) const READ_ONLY_TRANSACTION: u16 = 1792;

/// ER_MUST_CHANGE_PASSWORD: the login succeeded, and every statement fails but
/// the one that sets a new password (MySQL manual, "Server Handling of Expired
/// Passwords").
pub(super) const MUST_CHANGE_PASSWORD: u16 = 1820;

/// ER_MUST_CHANGE_PASSWORD_LOGIN: the login fails because the password has
/// expired.
pub(super) const MUST_CHANGE_PASSWORD_LOGIN: u16 = 1862;

/// ER_QUERY_RESULT_INCOMPLETE of MariaDB: a warning that a limit of the server or of
/// the statement ended the statement early, without an error.
pub(super) const LIMIT_EXCEEDED: u16 = 1931;

/// ER_CONNECTION_KILLED of MariaDB.
const CONNECTION_KILLED: u16 = 1927;

/// ER_STATEMENT_TIMEOUT of MariaDB.
const STATEMENT_TIMEOUT_MARIADB: u16 = 1969;

/// ER_QUERY_TIMEOUT of MySQL.
const QUERY_TIMEOUT_MYSQL: u16 = 3024;

/// ER_ACCOUNT_HAS_BEEN_LOCKED of MySQL.
pub(super) const ACCOUNT_LOCKED_MYSQL: u16 = 3118;

/// ER_SECURE_TRANSPORT_REQUIRED: `require_secure_transport` is on.
pub(super) const SECURE_TRANSPORT_REQUIRED: u16 = 3159;

/// ER_SESSION_WAS_KILLED of MySQL.
const SESSION_KILLED: u16 = 3169;

/// ER_CLIENT_INTERACTION_TIMEOUT of MySQL: the client was idle for too long.
pub(super) const CLIENT_INTERACTION_TIMEOUT: u16 = 4031;

/// ER_ACCOUNT_HAS_BEEN_LOCKED of MariaDB.
pub(super) const ACCOUNT_LOCKED_MARIADB: u16 = 4151;

/// WARN_SORTING_ON_TRUNCATED_LENGTH of MariaDB: values are longer than
/// `max_sort_length`.
pub(super) const SORTED_BY_PREFIX: u16 = 4202;

/// The statement ran longer than the session allows.
pub(super) const QUERY_TIMEOUT: [u16; 2] = [QUERY_TIMEOUT_MYSQL, STATEMENT_TIMEOUT_MARIADB];

/// ER_LOCK_WAIT_TIMEOUT and ER_LOCK_DEADLOCK: another session held a lock for too
/// long, or each of two waited for the other.
pub(super) const LOCK_REFUSED: [u16; 2] = [1205, 1213];

/// KILL ended the statement or its connection.
pub(super) const QUERY_KILLED: [u16; 3] = [QUERY_INTERRUPTED, CONNECTION_KILLED, SESSION_KILLED];

/// The connection between client, proxy and server was lost. The server reports
/// its own side as ER_NET_READ_ERROR, ER_NET_READ_INTERRUPTED,
/// ER_NET_ERROR_ON_WRITE and ER_NET_WRITE_INTERRUPTED. A proxy that has lost its
/// server, or has none, sends the client library's CR_CONNECTION_ERROR,
/// CR_CONN_HOST_ERROR, CR_SERVER_GONE_ERROR and CR_SERVER_LOST, or ProxySQL's
/// 9001 (maximum connect time reached).
pub(super) const CONNECTION_LOST: [u16; 9] = [
    1158,
    NET_READ_TIMEOUT,
    1160,
    1161,
    2002,
    2003,
    2006,
    2013,
    9001,
];

/// The server or a proxy does not prepare statements, or not this one.
const NOT_PREPARED: [u16; 5] = [
    UNKNOWN_COMMAND,
    UNKNOWN_ERROR,
    NOT_SUPPORTED_YET,
    UNSUPPORTED_PREPARED_STATEMENT,
    TOO_MANY_PREPARED_STATEMENTS,
];

/// Whether the error `code` of a PREPARE says that there is no such command for the
/// statement. Otherwise, the statement may be wrong.
pub(super) fn is_not_prepared(code: u16) -> bool {
    NOT_PREPARED.contains(&code) || PROXYSQL.contains(&code) || is_foreign(code)
}

/// Whether the error `code` says that the server does not know the statement. MySQL and
/// MariaDB know it.
pub(super) fn is_unknown_statement(code: u16) -> bool {
    let unknown = [
        UNKNOWN_COMMAND,
        PARSE_ERROR,
        UNKNOWN_ERROR,
        UNKNOWN_SYSTEM_VARIABLE,
        NOT_SUPPORTED_YET,
    ];
    unknown.contains(&code) || is_foreign(code)
}

/// Whether neither MySQL nor MariaDB has the error `code`. ClickHouse has codes below
/// theirs, and TiDB and MatrixOne above; 2000 to 2999 are the client libraries'.
const fn is_foreign(code: u16) -> bool {
    matches!(code, ..1000 | 8000..9000 | 20_000..)
}

/// Whether the error `code` ends the statement or the connection, or says that the
/// account may run no statement now, instead of refusing what was asked for.
pub(super) fn is_end(code: u16) -> bool {
    let is_waiting_over = LOCK_REFUSED.contains(&code) || QUERY_TIMEOUT.contains(&code);
    let is_lost = CONNECTION_LOST.contains(&code) || QUERY_KILLED.contains(&code);
    is_waiting_over || is_lost || code == SERVER_SHUTDOWN || code == USER_LIMIT_REACHED
}

/// A login failed for a reason that passes: the server has no connection left,
/// for anybody or for this account, or is shutting down.
pub(super) const TRANSIENT_AT_LOGIN: [u16; 4] = [
    TOO_MANY_CONNECTIONS,
    TOO_MANY_USER_CONNECTIONS,
    USER_LIMIT_REACHED,
    SERVER_SHUTDOWN,
];

/// The codes of ProxySQL's own errors.
pub(super) const PROXYSQL: Range<u16> = 9000..10000;

/// What a warning says of the result of the statement that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Rows, or a whole value, are missing.
    Incomplete,
    /// A value is another one than the data or the statement has: it was cut, set to
    /// the nearest possible one, made NULL, or compared or sorted as such.
    Altered,
}

/// Returns what the warning `code` of the level `level` (the column `Level` of SHOW
/// WARNINGS) says of the result. `None`: nothing; it is about deprecated syntax, the
/// optimizer, or what a function means: a division by 0 and the like are NULL by
/// definition (ER_DIVISION_BY_ZERO 1365, ER_INVALID_ARGUMENT_FOR_LOGARITHM 3020), and
/// ER_CAPACITY_EXCEEDED (3170) only makes a statement slower.
///
/// The codes are from the servers' own tables of messages: MariaDB's
/// `sql/share/errmsg-utf8.txt` (10.11 and 11.8) and MySQL's
/// `share/messages_to_clients.txt` (9.7). From 1887 on, a code has another meaning
/// for each server; those in the lists are errors, and never warnings about rows, for
/// the other one.
pub(super) fn consequence(level: &str, code: u16) -> Option<Consequence> {
    match level {
        "Note" if !ALTERED.contains(&code) || MERE_NOTES.contains(&code) => None,
        _ if INCOMPLETE.contains(&code) => Some(Consequence::Incomplete),
        _ if ALTERED.contains(&code) || IN_DOUBT.contains(&code) => Some(Consequence::Altered),
        // The statement has succeeded in spite of an error.
        "Error" => Some(Consequence::Altered),
        _ => None,
    }
}

/// The warnings that rows or whole values are missing.
const INCOMPLETE: [u16; 7] = [
    VALUE_TOO_LARGE,
    1429, // ER_CONNECT_TO_FOREIGN_DATA_SOURCE
    1430, // ER_QUERY_ON_FOREIGN_DATA_SOURCE
    1684, // ER_WARN_I_S_SKIPPED_TABLE
    LIMIT_EXCEEDED,
    3641, // ER_I_S_SKIPPED_TABLESPACE of MySQL
    6119, // ER_WARN_SP_STATEMENT_PARTIALLY_EXECUTED of MySQL
];

/// The warnings that a value was altered.
pub(super) const ALTERED: [u16; 57] = [
    1139,              // ER_REGEXP_ERROR of MariaDB: a match that it gave up
    NOT_SUPPORTED_YET, // of MySQL: JSON compared as text
    1256,              // ER_TOO_BIG_FOR_UNCOMPRESS
    1257,              // ER_ZLIB_Z_MEM_ERROR
    1258,              // ER_ZLIB_Z_BUF_ERROR
    1259,              // ER_ZLIB_Z_DATA_ERROR
    GROUP_CONCAT_CUT,
    1264, // ER_WARN_DATA_OUT_OF_RANGE
    1265, // WARN_DATA_TRUNCATED
    TRUNCATED_VALUE,
    1300, // ER_INVALID_CHARACTER_STRING
    1366, // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
    1367, // ER_ILLEGAL_VALUE_FOR_TYPE
    1406, // ER_DATA_TOO_LONG
    1411, // ER_WRONG_VALUE_FOR_TYPE
    1416, // ER_CANT_CREATE_GEOMETRY_OBJECT
    1441, // ER_DATETIME_FUNCTION_OVERFLOW
    WRONG_VALUE,
    1583, // ER_WRONG_PARAMETERS_TO_NATIVE_FCT
    1618, // WARN_OPTION_IGNORED: of a function's argument
    1649, // ER_UNKNOWN_LOCALE
    1690, // ER_DATA_OUT_OF_RANGE
    1916, // ER_DATA_OVERFLOW of MariaDB
    1917, // ER_DATA_TRUNCATED of MariaDB
    1918, // ER_BAD_DATA of MariaDB
    1919, // ER_DYN_COL_WRONG_FORMAT of MariaDB
    1920, // ER_DYN_COL_IMPLEMENTATION_LIMIT of MariaDB
    1921, // ER_DYN_COL_DATA of MariaDB
    1958, // ER_BAD_BASE64_DATA of MariaDB
    1977, // ER_CANNOT_CONVERT_CHARACTER of MariaDB
    3141, // ER_INVALID_JSON_TEXT_IN_PARAM of MySQL
    3155, // ER_NUMERIC_JSON_VALUE_OUT_OF_RANGE of MySQL
    3156, // ER_INVALID_JSON_VALUE_FOR_CAST of MySQL
    3854, // ER_CANNOT_CONVERT_STRING of MySQL
    3986, // ER_WARN_IMPLICIT_COMPARISON_FOR_JSON of MySQL
    4035, // ER_JSON_BAD_CHR of MariaDB
    4036, // ER_JSON_NOT_JSON_CHR of MariaDB
    4037, // ER_JSON_EOS of MariaDB
    4038, // ER_JSON_SYNTAX of MariaDB
    4039, // ER_JSON_ESCAPING of MariaDB
    4040, // ER_JSON_DEPTH of MariaDB
    4041, // ER_JSON_PATH_EOS of MariaDB
    4042, // ER_JSON_PATH_SYNTAX of MariaDB
    4043, // ER_JSON_PATH_DEPTH of MariaDB
    4044, // ER_JSON_PATH_NO_WILDCARD of MariaDB
    4045, // ER_JSON_PATH_ARRAY of MariaDB
    4046, // ER_JSON_ONE_OR_ALL of MariaDB
    4048, // ER_GEOJSON_INCORRECT of MariaDB
    4049, // ER_GEOJSON_TOO_FEW_POINTS of MariaDB
    4050, // ER_GEOJSON_NOT_CLOSED of MariaDB
    4051, // ER_JSON_PATH_EMPTY of MariaDB
    4076, // ER_GEOJSON_EMPTY_COORDINATES of MariaDB
    4183, // ER_SFORMAT_ERROR of MariaDB
    SORTED_BY_PREFIX,
    4203, // ER_VECTOR_BINARY_FORMAT_INVALID of MariaDB
    4204, // ER_VECTOR_FORMAT_INVALID of MariaDB
    6527, // ER_TEMPORAL_FUNCTION_OVERFLOW of MySQL
];

/// The warnings of tables and views whose rows or values may not be what they should.
const IN_DOUBT: [u16; 4] = [
    1030,          // ER_GET_ERRNO: a storage engine's error
    UNKNOWN_ERROR, // of a plugin, such as a storage engine
    1296,          // ER_GET_ERRMSG: an error of a storage engine in its own words
    1356,          // ER_VIEW_INVALID: in information_schema
];

/// The codes of [`ALTERED`] whose notes are about what a statement means, such as a time
/// of day that a comparison with a date ignores, or spaces after a number.
const MERE_NOTES: [u16; 2] = [1265, TRUNCATED_VALUE];
