//! The time zone of TIMESTAMPs, which no report may name wrongly.

use std::fs;

use mysql::prelude::Queryable;
use serde_json::Value;

use crate::support::{Database, each_server, make_zone_with_summer_time};

const HINT: &str =
    "--time-zone chooses the zone: neither the statement nor what it calls may set another one";

fn make_table(db: &Database) {
    db.sql("CREATE TABLE t (at TIMESTAMP NULL, d DATETIME)");
    db.sql("INSERT INTO t VALUES (FROM_UNIXTIME(1767323045), '2026-01-02 03:04:05')");
    for (name, select) in [("at", "at"), ("d", "d")] {
        db.sql(&format!(
            "CREATE PROCEDURE p_{name}() BEGIN SET time_zone = '+05:00'; SELECT {select} FROM t; END"
        ));
    }
    db.sql("CREATE PROCEDURE same() BEGIN SELECT at FROM t; END");
    db.sql("CREATE FUNCTION f() RETURNS INT DETERMINISTIC BEGIN SET time_zone = '+05:00'; RETURN 1; END");
}

/// The statements that set the zone, and what is said of them.
fn changing(db: &Database) -> Vec<(&'static str, &'static str)> {
    let changed = "the statement changed the session's time zone from +00:00 to +05:00";
    let mut all = vec![
        ("CALL p_at()", changed),
        ("SELECT at FROM t WHERE f() = 1", changed),
    ];
    let own = "the statement sets the time zone for itself";
    if db.is_mariadb() {
        all.push((
            "SET STATEMENT time_zone = '+05:00' FOR SELECT at FROM t",
            own,
        ));
    } else {
        let hint = "SELECT /*+ SET_VAR(time_zone = '+05:00') */ at FROM t";
        all.push((
            hint,
            "the statement sets the time zone for itself, by SET_VAR",
        ));
    }
    all
}

#[test]
fn a_statement_that_sets_another_zone_is_an_error_if_one_is_chosen() {
    each_server(|db| {
        make_table(db);
        for (sql, what) in changing(db) {
            for args in [
                &["--time-zone=+00:00"][..],
                &["--time-zone=+00:00", "--protocol=text"],
                &["--for=postgres"],
            ] {
                let error = format!("{what}: in which one its TIMESTAMPs are is not known");
                db.export(sql).args(args).run().failed(4, &[&error, HINT]);
            }
        }
        for sql in [
            "CALL same()",
            "CALL p_d()",
            "SELECT at FROM t",
            "SELECT /* SET_VAR(time_zone='x') */ at FROM t",
            "SELECT d FROM t WHERE f() = 1",
        ] {
            let run = db.export(sql).arg("--time-zone=+00:00");
            let rows = run.run().ended(0, "").stdout;
            assert!(rows.ends_with(b"2026-01-02 03:04:05\n"), "{sql}");
        }
    });
}

#[test]
fn no_report_names_a_zone_that_the_statement_changed() {
    each_server(|db| {
        make_table(db);
        for (sql, what) in changing(db) {
            for protocol in ["--protocol=auto", "--protocol=text"] {
                let folder = tempfile::tempdir().expect("a folder");
                let [out, summary] = ["a.csv", "summary.json"].map(|name| folder.path().join(name));
                let init = "SET time_zone = '+00:00'";
                let run = || db.export(sql).args(["--init", init, protocol]);
                let run_to = run().args(["-v", "--manifest", "--summary"]).arg(&summary);
                let stderr = run_to.arg("-o").arg(&out).run().ended_with(0);
                let warning = format!("warning: {what}: in which one");
                assert!(stderr.contains(&warning), "{sql}: {stderr}");
                assert!(!stderr.contains("in the time zone"), "{stderr}");
                let rows = fs::read_to_string(&out).expect("the rows");
                assert_eq!(rows, "at\n2026-01-02 08:04:05\n", "{sql}");
                let manifest = folder.path().join("a.csv.manifest.json");
                for path in [summary, manifest] {
                    let report = fs::read(&path).expect("a report");
                    let report: Value = serde_json::from_slice(&report).expect("JSON");
                    assert_eq!(report["time_zone"], Value::Null, "{report}");
                }
                let strict = run().arg("--strict-warnings").run();
                strict.failed(4, &[what, HINT]);
            }
        }
    });
}

