//! How an address and a password may be written: URLs as other programs write them,
//! password files, and the variables of the vendors' clients.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use serde_json::Value as Json;

use crate::support::{GoldDigger, each_server};

const SELECT: &str = "SELECT 1 AS a";

const SHAPE: &str = "write mysql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded (@ is %40, # is %23)";

#[test]
fn urls_are_accepted_as_other_programs_write_them() {
    let plain = ["u", "h", "3306", "d", "***"];
    for (url, wanted) in [
        ("mysql://u:p@h/d", plain),
        ("\"mysql://u:p@h/d\"", plain),
        ("'mysql://u:p@h/d'", plain),
        (" \tmysql://u:p@h/d\r\n", plain),
        ("MYSQL://u:p@h/d", plain),
        ("MariaDB://u:p@h/d", plain),
        ("mysql2://u:p@h/d", plain),
        ("mysql://u:p@h/d?charset=utf8mb4", plain),
        ("mysql://u:p@h/d?charset=UTF8&ssl-mode=required", plain),
        ("mysql://h/d?user=u&password=p", plain),
        ("mysql://u@h/d?password=p", plain),
        ("mysql://h:7/d?user=u%40x", ["u@x", "h", "7", "d", ""]),
        ("mysql://u@h/d?password=", ["u", "h", "3306", "d", ""]),
    ] {
        let run = GoldDigger::new().env("DATABASE_URL", url);
        let dump = run.args(["--dump-config", SELECT]).run().ended(0, "");
        let dump: Json = serde_json::from_slice(&dump.stdout).expect("JSON");
        let found = ["user", "host", "port", "database", "password"].map(|key| {
            match &dump["connection"][key]["value"] {
                Json::String(text) => text.clone(),
                Json::Null => String::new(),
                other => other.to_string(),
            }
        });
        assert_eq!(found, wanted, "{url}");
    }
}

#[test]
fn what_is_wrong_with_a_url_is_named_and_not_shown() {
    let unknown = "there are socket=/PATH, ssl-mode=MODE, ssl-ca=FILE, ssl-cert=FILE, ssl-key=FILE, user=, password= and charset=utf8mb4";
    let charset = "leave it out: the server always sends UTF-8, and so the output is UTF-8";
    #[rustfmt::skip]
    let cases = [
        ("postgres://u:s3cret@h/d", "does not begin with mysql:// or mariadb://", SHAPE),
        ("u:s3cret@h/d", "does not begin with mysql:// or mariadb://", SHAPE),
        ("\"mysql://u:s3cret@h/d", "begins with a quotation mark, and does not end with it", SHAPE),
        ("jdbc:mysql://h/d?user=u&password=s3cret", "begins with jdbc:, which only Java's programs know: leave that out", SHAPE),
        ("mysql://u:s3cret@h:port/d", "has a port that is no number from 1 to 65535", SHAPE),
        ("mysql://u:s3cret@h:0/d", "has a port that is no number from 1 to 65535", SHAPE),
        ("mysql://u:s3/cret@h/d", "has a port that is no number from 1 to 65535", SHAPE),
        ("mysql://u:s3cret@[::1/d", "has a host that is neither a name nor an address", SHAPE),
        ("mysql://u:s3cret@h h/d", "has a host that is neither a name nor an address", SHAPE),
        ("mysql://u:s3cret@/d", "has no host", SHAPE),
        ("mysql://:s3cret@h/d", "names no user", SHAPE),
        ("mysql://u:s3cret@h/d#x", "holds a '#'", SHAPE),
        ("mysql://u:s3cret@h/d/e", "holds more than a database behind the host", SHAPE),
        ("mysql://u:s3cret@h/d?password=s3cret", "has a password before the host, and another one as a parameter", SHAPE),
        ("mysql://u@h/d?user=v", "has a user before the host, and another one as a parameter", SHAPE),
        ("mysql://u:s3cret@h/d?charset=latin1", "has a charset that is not utf8mb4", charset),
        ("mysql://u:s3cret@h/d?useSSL=false", "has the unknown parameter \"useSSL\"", unknown),
        ("mysql://u@h/d?password=s3&cret=1", "has an unknown parameter behind the password, in which & is written %26", SHAPE),
        ("mysql://h/d?user=u&user=u", "has user twice", SHAPE),
        ("mysql://h/d?user=", "has an empty user", SHAPE),
    ];
    for (url, what, hint) in cases {
        let run = GoldDigger::new().env("DATABASE_URL", url).arg(SELECT).run();
        run.ended(
            2,
            &format!("gold_digger: DATABASE_URL {what}\n  hint: {hint}\n"),
        );
    }
}

