//! What a target of `--for` cannot hold, what contradicts it, how spreadsheets
//! open its file, and the recipe of the README.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use super::targets::{compare, load_into_mysql};
use crate::support::{Database, GoldDigger, each_server, on_a_server};

const NUL: &str = "NUL character";
const CALENDAR: &str = "no date of the calendar";
const BEYOND: &str = "is a date beyond those of the target of --for";
const NULL: &str = "the text that stands for NULL";

/// A target, a query of the table `t`, and what is wrong with the value.
const IMPOSSIBLE: &[(&str, &str, &str)] = &[
    (
        "postgres",
        "SELECT 1 x, CONCAT('a', CHAR(0 USING utf8mb4)) y",
        NUL,
    ),
    (
        "sqlite",
        "SELECT 1 x, CONCAT('a', CHAR(0 USING utf8mb4)) y",
        NUL,
    ),
    (
        "redshift",
        "SELECT 1 x, CONCAT('a', CHAR(0 USING utf8mb4)) y",
        NUL,
    ),
    ("postgres", "SELECT id, a FROM t WHERE id = 1", CALENDAR),
    ("duckdb", "SELECT id, a FROM t WHERE id = 2", CALENDAR),
    ("clickhouse", "SELECT id, a FROM t WHERE id = 1", CALENDAR),
    ("postgres", "SELECT id, a FROM t WHERE id = 3", BEYOND),
    ("duckdb", "SELECT id, a FROM t WHERE id = 3", BEYOND),
    ("clickhouse", "SELECT id, a FROM t WHERE id = 4", BEYOND),
    ("clickhouse", "SELECT id, b FROM t WHERE id = 4", BEYOND),
    (
        "postgres",
        "SELECT id, c FROM t WHERE id = 1",
        "is neither 0 nor 1",
    ),
    (
        "sqlite",
        "SELECT id, d FROM t WHERE id = 1",
        "is larger than any integer",
    ),
    (
        "sqlite",
        "SELECT id, e FROM t WHERE id = 1",
        "is larger than any integer",
    ),
    (
        "sqlite",
        "SELECT 1 x, CONVERT(x'F48FBFBF' USING utf8mb4) y",
        NULL,
    ),
    ("bigquery", "SELECT 1 x, '<NULL>' y", NULL),
    ("snowflake", "SELECT 1 x, '<NULL>' y", NULL),
    ("redshift", "SELECT 1 x, '<NULL>' y", NULL),
    (
        "redshift",
        "SELECT 1 x, REPEAT('x', 65536) y",
        "is longer than any text",
    ),
    (
        "redshift",
        "SELECT 1 x, CAST(REPEAT('x', 1024001) AS BINARY) y",
        "has more bytes than any value",
    ),
];

#[test]
fn values_that_a_target_cannot_hold_are_errors() {
    each_server(|db| {
        let mut conn = db.connect();
        for sql in [
            "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'",
            "CREATE TABLE t (id INT, a DATE, b DATETIME(6), c TINYINT(1), d BIGINT UNSIGNED, e BIT(64))",
            "INSERT INTO t VALUES (1, '2026-02-31', NULL, 2, 18446744073709551615, ~0), (2, '2100-02-29', NULL, 1, 1, 1),
             (3, '0000-05-05', NULL, 1, 1, 1), (4, '9999-12-31', '1899-12-31 23:59:59.999999', 1, 1, 1),
             (5, NULL, '0000-00-00', 1, 1, 1)",
        ] {
            mysql::prelude::Queryable::query_drop(&mut conn, sql).expect(sql);
        }
        for (target, sql, problem) in IMPOSSIBLE {
            for protocol in ["text", "binary"] {
                let run = db
                    .export(sql)
                    .args(["--for", target, "--protocol", protocol]);
                run.run().failed(4, &["row 1, column ", problem, "hint: "]);
            }
        }
        // The longest that fits, which is no text for NULL either.
        for sql in ["REPEAT('x', 1024000)", "'<NULL>'"] {
            let sql = format!("SELECT CAST({sql} AS BINARY) y");
            db.export(&sql).arg("--for=redshift").run().ended(0, "");
        }
        let kept = ["--for=postgres", "--zero-dates=keep"];
        let zero = db.export("SELECT id, b FROM t WHERE id = 5");
        zero.args(kept)
            .run()
            .failed(4, &[CALENDAR, "--zero-dates null"]);
    });
}

