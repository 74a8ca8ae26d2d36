//! What servers execute wrongly when it is prepared runs as text, and a session in another
//! database than it is to be in is an error.

use crate::support::{
    Database, GlobalVariable, GoldDigger, each_server, each_server_alone, on_new_mariadb,
};

fn make_views(db: &Database) {
    for sql in [
        "CREATE TABLE s (id INT PRIMARY KEY, a INT, b INT, f FLOAT)",
        "INSERT INTO s VALUES (1, 10, 20, 0.5), (2, 11, 21, 0.5), (3, 12, 22, 0.5)",
        "CREATE VIEW plain AS SELECT * FROM s",
        "CREATE VIEW bare AS SELECT id, (SELECT GREATEST(COALESCE(a, 0), COALESCE(b, 0))) AS m, (SELECT a + 1) AS x FROM plain",
        "CREATE VIEW outermost AS SELECT bare.* FROM s JOIN bare ON bare.id = s.id",
        "CREATE VIEW valid AS SELECT id, JSON_VALID((SELECT MAX(q.a) FROM s q WHERE q.id = s.id)) AS ok FROM s",
    ] {
        db.sql(sql);
    }
}

fn csv(db: &Database, args: &[&str]) -> GoldDigger {
    GoldDigger::new()
        .env("DATABASE_URL", db.url())
        .args(["--format", "csv"])
        .args(args)
}

fn check_values(db: &Database) {
    make_views(db);
    // A number is JSON for MariaDB only.
    let [valid, first] = match db.is_mariadb() {
        true => ["id,ok\n1,1\n2,1\n3,1\n", "id,ok\n1,1\n"],
        false => ["id,ok\n1,0\n2,0\n3,0\n", "id,ok\n1,0\n"],
    };
    for (args, expected) in [
        (
            &["--table", "bare"][..],
            "id,m,x\n1,20,11\n2,21,12\n3,22,13\n",
        ),
        (
            &["--table", "outermost"],
            "id,m,x\n1,20,11\n2,21,12\n3,22,13\n",
        ),
        (
            &["SELECT id, (SELECT a + 1) AS x FROM plain"],
            "id,x\n1,11\n2,12\n3,13\n",
        ),
        (
            &[
                "WITH d AS (SELECT * FROM s) SELECT id FROM d WHERE COALESCE((SELECT a + b), 0) > 5 OR id = 1",
            ],
            "id\n1\n2\n3\n",
        ),
        (
            &["SELECT COUNT(*) AS n, SUM((SELECT a + 1)) AS s FROM (SELECT * FROM s) d"],
            "n,s\n3,36\n",
        ),
        (
            &["SELECT id, (SELECT (SELECT a + 1 FROM dual)) AS x FROM plain LIMIT 1"],
            "id,x\n1,11\n",
        ),
        (
            &["SELECT d.id, (SELECT COUNT(*) FROM bare WHERE bare.x > d.a) AS n FROM plain d"],
            "id,n\n1,3\n2,2\n3,1\n",
        ),
        (&["--table", "valid"], valid),
        (
            &[
                "SELECT id, JSON_VALID((SELECT MAX(q.a) FROM s q WHERE q.id = s.id)) AS ok FROM s LIMIT 1",
            ],
            first,
        ),
    ] {
        // A table comes in the order of its key, as these rows do.
        csv(db, args).run().wrote(expected).ended(0, "");
        let text = csv(db, args).args(["--protocol", "text"]).run();
        text.wrote(expected).ended(0, "");
    }
}

