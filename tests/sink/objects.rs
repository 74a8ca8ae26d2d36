//! Outputs in an object store: whole or absent, whatever happens on the way.

use std::fs;

use crate::support::{
    Database, Fault, GoldDigger, S3, Signal,
    certificates::{Authority, Validity},
    each_server, on_a_server, wait_until,
};

/// Rows of so many bytes that CSV of them has several parts of 8 MiB, and one.
pub const LARGE: &str = "SELECT a.n * 1000 + b.n AS id, REPEAT('x', 1000) AS text FROM numbers a, numbers b WHERE a.n < 20";
const MIDDLE: &str = "SELECT n, REPEAT('y', 500) AS text FROM numbers";
const SMALL: &str = "SELECT n FROM numbers WHERE n < 10";

pub fn make_numbers(db: &Database) {
    db.sql("CREATE TABLE numbers (n INT PRIMARY KEY)");
    let rows: Vec<String> = (0..1000).map(|n| format!("({n})")).collect();
    db.sql(&format!("INSERT INTO numbers VALUES {}", rows.join(",")));
}

fn export(db: &Database, s3: &S3, args: &[&str]) -> GoldDigger {
    s3.reach(GoldDigger::new().env("DATABASE_URL", db.url()))
        .args(args)
}

fn verify(s3: &S3, names: &[&str]) -> GoldDigger {
    s3.reach(GoldDigger::new()).arg("verify").args(names)
}

#[test]
fn an_object_has_the_bytes_of_a_file() {
    each_server(|db| {
        make_numbers(db);
        let s3 = S3::start();
        let folder = tempfile::tempdir().expect("a folder");
        for (sql, name) in [
            (LARGE, "large.csv"),
            (LARGE, "large.csv.zst"),
            (MIDDLE, "middle.json"),
            (MIDDLE, "middle.parquet"),
            (SMALL, "small.tsv"),
            (SMALL, "deep/folder/weird ü+%20'&.csv"),
        ] {
            let url = format!("s3://bucket/{name}");
            export(db, &s3, &["-o", &url, "--manifest", sql])
                .run()
                .ended(0, "");
            let file = folder.path().join(name.rsplit('/').next().expect("a name"));
            export(db, &s3, &["-o", file.to_str().expect("UTF-8"), sql])
                .run()
                .ended(0, "");
            let expected = fs::read(&file).expect("a file");
            assert!(s3.object(name) == Some(expected), "{name}");
            verify(&s3, &[&url]).run().ended_with(0);
        }
        assert_eq!(s3.unfinished(), 0);
        // Another object has its name.
        fs::copy(s3.path("small.tsv"), s3.path("middle.json")).expect("a copy");
        let changed = verify(&s3, &["s3://bucket/middle.json", "s3://bucket/large.csv"]).run();
        changed.failed(7, &["1 of 2 files failed the verification"]);
    });
}