/// Exports `sql` for MySQL, loads it, and returns what the table then holds.
fn loaded_by_mysql(db: &Database, sql: &str, protocol: &str) -> (String, String) {
    use mysql::prelude::Queryable;

    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let run = db.export(sql).args(["--for=mysql", "--protocol", protocol]);
    let run = run.args(["--header=false", "-o"]).arg(at("copy.tsv"));
    run.arg("--load-statement")
        .arg(at("copy.sql"))
        .run()
        .ended(0, "");
    let read = |name: &str| fs::read_to_string(at(name)).expect(name);
    load_into_mysql(db, &read("copy.sql"));
    let mut conn = db.connect();
    let found: Option<String> = conn.query_first("SELECT x FROM copy").expect("a value");
    conn.query_drop("DROP TABLE copy").expect("a table");
    (
        read("copy.tsv").trim_end().to_owned(),
        found.expect("a value"),
    )
}

#[test]
fn what_expressions_have_beyond_their_types_is_loaded_or_refused() {
    each_server(|db| {
        db.sql("CREATE TABLE ut (id INT, iu INT UNSIGNED, w DECIMAL(65,0), d DOUBLE)");
        db.sql("INSERT INTO ut VALUES (1, 1700000000, 1, 1.25), (2, 1700000001, 2, 1.25)");
        for protocol in ["text", "binary"] {
            for sql in [
                "SELECT AVG(w) AS x FROM ut",
                "SELECT FROM_UNIXTIME(MAX(d)) AS x FROM ut",
                "SELECT FROM_UNIXTIME('1.25') AS x",
                "SELECT SEC_TO_TIME(MAX(d)) AS x FROM ut",
                "SELECT AVG(iu) AS x FROM ut",
            ] {
                let (written, loaded) = loaded_by_mysql(db, sql, protocol);
                assert_eq!(written, loaded, "{sql}");
            }
            for (sql, is_mysql) in [
                (
                    "SELECT AVG(CASE WHEN id>0 THEN iu ELSE 0 END) x FROM ut",
                    true,
                ),
                ("SELECT AVG(CASE WHEN id THEN 100 END) x FROM ut", false),
            ] {
                if is_mysql == db.is_mariadb() {
                    continue;
                }
                for target in [
                    "mysql",
                    "postgres",
                    "clickhouse",
                    "duckdb",
                    "bigquery",
                    "snowflake",
                    "redshift",
                ] {
                    let run = db
                        .export(sql)
                        .args(["--for", target, "--protocol", protocol])
                        .run();
                    // MariaDB 10.11.18 and later declare enough digits.
                    if run.status.code() == Some(0) && db.is_mariadb() {
                        let (written, loaded) = loaded_by_mysql(db, sql, protocol);
                        assert_eq!(written, loaded, "{sql}");
                        continue;
                    }
                    run.failed(
                        4,
                        &[
                            "row 1, column \"x\": ",
                            "has more digits than its column's type says",
                            "CAST(… AS DECIMAL(20,4))",
                        ],
                    );
                }
                // Their tables have texts.
                for target in ["sqlite", "excel"] {
                    db.export(sql).args(["--for", target]).run().ended_with(0);
                }
            }
        }
    });
}

#[test]
fn mysql_has_no_statement_for_names_that_it_cannot_have() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let sql = folder.path().join("x.sql");
        for (file, query, problem) in [
            (
                "a😀.tsv",
                "SELECT 1 AS a",
                "takes no table of the file's name: \"a😀\"",
            ),
            (
                "a .tsv",
                "SELECT 1 AS a",
                "takes no table of the file's name: \"a \"",
            ),
            ("a\u{a0}.tsv", "SELECT 1 AS a", ""),
            (
                "x.tsv",
                "SELECT 1 AS `b\t`",
                "takes no column of the name of column 1",
            ),
            ("x.tsv", "SELECT 1 AS ` b`", ""),
        ] {
            let run = db.export(query).args(["--for=mysql", "-o"]);
            let run = run.arg(folder.path().join(file)).arg("--load-statement");
            let outcome = run.arg(&sql).run();
            match problem {
                "" => drop(outcome.ended(0, "")),
                _ => drop(outcome.failed(2, &[problem])),
            }
            if problem.is_empty() {
                let statement = fs::read_to_string(&sql).expect("a statement");
                load_into_mysql(db, &statement);
            }
        }
    });
}