/// Statements that set the zone for themselves in other words, or may do so, each behind an
/// init statement.
fn disguised(db: &Database) -> Vec<(&'static str, &'static str, &'static str)> {
    let unknown = "the text that EXECUTE runs is not known, and may set the time zone for itself";
    let ansi = "SET sql_mode = 'ANSI_QUOTES'";
    if db.is_mariadb() {
        let own = "the statement sets the time zone for itself";
        return vec![
            (
                ansi,
                "SET STATEMENT \"time_zone\"='+05:00' FOR SELECT at FROM t",
                own,
            ),
            (
                "DO 0",
                "SET STATEMENT lc_time_names='de_DE' FOR SET STATEMENT time_zone='+05:00' FOR SELECT at FROM t",
                own,
            ),
            (
                "DO 0",
                "EXECUTE IMMEDIATE \"SET STATEMENT time_zone='+05:00' FOR SELECT at FROM t\"",
                own,
            ),
            (
                "SET @a = \"SET STATEMENT time_zone='+05:00' FOR SELECT at FROM t\"",
                "EXECUTE IMMEDIATE @a",
                unknown,
            ),
            (
                "PREPARE p FROM \"SET STATEMENT time_zone='+05:00' FOR SELECT at FROM t\"",
                "SET STATEMENT lc_time_names='de_DE' FOR EXECUTE p",
                unknown,
            ),
        ];
    }
    let hint = "the statement sets the time zone for itself, by SET_VAR";
    vec![
        (
            ansi,
            "SELECT /*+ SET_VAR(\"time_zone\"='+05:00') */ at FROM t",
            hint,
        ),
        (
            "DO 0",
            "SELECT /*+ QB_NAME(`/*`) SET_VAR(time_zone='+05:00') */ at FROM t",
            hint,
        ),
        (
            "DO 0",
            "SELECT /*+ SET_VAR(sort_buffer_size='/*') SET_VAR(time_zone='+05:00') */ at FROM t",
            hint,
        ),
        (
            "PREPARE p FROM \"SELECT /*+ SET_VAR(time_zone='+05:00') */ at FROM t\"",
            "EXECUTE p",
            unknown,
        ),
    ]
}

#[test]
fn a_zone_that_a_statement_sets_in_other_words_is_noticed() {
    each_server(|db| {
        make_table(db);
        for (init, sql, what) in disguised(db) {
            for protocol in ["auto", "text"] {
                let run = || {
                    let run = db.export(sql).args(["--header=false", "--init", init]);
                    run.args(["--protocol", protocol])
                };
                let error = format!("{what}: in which one its TIMESTAMPs are is not known");
                let chosen = run().arg("--time-zone=+00:00").run();
                chosen.failed(4, &[&error, "hint: "]);
                let zone = format!("--init={init}");
                let session =
                    db.export(sql)
                        .args(["--header=false", "--init=SET time_zone='+00:00'", &zone]);
                let outcome = session.run();
                outcome.assert_stderr_contains(&["warning: ", &error]);
                assert_eq!(outcome.stdout, b"2026-01-02 08:04:05\n", "{sql}");
            }
        }
        let plain: &[_] = match db.is_mariadb() {
            true => &[
                "EXECUTE IMMEDIATE 'SELECT ''x'' AS x, at FROM t'",
                "SET STATEMENT lc_time_names='de_DE' FOR SELECT 'time_zone' AS x, at FROM t",
            ],
            false => &[
                "SELECT '/*+ SET_VAR(time_zone=1) */' AS x, at FROM t",
                "SELECT /* it's */ 1 AS x, at FROM t -- /*+ SET_VAR(time_zone='+05:00') */",
            ],
        };
        for sql in plain {
            let run = db.export(sql).arg("--time-zone=+00:00").run().ended(0, "");
            assert!(run.stdout.ends_with(b"\t2026-01-02 03:04:05\n"), "{sql}");
        }
    });
}