#[test]
fn a_password_file_holds_one_line_and_nothing_else() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        let shown = file.display();
        let port = db.server.port.to_string();
        let run = |bytes: &[u8]| {
            fs::write(&file, bytes).expect("a file");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("my file");
            let login = ["--host", "127.0.0.1", "--port", &port, "--user", "root"];
            let run = GoldDigger::new().args(login).arg("--password-file");
            run.arg(&file).arg(SELECT).run()
        };
        let password = db.server.password.as_str();
        for right in [
            password.to_owned(),
            format!("{password}\n"),
            format!("{password}\r\n"),
            format!("\u{feff}{password}"),
            format!("\u{feff}{password}\r\n"),
        ] {
            run(right.as_bytes()).wrote("a\n1\n");
        }
        let empty_line = "remove it: one line end after the password is ignored, and no more";
        for (wrong, what) in [
            (
                format!("{password}\n\n"),
                format!("which ends with an empty line\n  hint: {empty_line}"),
            ),
            (
                format!("{password}\r\n\r\n"),
                format!("which ends with an empty line\n  hint: {empty_line}"),
            ),
            (
                format!("{password}\nx\n"),
                "which has more than one line".to_owned(),
            ),
            ("\n\n".to_owned(), "which is empty".to_owned()),
            ("\u{feff}".to_owned(), "which is empty".to_owned()),
            (
                format!("\u{feff}\u{feff}{password}"),
                "which has more than one byte order mark (U+FEFF)\n  hint: save it as UTF-8 \
                 without one"
                    .to_owned(),
            ),
        ] {
            let message = format!("gold_digger: --password-file names {shown}, {what}\n");
            run(wrong.as_bytes()).ended(2, &message);
        }
    });
}

#[test]
fn the_variables_of_the_vendors_clients_are_enough_to_log_in() {
    each_server(|db| {
        let port = db.server.port.to_string();
        let password = &db.server.password;
        let by_tcp = || {
            let run = GoldDigger::new().env("MYSQL_HOST", "127.0.0.1");
            run.env("MYSQL_TCP_PORT", &port).args(["--user", "root"])
        };
        by_tcp()
            .env("MYSQL_PWD", password)
            .arg(SELECT)
            .run()
            .wrote("a\n1\n");
        let refused = by_tcp().env("MYSQL_PWD", "wrong").arg(SELECT).run();
        refused.failed(3, &["Access denied"]);
        let by_socket = GoldDigger::new().env("MYSQL_UNIX_PORT", &db.server.socket);
        let by_socket = by_socket
            .env("MYSQL_PWD", password)
            .env("MYSQL_TCP_PORT", "1");
        by_socket
            .args(["--user", "root", SELECT])
            .run()
            .wrote("a\n1\n");
    });
    let run = GoldDigger::new()
        .env("MYSQL_TCP_PORT", "sql")
        .arg(SELECT)
        .run();
    let message = "MYSQL_TCP_PORT cannot be \"sql\": it is a number from 1 to 65535";
    run.ended(2, &format!("gold_digger: {message}\n"));
}

#[test]
fn login_paths_are_said_not_to_be_supported() {
    let hint = "write host, user and password as text into ~/.my.cnf, with chmod 600";
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path(".mylogin.cnf"), [0, 0, 0, 0, 7, 7]).expect("a file");
    let run = || GoldDigger::new().env("HOME", folder.path()).arg(SELECT);
    let message =
        "no server is named: ~/.mylogin.cnf is not read, as login paths are not supported";
    run().run().failed(2, &[message]);
    let file = path(".mylogin.cnf").display().to_string();
    let message = format!(
        "gold_digger: the option file {file} is not read: login paths are not supported\n  hint: {hint}\n"
    );
    run()
        .args(["--defaults-file", &file])
        .run()
        .ended(2, &message);
    fs::write(path(".my.cnf"), "[client]\nlogin-path=shop\nhost=h\n").expect("a file");
    let warning = format!(
        "gold_digger: warning: {}:2: login-path is passed over, as it is not supported: {hint}\n",
        path(".my.cnf").display()
    );
    run().arg("--dump-config").run().ended(0, &warning);
}