#[test]
fn what_contradicts_a_target_is_refused() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (csv, tsv, sql) = (path("x.csv"), path("x.tsv"), path("x.sql"));
        let missing = path("no/x.sql");
        for (code, args, parts) in [
            (
                2,
                &["--for", "postgres", "-o", &csv][..],
                &["postgres loads tsv, and ", "x.csv is csv by its name"][..],
            ),
            (
                2,
                &["--load-statement", &sql],
                &["--load-statement needs to know what loads the rows"],
            ),
            (
                2,
                &["--for=excel", "--load-statement", &sql],
                &["excel opens files itself"],
            ),
            (2, &["--for=mysql", "--load-statement", "-"], &["-v prints"]),
            (
                2,
                &["--for=mysql", "-o", &tsv, "--load-statement", &tsv],
                &["would go to the same place"],
            ),
            (
                2,
                &["--for=mysql", "--format=json", "--load-statement", &sql],
                &["known for TSV only, and the format is json"],
            ),
            (
                2,
                &["--for=duckdb", "--header=false", "--load-statement", &sql],
                &["files with a header only"],
            ),
            (2, &["--for=oracle"], &["possible values: mysql, postgres"]),
            (
                5,
                &["--for=mysql", "-o", &tsv, "--load-statement", &missing],
                &["its folder does not exist", "--create-dirs"],
            ),
        ] {
            db.export("SELECT 1 AS a")
                .args(args)
                .run()
                .failed_with_any_length(code, parts);
        }
        let broken =
            db.export("SELECT 1 AS `a\nb`")
                .args(["--for=postgres", "--load-statement", &sql]);
        broken.run().failed(2, &["line end"]);
    });
}

#[test]
fn the_statement_is_given_before_and_after_the_rows() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (tsv, missing) = (path("x.tsv"), path("no/x.sql"));
        let checked = db
            .export("SELECT 1 AS a")
            .args(["--for=postgres", "--check"])
            .run();
        let shown = String::from_utf8(checked.ended(0, "").stdout).expect("UTF-8");
        assert!(
            shown.contains("\nCREATE TABLE IF NOT EXISTS \"result\" (\n"),
            "{shown}"
        );
        let created = [
            "--for=mysql",
            "-o",
            &tsv,
            "--create-dirs",
            "--load-statement",
            &missing,
        ];
        db.export("SELECT 1 AS a").args(created).run().wrote("");
        assert!(
            fs::read_to_string(missing)
                .expect("the statement")
                .contains("`a` INT")
        );
        let instants = db
            .export("SELECT CAST('2026-01-01' AS DATE) a")
            .args(["--for=postgres", "-v"]);
        let shown = instants.run().ended_with(0);
        assert!(
            shown.contains("\\copy \"result\" (\"a\") FROM '/dev/stdin'"),
            "{shown}"
        );
    });
}