#[test]
fn lists_parts_and_tables_go_to_objects() {
    on_a_server(|db| {
        make_numbers(db);
        db.sql("CREATE TABLE `a/b ü` (n INT)");
        db.sql("INSERT INTO `a/b ü` VALUES (1)");
        let s3 = S3::start();
        let tables = [
            "--tables=*",
            "-o",
            "s3://bucket/t/{table}.csv",
            "--schema-file=s3://bucket/t/{table}.sql",
        ];
        export(db, &s3, &tables).run().ended(0, "");
        assert_eq!(
            s3.keys(),
            [
                "t/a%2Fb ü.csv",
                "t/a%2Fb ü.sql",
                "t/numbers.csv",
                "t/numbers.sql"
            ]
        );
        let parts = [
            "--table=numbers",
            "--rows-per-file=400",
            "-o",
            "s3://bucket/p/{part}.csv",
        ];
        export(db, &s3, &parts).run().ended(0, "");
        let dataset = "s3://bucket/p/all.csv.dataset.json";
        verify(&s3, &[dataset]).run().ended_with(0);
        // A shorter dataset removes the parts of the longer one.
        db.sql("DELETE FROM numbers WHERE n > 500");
        export(db, &s3, &parts).run().ended(0, "");
        verify(&s3, &[dataset]).run().ended_with(0);
        let keys = s3.keys().into_iter().filter(|key| key.starts_with("p/"));
        assert_eq!(
            keys.collect::<Vec<_>>(),
            ["p/00001.csv", "p/00002.csv", "p/all.csv.dataset.json"]
        );
        // One file of chunks, which a local file holds until they are joined.
        let split = [
            "--table=numbers",
            "--split=4",
            "--connections=1",
            "-o",
            "s3://bucket/s.csv",
        ];
        export(db, &s3, &split).run().ended(0, "");
        assert!(
            s3.object("s.csv")
                == s3.object("p/00001.csv").map(|mut first| {
                    let rest = s3.object("p/00002.csv").expect("a part");
                    let header = rest
                        .iter()
                        .position(|byte| *byte == b'\n')
                        .expect("a header")
                        + 1;
                    first.extend_from_slice(&rest[header..]);
                    first
                })
        );

        // All or nothing, and the newest two of each day.
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("c.toml");
        let list = |second: &str| {
            let text = format!(
                "[run]\npublish = \"all-or-nothing\"\n[output]\nkeep = 2\nmanifest = true\n\
                 [[export]]\nname = \"one\"\npath = \"s3://bucket/d/one-{{date}}.csv\"\nsql = \"SELECT 1\"\n\
                 [[export]]\nname = \"two\"\npath = \"s3://bucket/d/two-{{date}}.csv\"\nsql = \"{second}\"\n"
            );
            fs::write(&config, text).expect("a file");
        };
        let run = |date: &str| {
            let config = config.to_str().expect("UTF-8");
            export(db, &s3, &["--config", config, "--date", date]).run()
        };
        list("SELECT nothing");
        run("2026-01-01").ended_with(4);
        assert!(!s3.keys().iter().any(|key| key.starts_with("d/")));
        list("SELECT 2");
        for date in ["2026-01-01", "2026-01-02", "2026-01-03"] {
            run(date).ended(0, "");
        }
        let keys = s3.keys().into_iter().filter(|key| key.starts_with("d/"));
        let dates: Vec<String> = keys.filter(|key| key.ends_with(".csv")).collect();
        assert_eq!(
            dates,
            [
                "d/one-2026-01-02.csv",
                "d/one-2026-01-03.csv",
                "d/two-2026-01-02.csv",
                "d/two-2026-01-03.csv"
            ]
        );
        assert_eq!(s3.unfinished(), 0);
    });
}

#[test]
fn faults_that_pass_cost_nothing() {
    on_a_server(|db| {
        make_numbers(db);
        for fault in [
            Fault::Answer(503, "SlowDown"),
            Fault::Answer(500, "InternalError"),
            Fault::Reset,
        ] {
            let s3 = S3::start();
            for (method, part) in [
                ("POST", "uploads"),
                ("PUT", "partNumber=2"),
                ("POST", "uploadId"),
            ] {
                s3.misbehave(2, method, part, fault);
            }
            s3.misbehave(1, "PUT", "small.csv", fault);
            let large = export(
                db,
                &s3,
                &["-o", "s3://bucket/large.csv", "--manifest", LARGE],
            );
            large.run().ended(0, "");
            let small = export(db, &s3, &["-o", "s3://bucket/small.csv", SMALL]);
            small.run().ended(0, "");
            verify(&s3, &["s3://bucket/large.csv"]).run().ended_with(0);
            assert_eq!(s3.unfinished(), 0, "{fault:?}");
        }
        // The answer is lost, and what was asked is done: the object is there once.
        let s3 = S3::start();
        s3.misbehave(1, "POST", "uploadId", Fault::LoseAnswer);
        let large = export(
            db,
            &s3,
            &["-o", "s3://bucket/large.csv", "--manifest", LARGE],
        );
        large.run().ended(0, "");
        verify(&s3, &["s3://bucket/large.csv"]).run().ended_with(0);
    });
}