#[test]
fn what_servers_execute_wrongly_when_it_is_prepared_runs_as_text() {
    each_server(|db| {
        check_values(db);
        // Everything else is prepared.
        for args in [
            &["--table", "plain"][..],
            &["SELECT * FROM (SELECT 1 AS a UNION ALL SELECT 2) d"],
            &["SELECT (SELECT MAX(a) FROM s) AS m FROM plain"],
        ] {
            let stderr = csv(db, args).arg("-v").run().ended_with(0);
            assert!(stderr.contains("over the binary protocol"), "{stderr}");
        }
        let (table, reason) = match db.is_mariadb() {
            true => (
                "outermost",
                "MariaDB executes a subquery without FROM wrongly when it is prepared",
            ),
            false => (
                "valid",
                "MySQL executes JSON_VALID((SELECT …)) wrongly when it is prepared",
            ),
        };
        let stderr = csv(db, &["-v", "--table", table]).run().ended_with(0);
        assert!(stderr.contains(reason), "{stderr}");
        let binary = csv(db, &["--protocol", "binary", "--table", table]).run();
        binary.failed(
            4,
            &[
                "the statement cannot use the binary protocol",
                reason,
                "choose --protocol auto",
            ],
        );
        // Of a view that the account may not look into, MariaDB's is not trusted.
        let reader = |args: &[&str]| {
            let url = db.url_of_reader("plain");
            let run = GoldDigger::new().env("DATABASE_URL", url);
            run.args(["--format", "csv", "-v"]).args(args).run()
        };
        let stderr = reader(&["SELECT id FROM plain"]).ended_with(0);
        let used = match db.is_mariadb() {
            true => "this account may not see whether there is one",
            false => "over the binary protocol",
        };
        assert!(stderr.contains(used), "{stderr}");
    });
    on_new_mariadb(check_values);
}

/// Statements that read a view which must not be prepared in ways that are easy to overlook.
fn check_overlooked(db: &Database) {
    make_views(db);
    let (view, rows) = match db.is_mariadb() {
        true => ("outermost", "id,x\n1,11\n2,12\n3,13\n"),
        false => ("valid", "id,x\n1,0\n2,0\n3,0\n"),
    };
    let x = if db.is_mariadb() { "x" } else { "ok" };
    let name = &db.name;
    let from = |from: &str| format!("SELECT v.id, v.{x} AS x FROM {from} ORDER BY v.id");
    let check = |sql: &str, more: &[&str]| {
        let run = csv(db, &[&[sql], more].concat()).run();
        run.wrote(rows).ended_with(0);
    };
    for hint in [
        "USE INDEX FOR JOIN",
        "FORCE INDEX FOR ORDER BY",
        "IGNORE INDEX FOR GROUP BY",
    ] {
        check(
            &from(&format!("s {hint} (PRIMARY) JOIN {view} v ON v.id = s.id")),
            &[],
        );
    }
    check(
        &from(&format!("s minus JOIN {view} v ON v.id = minus.id")),
        &[],
    );
    check(&from(&format!("`{name}` . `{view}` v")), &[]);
    for mode in ["ANSI_QUOTES", "ANSI", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"] {
        let init = format!("--init=SET sql_mode = '{mode}'");
        check(&from(&format!("\"{view}\" v")), &[&init]);
    }
    if !db.is_mariadb() {
        for call in [
            "`json_valid`((SELECT MAX(id) FROM s))",
            "JSON_VALID((TABLE one))",
        ] {
            db.sql("CREATE TABLE IF NOT EXISTS one AS SELECT 1 AS a");
            let run = csv(db, &[&format!("SELECT {call} AS q, 1 AS b")]).run();
            run.wrote("q,b\n0,1\n").ended(0, "");
        }
        return;
    }
    check(&from(&format!("/*M! {view} */ v")), &[]);
    check(
        &from(&format!("s JOIN /*M!100100 {view} */ v ON v.id = s.id")),
        &[],
    );
    // The look-up itself is refused.
    let big = "--init=SET sql_big_selects = 0, max_join_size = 1";
    let sql = format!("SELECT id, x FROM {view} WHERE id = 1");
    let run = csv(db, &[&sql, big]).run();
    assert!(run.status.code() != Some(0) || run.stdout == b"id,x\n1,11\n");
    // A view that the account may not see, within one that it may.
    let hidden = format!("{name}_hidden");
    db.sql(&format!("CREATE DATABASE {hidden}"));
    db.sql(&format!(
        "CREATE VIEW {hidden}.h AS SELECT id, (SELECT a + 1) AS x FROM {name}.plain"
    ));
    db.sql(&format!(
        "CREATE VIEW shown AS SELECT id, x FROM {hidden}.h"
    ));
    let url = db.url_of_reader("shown");
    db.sql(&format!(
        "GRANT SHOW VIEW ON {name}.shown TO {name}_r@'127.0.0.1'"
    ));
    let run = GoldDigger::new().env("DATABASE_URL", url);
    let run = run.args(["--format=csv", "--table=shown"]).run();
    run.wrote("id,x\n1,11\n2,12\n3,13\n").ended(0, "");
    db.sql(&format!("DROP DATABASE {hidden}"));
}

