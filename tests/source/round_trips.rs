//! The statements around one export, each of which costs a round trip.

use crate::support::{each_server, fake::recording_proxy};

#[test]
fn a_plain_export_needs_few_round_trips() {
    each_server(|db| {
        let set_limits = "SET SESSION net_write_timeout = 2147483, ";
        let limits = match db.is_mariadb() {
            // It knows no max_execution_time.
            true => vec![set_limits; 2],
            false => vec![set_limits],
        };
        let facts = "SHOW SESSION VARIABLES WHERE Variable_name IN ";
        let bare = [
            &["SET NAMES utf8mb4", "SELECT GET_LOCK('gold_digger."][..],
            &limits,
            &[
                "SET SESSION wait_timeout",
                "SET SESSION TRANSACTION READ ONLY",
            ],
        ]
        .concat();
        let query = match db.is_mariadb() {
            true => &["SELECT 1", "EXECUTE"][..],
            false => &["SELECT 1", "SHOW WARNINGS", "EXECUTE"],
        };
        let (port, commands) = recording_proxy(db.server.port);
        for (args, expected) in [
            (&[][..], [&bare[..], query].concat()),
            (&["-v"], [&bare[..], &[facts], query].concat()),
            (&["--read-write", "--protocol=text"], {
                let bare = &bare[..bare.len() - 1];
                [bare, &["SELECT 1", "SELECT 1"]].concat()
            }),
        ] {
            let run = db.export("SELECT 1").args(args);
            run.env("DATABASE_URL", db.url_by_port(port))
                .run()
                .ended_with(0);
            let sent = std::mem::take(&mut *commands.lock().expect("a lock"));
            let is_expected = sent.len() == expected.len()
                && sent
                    .iter()
                    .zip(&expected)
                    .all(|(sent, begin)| sent.starts_with(begin));
            assert!(is_expected, "{args:?}: {sent:#?}");
            assert!(!args.is_empty() || sent.len() <= 8, "{sent:#?}");
        }
    });
}