#[test]
fn each_export_has_its_target() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (a TIMESTAMP NULL, b TINYINT(1))");
        db.sql("INSERT INTO t VALUES ('2026-01-01', 1)");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("x.toml");
        let exports = "[output]\nmanifest = true\n\
             [[export]]\nname = \"p\"\nsql = \"SELECT * FROM t\"\npath = \"p.tsv\"\nfor = \"postgres\"\nload_statement = \"p.sql\"\n\
             [[export]]\nname = \"d\"\nsql = \"SELECT * FROM t\"\npath = \"d-{date}.csv\"\nfor = \"duckdb\"\n\
             [[export]]\nname = \"n\"\nsql = \"SELECT b FROM t\"\npath = \"n.csv\"\n";
        let run = |text: &str| {
            fs::write(&config, text).expect("a file");
            let run = GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .arg("--config");
            run.arg(&config).run().ended_with(0)
        };
        let shown = run(exports);
        assert_eq!(
            shown
                .matches("TIMESTAMPs are in the session's time zone")
                .count(),
            2,
            "{shown}"
        );
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
        assert_eq!(read("n.csv"), "b\n1\n");
        assert!(read("p.tsv").ends_with("\ttrue\n"));
        let statement = read("p.sql");
        assert!(
            statement.contains("TABLE IF NOT EXISTS \"p\" (\n  \"a\" timestamp(0),"),
            "{statement}"
        );
        // The target of all exports sets the session of all.
        let shared = exports.replace("[output]\n", "[output]\nfor = \"mysql\"\n");
        let shared = shared.replace("path = \"n.csv\"", "path = \"n.tsv\"");
        assert_eq!(run(&shared), "");
        let dump = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .args(["--dump-config", "--config"]);
        let dump = dump.arg(&config).run().ended(0, "");
        let dump: serde_json::Value = serde_json::from_slice(&dump.stdout).expect("JSON");
        let zone = &dump["exports"]["p"]["session"]["time_zone"];
        assert_eq!(
            (&zone["value"], &zone["origin"]),
            (&"+00:00".into(), &"preset mysql".into())
        );
        let zone = "[session]\ntime_zone = \"+00:00\"\n";
        assert_eq!(run(&format!("{zone}{exports}")), "");
        assert!(read("p.sql").starts_with("SET timezone = 'UTC';\nCREATE"));
    });
}

#[test]
fn spreadsheets_open_the_file_for_excel() {
    each_server(|db| {
        db.sql("CREATE TABLE x (id INT, a TEXT, b BIGINT, c DECIMAL(20,5), d BLOB, e TINYINT(1), f DATETIME, g LONGTEXT, h BIT(64))");
        db.sql("INSERT INTO x VALUES (1, '=1+1', 123456789012345678, 1.5, x'1e5a', 1, '2026-03-01 10:11:12', '00123', ~0),
            (2, '-5', 1, 0.5, '', 0, '1999-12-31', '1-2', 1), (3, 'a\r\n\"b;,😀', NULL, NULL, NULL, NULL, NULL, '', 1),
            (4, '\t=1', 1000000000000000000, 12345678901.12345, '', 1, NULL, REPEAT('ü', 32768), 1), (5, '@a', 1, 1, '', 0, NULL, '+1', 1)");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.csv");
        let run = db
            .export("SELECT * FROM x")
            .args(["--for=excel", "-o"])
            .arg(&file);
        run.run().ended(0, "gold_digger: warning: 5 texts began like formulas and have an apostrophe before them (--csv-formulas escape)\n\
            gold_digger: warning: 3 numbers have more than 15 digits: Excel rounds each when it opens the file, unless its column is imported as text\n\
            gold_digger: warning: 2 texts look like numbers or dates: Excel converts each when it opens the file, unless its column is imported as text\n\
            gold_digger: warning: 1 text has more than the 32767 characters that a cell of Excel holds\n");
        let bytes = fs::read_to_string(&file).expect("the file");
        let begins = "\u{feff}id,a,b,c,d,e,f,g,h\r\n1,\"'=1+1\",123456789012345678,1.50000,\\x1e5a,true,2026-03-01 10:11:12,00123,18446744073709551615\r\n";
        assert!(bytes.starts_with(begins), "{bytes:.200}");
        db.sql("DELETE FROM x WHERE id = 4");
        db.export("SELECT * FROM x")
            .args(["--for=excel", "-o"])
            .arg(&file)
            .run()
            .ended_with(0);
        let sheet = opened(&file, folder.path());
        for cell in [
            "string:id",
            "string:'=1+1",
            "string:'-5",
            "string:'@a",
            "string:'+1",
            "string:\\x1e5a",
            "boolean:true",
            "boolean:false",
            "date:2026-03-01T10:11:12",
            "float:1.5",
            "string:a\n\"b;,😀",
        ] {
            assert!(
                sheet.contains(&cell.to_owned()),
                "{cell:?} is not in {sheet:?}"
            );
        }
    });
}

