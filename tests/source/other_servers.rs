//! Servers that speak the protocol and are neither MySQL nor MariaDB: what they refuse
//! beside the query does not fail an export.

use std::fs;

use super::super::support::{
    GoldDigger,
    fake::{self, Session},
};

/// An error packet without its first byte: the code and the SQL state.
type Refusal = (u16, &'static str);

/// ClickHouse's NOT_IMPLEMENTED, and the code that servers made with opensrv send.
const STRANGE: [Refusal; 2] = [(48, "00000"), (1105, "HY000")];

/// Starts a server that answers statements and commands that begin with one of
/// `refused` with `error`. It answers the statement with the column `wanted`, with one
/// warning.
fn stranger(refused: &'static [&'static str], error: Refusal) -> GoldDigger {
    let port = fake::serve(move |mut session| {
        if session.accept().is_some() {
            while let Some(packet) = session.receive() {
                answer(&mut session, &packet, refused, error);
            }
        }
    });
    GoldDigger::new().args(["--db-url", &fake::url(port)])
}

fn answer(session: &mut Session, packet: &[u8], refused: &[&str], (code, state): Refusal) {
    let statement = String::from_utf8_lossy(&packet[1..]);
    let command = match packet[0] {
        0x16 => "PREPARE",
        _ => &*statement,
    };
    if refused.iter().any(|start| command.starts_with(start)) {
        let code = code.to_le_bytes();
        let error = [b"\xff", &code[..], b"#", state.as_bytes(), b"not here"];
        session.send(&error.concat());
    } else if command == "PREPARE" {
        session.send(b"\xff\x17\x04#08S01unknown command");
    } else if command.contains("wanted") {
        session.columns(&["wanted"]);
        session.row(&["x"]);
        session.send(b"\xfe\x01\0\x02\0");
    } else {
        session.ok();
    }
}

#[test]
fn questions_beside_the_query_do_not_fail_it() {
    const BESIDE: &[&str] = &["SHOW", "PREPARE", "SELECT VERSION"];
    for error in STRANGE {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, summary] = ["a.tsv", "summary.json"].map(|name| folder.path().join(name));
        let outcome = stranger(BESIDE, error)
            .args(["-v", "--manifest", "--time-zone", "+00:00", "--output"])
            .arg(&file)
            .arg("--summary")
            .arg(&summary)
            .arg("SELECT 'x' AS wanted")
            .run();
        outcome.assert_stderr_contains(&["1 row", "the server shows 0 of its 1 warnings"]);
        assert_eq!(fs::read(&file).expect("the file"), b"wanted\nx\n");
        let manifest = fs::read_to_string(folder.path().join("a.tsv.manifest.json"));
        let manifest = manifest.expect("the manifest");
        assert!(manifest.contains("\"server_version\": null"), "{manifest}");
        let outcome = stranger(BESIDE, error)
            .args(["--check", "SELECT 'x' AS wanted"])
            .run();
        let told = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
        assert_eq!(outcome.status.code(), Some(0), "{told}");
        assert!(told.contains("the server does not tell"), "{told}");
    }
}

#[test]
fn a_refusal_to_prepare_is_told_from_a_mistake_and_from_a_lost_connection() {
    let prepare = |error| {
        stranger(&["PREPARE"], error)
            .arg("SELECT 'x' AS wanted")
            .run()
    };
    for error in [
        (48, "00000"),
        (1105, "HY000"),
        (1815, "HY000"),
        (8108, "HY000"),
    ] {
        let outcome = prepare(error);
        let told = (outcome.status.code(), &*outcome.stdout);
        assert_eq!(told, (Some(0), &b"wanted\nx\n"[..]), "{}", outcome.stderr);
    }
    for error in [
        (1064, "42000"),
        (1054, "42S22"),
        (2013, "HY000"),
        (1317, "70100"),
    ] {
        prepare(error).failed(4, &[&error.0.to_string(), "not here"]);
    }
}

#[test]
fn where_the_server_has_no_read_only_sessions_the_program_refuses_to_write() {
    let run = |error, args: &[&str], sql: &str| {
        let refused = &["SET SESSION TRANSACTION", "SHOW"];
        stranger(refused, error).args(args).arg(sql).run()
    };
    // TiDB, Sphinx, MatrixOne and opensrv.
    for error in [
        (1235, "42000"),
        (1064, "42000"),
        (20_105, "HY000"),
        (1105, "HY000"),
    ] {
        let outcome = run(error, &[], "SELECT 'x' AS wanted");
        assert_eq!(outcome.stdout, b"wanted\nx\n", "{}", outcome.stderr);
        let warning = "the server has no read-only sessions";
        assert_eq!(
            outcome.stderr.matches(warning).count(),
            1,
            "{}",
            outcome.stderr
        );
        for sql in [
            "DELETE FROM wanted",
            "WITH a AS (SELECT 1) DELETE FROM wanted",
        ] {
            run(error, &[], sql).failed(4, &["may write", "--read-write"]);
        }
        run(error, &["--read-write"], "DELETE FROM wanted").ended_with(0);
    }
    run((1227, "42000"), &[], "SELECT 'x' AS wanted").failed(4, &["1227", "--read-write"]);
}