#[test]
fn what_fails_leaves_no_object_and_no_upload() {
    on_a_server(|db| {
        make_numbers(db);
        let s3 = S3::start();
        let target = ["-o", "s3://bucket/x.csv"];
        let nothing = |what: &str| {
            assert_eq!(s3.keys(), [""; 0], "{what}");
            assert_eq!(s3.unfinished(), 0, "{what}");
        };
        // A part, or the completion, is refused.
        for (method, part, verb) in [
            ("PUT", "partNumber=2", "write to"),
            ("POST", "uploadId", "complete"),
        ] {
            s3.misbehave(9, method, part, Fault::Answer(403, "AccessDenied"));
            let run = export(db, &s3, &[&target[..], &["--manifest", LARGE]].concat()).run();
            let problem =
                format!("cannot {verb} s3://bucket/x.csv: the store says AccessDenied: As planned");
            run.failed(5, &[&problem, "may these credentials write there?"]);
            s3.behave();
            nothing(verb);
        }
    });
    on_a_server(|db| {
        make_numbers(db);
        let s3 = S3::start();
        let large = format!("{LARGE} UNION ALL SELECT 1, (SELECT n FROM numbers)");
        let run = export(db, &s3, &["-o", "s3://bucket/x.csv", &large]).run();
        run.ended_with(4);
        // Nothing is asked of the server before the store has taken the object.
        let sleep = ["-o", "s3://bucket/x.csv", "SELECT SLEEP(60)"];
        let run = export(db, &s3, &sleep).env("AWS_SECRET_ACCESS_KEY", "wrong");
        let problem = "cannot open s3://bucket/x.csv: the store says SignatureDoesNotMatch";
        run.run().failed(5, &[problem, "check the credentials"]);
        for (status, code, hint) in [
            (404, "NoSuchBucket", "create the bucket first"),
            (400, "ExpiredToken", "get new credentials"),
        ] {
            s3.misbehave(1, "POST", "uploads", Fault::Answer(status, code));
            let problem = format!("cannot open s3://bucket/x.csv: the store says {code}");
            export(db, &s3, &sleep).run().failed(5, &[&problem, hint]);
        }
        assert_eq!((s3.keys().len(), s3.unfinished()), (0, 0));

        // A signal while parts are on their way.
        let end_by_a_signal = || {
            s3.misbehave(99, "PUT", "partNumber", Fault::Wait(30_000));
            s3.requests();
            let running = export(db, &s3, &["-o", "s3://bucket/x.csv", LARGE]).start();
            wait_until("a part is on its way", || {
                s3.requests()
                    .iter()
                    .any(|request| request.contains("partNumber"))
            });
            running.signal(Signal::SIGTERM);
            running.wait().ended_with(143);
            assert_eq!((s3.keys().len(), s3.unfinished()), (0, 0));
            s3.behave();
        };
        end_by_a_signal();
        // The store takes its time to abort the upload.
        s3.misbehave(1, "DELETE", "uploadId", Fault::Wait(2_000));
        end_by_a_signal();
        // What is no key of AWS is told, and nothing panics.
        let run = export(db, &s3, &["-o", "s3://bucket/x.csv", SMALL]);
        let run = run.env("AWS_SESSION_TOKEN", "hush\nhush").run();
        assert!(!run.stderr.contains("hush"), "{}", run.stderr);
        run.failed(
            5,
            &["cannot open s3://bucket/x.csv: AWS_SESSION_TOKEN has a blank, a line end"],
        );
    });
}

#[test]
fn an_object_that_is_there_stays() {
    on_a_server(|db| {
        make_numbers(db);
        let s3 = S3::start();
        for (sql, name) in [(SMALL, "small.csv"), (MIDDLE, "middle.csv")] {
            let url = format!("s3://bucket/{name}");
            let args = ["--if-absent", "-o", &url];
            export(db, &s3, &[&args[..], &[sql]].concat())
                .run()
                .ended(0, "");
            let before = s3.object(name);
            let again = export(db, &s3, &[&args[..], &["SELECT 1"]].concat()).run();
            again.failed(5, &["it is there already", "move it away first"]);
            assert_eq!(s3.object(name), before);
        }
        // All or nothing: neither of two is published.
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("c.toml");
        let text = "[run]\npublish = \"all-or-nothing\"\n[output]\nif_absent = true\n\
            [[export]]\nname = \"one\"\npath = \"s3://bucket/one.csv\"\nsql = \"SELECT 1\"\n\
            [[export]]\nname = \"two\"\npath = \"s3://bucket/two.csv\"\nsql = \"SELECT 2\"\n";
        fs::write(&config, text).expect("a file");
        fs::write(s3.path("two.csv"), "first").expect("an object");
        s3.misbehave(1, "HEAD", "two.csv", Fault::Answer(404, "NotFound"));
        let list = export(db, &s3, &["--config", config.to_str().expect("UTF-8")]).run();
        list.ended_with(5);
        assert_eq!((s3.object("one.csv"), s3.unfinished()), (None, 0));
        // It appears after the run has looked: the store refuses it, by this header.
        s3.misbehave(9, "HEAD", "late.csv", Fault::Answer(404, "NotFound"));
        fs::write(s3.path("late.csv"), "first").expect("an object");
        let late = export(
            db,
            &s3,
            &["--if-absent", "-o", "s3://bucket/late.csv", SMALL],
        )
        .run();
        late.failed(5, &["cannot write s3://bucket/late.csv: "]);
        assert_eq!(s3.object("late.csv").as_deref(), Some(&b"first"[..]));
    });
}