/// Opens a CSV file with LibreOffice Calc, and returns the type and value of each
/// cell. None is a formula.
fn opened(file: &Path, folder: &Path) -> Vec<String> {
    const CELLS: &str = r#"
import sys, xml.etree.ElementTree as tree
office, table, text = ('{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}' % name for name in ('office', 'table', 'text'))
for cell in tree.parse(sys.argv[1]).iter(table + 'table-cell'):
    assert table + 'formula' not in cell.attrib
    kind = cell.get(office + 'value-type')
    attribute = {'float': 'value', 'boolean': 'boolean-value', 'date': 'date-value'}.get(kind)
    value = cell.get(office + attribute) if attribute else '\n'.join(''.join(p.itertext()) for p in cell.iter(text + 'p'))
    if kind: print('%s:%s' % (kind, value), end='\0')
"#;
    let mut office = Command::new("soffice");
    office.arg(format!(
        "-env:UserInstallation=file://{}/office",
        folder.display()
    ));
    // Comma, quote, UTF-8, from the first line, not quoted fields as text, but
    // numbers and dates as Excel takes them.
    office.args([
        "--headless",
        "--convert-to",
        "fods",
        "--infilter=CSV:44,34,76,1,,0,false,true,false",
        "--outdir",
    ]);
    let output = office.arg(folder).arg(file).output();
    let output = output.expect("soffice runs: scripts/test installs libreoffice-calc");
    assert!(output.status.success(), "{output:?}");
    let cells = super::readers::python(CELLS, &[file.with_extension("fods").as_os_str()]);
    cells.split('\0').map(str::to_owned).collect()
}

/// Creates a table with what the recipe of the README must keep.
fn create_orders(db: &Database) {
    db.sql("CREATE TABLE orders (id INT PRIMARY KEY, bl BLOB, bit_8 BIT(8), ge GEOMETRY, text_json JSON, text_x TEXT, ts TIMESTAMP NULL)");
    db.sql("INSERT INTO orders VALUES (1, x'00ff0a5c', 5, ST_GeomFromText('POINT(1 2)'), '[1]', 'tab\t\\\\N', '2026-01-01'), (2, NULL, NULL, NULL, NULL, NULL, NULL)");
}

#[test]
fn the_recipe_of_the_readme_restores_every_type() {
    let readme = include_str!("../../README.md");
    let lines = readme
        .lines()
        .skip_while(|line| !line.contains("--for mysql -o"));
    let lines: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
    let [export, load] = lines[..] else {
        panic!("two commands: {lines:?}");
    };
    each_server(|db| {
        create_orders(db);
        let folder = tempfile::tempdir().expect("a folder");
        let server = &db.server;
        let options = format!(
            "[client]\nsocket={}\nuser=root\npassword=\"{}\"\n",
            server.socket.display(),
            server.password
        );
        let file = folder.path().join(".my.cnf");
        fs::write(&file, options).expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its owner may");
        let archive = format!("{}_archive", db.name);
        db.sql(&format!("CREATE DATABASE {archive}"));
        let program = env!("CARGO_BIN_EXE_gold_digger");
        let script = export
            .replace("gold_digger", program)
            .replace("shop", &db.name)
            + "\n"
            + &load.replace("archive", &archive);
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &script])
            .current_dir(folder.path())
            .env("HOME", folder.path());
        let output = shell.output().expect("a shell");
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && shown.is_empty() && output.stdout.is_empty(),
            "{shown} {output:?}"
        );
        compare(
            db,
            "SELECT * FROM orders",
            "mysql",
            format!("{archive}.orders").as_ref(),
            "",
            2,
        );
        db.sql(&format!("DROP DATABASE {archive}"));
        // The statement can be loaded twice, into the table that is there.
        let statement = fs::read_to_string(folder.path().join("load.sql")).expect("the statement");
        db.sql("TRUNCATE TABLE orders");
        let file = folder.path().join("orders.tsv").display().to_string();
        load_into_mysql(db, &statement.replace("'orders.tsv'", &format!("'{file}'")));
    });
}
