//! What the flags of other programs are called here, or how their job is done.

/// Names of flags that exist in `mysql`, `mysqldump` and similar programs and not
/// here, each with what to do instead.
const FOREIGN_FLAGS: [(&[&str], &str); 23] = [
    (
        &["-B", "--batch"],
        "--format tsv: tab-separated, with names in the first line; piped rows are so anyway",
    ),
    (
        &["-N", "--skip-column-names", "--no-header", "--noheader"],
        "--header=false leaves the names out",
    ),
    (
        &["-s", "--silent"],
        "leave it out: a success is silent, and --quiet hides warnings too",
    ),
    (
        &["-r", "--raw"],
        "leave it out: --format csv writes tabs and line ends as they are, between quotes",
    ),
    (
        &["-q", "--quick"],
        "-q SQL is the query; rows are never collected, so that nothing is needed for --quick",
    ),
    (
        &["-t"],
        "--format table is aligned columns; --table NAME exports a table's rows",
    ),
    (
        &["-H", "--html", "-X", "--xml"],
        "--format lists the formats",
    ),
    (&["-E"], "--vertical shows one value a line"),
    (
        &["--password", "--pass", "--passwd"],
        "-p asks for it; --password-file FILE and --password-env NAME need no terminal",
    ),
    (
        &["--login-path"],
        "the login file is not read: --defaults-file FILE reads an option file, and \
         --password-file FILE a password",
    ),
    (
        &["--defaults-extra-file"],
        "--defaults-file FILE reads one option file instead of ~/.my.cnf",
    ),
    (
        &["--ssl-mode", "--ssl", "--ssl-verify-server-cert"],
        "--tls MODE, which is disabled, required, verify-ca or verify-identity",
    ),
    (&["--skip-ssl", "--disable-ssl"], "--tls disabled"),
    (&["--ssl-ca", "--ssl-capath"], "--tls-ca-file FILE"),
    (&["--ssl-cert"], "--tls-cert FILE"),
    (&["--ssl-key"], "--tls-key FILE"),
    (
        &["--init-command"],
        "--init SQL runs a statement before the query",
    ),
    (
        &["--default-character-set"],
        "leave it out: the output is always UTF-8",
    ),
    (
        &[
            "-A",
            "--no-auto-rehash",
            "--skip-auto-rehash",
            "-n",
            "--unbuffered",
        ],
        "leave it out; --flush row writes each row as it comes",
    ),
    (&["-C"], "--compress"),
    (
        &["-f", "--force"],
        "leave it out: --on-error continue, the default, runs the other exports",
    ),
    (
        &["--single-transaction"],
        "--snapshot has all exports of a configuration file read one snapshot",
    ),
    (
        &["--delimiter", "--fields-terminated-by"],
        "--csv-delimiter CHAR",
    ),
];

/// Returns what `flag` is here, if it belongs to another program.
pub(super) fn hint_for_flag(flag: &str) -> Option<&'static str> {
    let mut known = FOREIGN_FLAGS.iter();
    known
        .find(|(names, _)| names.contains(&flag))
        .map(|(_, hint)| *hint)
}