#[test]
fn the_store_and_the_server_speak_tls_in_one_run() {
    each_server(|db| {
        make_numbers(db);
        let authority = Authority::new("an authority of the store");
        let identity = authority.certify(&["127.0.0.1"], Validity::Current);
        let s3 = S3::start_tls(&identity);
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = folder.path().join("ca.pem");
        fs::write(&bundle, &authority.pem).expect("a file");
        let args = ["--tls=required", "-o", "s3://bucket/x.csv", SMALL];
        let run = export(db, &s3, &args).env("AWS_CA_BUNDLE", &bundle).run();
        run.ended_with(0);
        assert!(s3.object("x.csv").is_some());
        // Nobody else vouches for it.
        let run = export(db, &s3, &args).run();
        run.failed_with_any_length(5, &["cannot open s3://bucket/x.csv: ", "UnknownIssuer"]);
    });
}

#[test]
fn credentials_come_from_a_profile_too() {
    on_a_server(|db| {
        make_numbers(db);
        let s3 = S3::start();
        let folder = tempfile::tempdir().expect("a folder");
        let credentials = folder.path().join("credentials");
        let config = folder.path().join("config");
        let text =
            "[other]\naws_access_key_id = AKIDTEST\naws_secret_access_key = s3cr3t/of+tests\n";
        fs::write(&credentials, text).expect("a file");
        let text = format!(
            "[profile other]\nregion = us-east-1\nendpoint_url = {}\n",
            s3.endpoint
        );
        fs::write(&config, text).expect("a file");
        let run = |profile: &str| {
            GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .env("AWS_PROFILE", profile)
                .env("AWS_SHARED_CREDENTIALS_FILE", &credentials)
                .env("AWS_CONFIG_FILE", &config)
                .args(["-o", "s3://bucket/x.csv", SMALL])
                .run()
        };
        run("other").ended(0, "");
        assert!(s3.object("x.csv").is_some());
        run("third").failed(
            5,
            &["cannot open s3://bucket/x.csv: AWS has no profile called third"],
        );
    });
}

#[test]
fn wrong_urls_are_told_before_anything_is_touched() {
    let run = |args: &[&str]| {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        run.args(args).arg("SELECT 1").run()
    };
    for (args, problem) in [
        (&["-o", "s3://bucket"][..], "names no object in its bucket"),
        (
            &["-o", "s3://bucket/a//b.csv"],
            "has an empty part, . or .. between two / of its key",
        ),
        (
            &["-o", "s3://AKID:hushhush@bucket/x.csv"],
            "the environment has the credentials",
        ),
        (
            &["-o", "https://bucket/x.csv"],
            "it begins with https://, which cannot be written",
        ),
        (
            &["-o", "S3://bucket/x.csv"],
            "it begins with S3://, which is called s3:// here",
        ),
        (
            &["-o", "s3a://bucket/x.csv"],
            "it begins with s3a://, which is called s3:// here",
        ),
        (
            &["-o", "s3://bucket/x.csv", "--keep-partial"],
            "an object appears as a whole",
        ),
        (
            &["--state=s3://bucket/s.json", "-o", "x.csv"],
            "it is a URL, and the path of a file is needed",
        ),
    ] {
        let outcome = run(args);
        assert!(!outcome.stderr.contains("hushhush"), "{}", outcome.stderr);
        outcome.failed_with_any_length(2, &[problem]);
    }
    let plain = GoldDigger::new()
        .env("AWS_ENDPOINT_URL", "http://minio.example:9000")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "hushhush");
    let plain = plain.args(["verify", "s3://bucket/x.csv"]).run();
    plain.failed(7, &[]);
}