#[test]
fn no_way_to_name_a_view_hides_it() {
    each_server(check_overlooked);
    on_new_mariadb(check_overlooked);
}

#[test]
fn comments_that_only_mariadb_executes_are_read_as_it_does() {
    each_server(|db| {
        if !db.is_mariadb() {
            return;
        }
        db.sql("CREATE TABLE bits (a BIT(8))");
        db.sql("INSERT INTO bits VALUES (b'110001'), (b'110010')");
        for rollup in ["WITH ROLLUP", "/*M! WITH ROLLUP */"] {
            let sql = format!("SELECT a FROM bits GROUP BY a {rollup}");
            let stderr = csv(db, &[&sql]).run().stderr;
            assert!(
                stderr.contains("where a total of WITH ROLLUP has NULL"),
                "{rollup}: {stderr}"
            );
        }
        db.sql("CREATE TABLE b1 (id INT PRIMARY KEY)");
        db.sql("CREATE TABLE b2 (id INT PRIMARY KEY)");
        let sql = "SELECT b1.id, b2.id AS other FROM b1 /*M! RIGHT */ JOIN b2 ON b1.id = b2.id WHERE :increment";
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("c.toml");
        let text = format!(
            "[run]\nstate = 's'\n[[export]]\nname = 'x'\npath = 'x.csv'\nincremental = 'b1.id'\nsql = '{sql}'\n"
        );
        std::fs::write(&config, text).expect("a file");
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.arg("--config").arg(&config).run();
        assert_ne!(run.status.code(), Some(0));
        run.assert_stderr_contains(&["outer join"]);
    });
}

#[test]
fn a_session_in_another_database_is_an_error() {
    each_server_alone(|db| {
        make_views(db);
        let url = db.url_of_reader("plain");
        let other = format!("{}_other", db.name);
        db.sql(&format!("CREATE DATABASE {other}"));
        db.sql(&format!("CREATE TABLE {other}.plain (id INT)"));
        db.sql(&format!(
            "GRANT SELECT ON {other}.* TO {}_r@'127.0.0.1'",
            db.name
        ));
        let message = format!(
            "the session is in the database \"{other}\", and not in \"{}\"",
            db.name
        );
        {
            let _set = GlobalVariable::set(db, "init_connect", &format!("'USE {other}'"));
            for args in [
                &["--table", "plain"][..],
                &["SELECT * FROM plain"],
                &["SHOW TABLES"],
            ] {
                let run = GoldDigger::new().env("DATABASE_URL", &url).args(args).run();
                run.failed(4, &[&message, "init_connect", "leave USE out there"]);
            }
            // It is the same in each database.
            let run = GoldDigger::new().env("DATABASE_URL", &url).arg("SELECT 1");
            run.run().ended_with(0);
        }
        if db.is_mariadb() {
            let init = format!("EXECUTE IMMEDIATE 'USE {other}'");
            let run = csv(db, &["--init", &init, "--table", "plain"]).run();
            run.failed(4, &[&message, "init statement"]);
        }
        db.sql(&format!("DROP DATABASE {other}"));
    });
}