/// Makes the zone `Test/Summer`, an hour before UTC. Zones are the whole server's.
fn make_zone(db: &Database) {
    let mut conn = db.connect();
    for sql in [
        "INSERT IGNORE INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (7777, 'N')",
        "INSERT IGNORE INTO mysql.time_zone_name VALUES ('Test/Summer', 7777)",
        "INSERT IGNORE INTO mysql.time_zone_transition_type VALUES (7777, 0, 3600, 0, 'TST')",
    ] {
        conn.query_drop(sql).expect(sql);
    }
}

#[test]
fn times_of_another_zone_are_reported_where_the_target_takes_them_for_no_moments() {
    each_server(|db| {
        make_table(db);
        make_zone(db);
        for (target, zone, is_told) in [
            ("postgres", "+05:30", true),
            ("duckdb", "+05:30", true),
            ("clickhouse", "+05:30", true),
            ("mysql", "+05:30", false),
            ("mysql", "Test/Summer", true),
            ("postgres", "+00:00", false),
            ("postgres", "SYSTEM", true),
        ] {
            let run = db
                .export("SELECT at FROM t")
                .args(["--for", target, "--time-zone", zone]);
            let stderr = run.run().ended_with(0);
            let zone = match zone {
                "SYSTEM" => "the session's time zone".to_owned(),
                zone => format!("the time zone {zone}"),
            };
            let problem = match target {
                "mysql" => "in which an hour may come twice".to_owned(),
                target => format!("which {target} does not know"),
            };
            let warning = format!(
                "gold_digger: warning: TIMESTAMPs are in {zone}, {problem}; [session] time_zone = \"+00:00\" makes them moments\n"
            );
            assert_eq!(stderr, if is_told { warning } else { String::new() });
            let dates = db
                .export("SELECT d FROM t")
                .args(["--for", target, "--time-zone=+05:30"]);
            dates.run().ended(0, "");
        }
    });
}

#[test]
fn init_statements_see_the_time_zone_too() {
    each_server(|db| {
        let hours = "SELECT TIMESTAMPDIFF(HOUR, NOW(), @n) AS h, @@time_zone AS z";
        let init = "SET @n = NOW(), time_zone = '+09:00'";
        let run = db
            .export(hours)
            .args(["--time-zone", "+05:00", "--init", init]);
        run.run().wrote("h\tz\n0\t+05:00\n");
    });
}

#[test]
fn times_that_may_be_two_moments_are_told() {
    each_server(|db| {
        make_zone_with_summer_time(db);
        db.sql("CREATE TABLE t (at TIMESTAMP NULL, d DATETIME)");
        db.sql("INSERT INTO t VALUES (FROM_UNIXTIME(1792888200), NOW()), (FROM_UNIXTIME(1792891800), NOW())");
        let told = "gold_digger: warning: TIMESTAMPs are as clocks show them in the time zone Test/Clocks, where an hour comes twice a year; --time-zone +00:00 makes them moments\n";
        for (zone, sql, expected) in [
            ("Test/Clocks", "SELECT at FROM t", told),
            ("Test/Clocks", "SELECT d FROM t", ""),
            ("+02:00", "SELECT at FROM t", ""),
        ] {
            let run = db
                .export(sql)
                .args(["--format=csv", "--time-zone", zone])
                .run();
            let run = run.ended(0, expected);
            if !expected.is_empty() {
                let time = "2026-10-25 02:30:00\n";
                assert_eq!(
                    String::from_utf8_lossy(&run.stdout),
                    format!("at\n{time}{time}")
                );
            }
        }
    });
}
