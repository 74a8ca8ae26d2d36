//! Tables and views by name, without a query.

use std::fs;

use mysql::prelude::Queryable;

use crate::support::{
    Database, GoldDigger, Outcome, each_server, file_names, make_fifo, on_a_server, wait_until,
};

/// Exports with `args` as CSV to standard output.
fn export(db: &Database, args: &[&str]) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    run.args(["--format=csv"]).args(args).run()
}

#[test]
fn a_table_is_exported_by_its_name() {
    each_server(|db| {
        db.sql("CREATE TABLE `weird name-ü/x;'\"` (id INT PRIMARY KEY, `a,b` INT, `c``d` INT)");
        db.sql(
            "INSERT INTO `weird name-ü/x;'\"` VALUES (1, 10, 100), (2, 20, 200), (3, NULL, 300)",
        );
        db.sql("CREATE TABLE `a.b``c` (id INT PRIMARY KEY)");
        db.sql("INSERT INTO `a.b``c` VALUES (7)");
        db.sql("CREATE VIEW v AS SELECT id FROM `a.b``c`");
        let weird = "weird name-ü/x;'\"";
        let full = format!("{}.{weird}", db.name);
        let quoted = format!("`{}`.`{weird}`", db.name);
        for (args, rows) in [
            (
                &["--table", weird][..],
                "id,\"a,b\",c`d\n1,10,100\n2,20,200\n3,,300\n",
            ),
            (
                &["--table", &full, "--limit=1"],
                "id,\"a,b\",c`d\n1,10,100\n",
            ),
            (
                &["--table", &quoted, "-w", "id > 2"],
                "id,\"a,b\",c`d\n3,,300\n",
            ),
            (
                &[
                    "--table",
                    weird,
                    "--columns",
                    "`c``d`,id",
                    "--columns=`a,b`",
                    "--where",
                    "id = 1 OR id = 3 -- (\n",
                ],
                "c`d,id,\"a,b\"\n100,1,10\n300,3,\n",
            ),
            (
                &[
                    "--table",
                    weird,
                    "--columns=id",
                    "--where",
                    "`a,b` > :least",
                    "--param",
                    "least=10",
                ],
                "id\n2\n",
            ),
            (&["--table", "`a.b``c`"], "id\n7\n"),
            (&["--table=v"], "id\n7\n"),
        ] {
            export(db, args).wrote(rows);
            // Names in backticks are names in every mode.
            let modes = "--init=SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'";
            export(db, &[args, &[modes]].concat()).wrote(rows);
        }
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let sql = run.args(["--table=v", "--format=sql"]).run().ended(0, "");
        let sql = String::from_utf8(sql.stdout).expect("UTF-8");
        assert!(
            sql.contains("INSERT INTO `v` (`id`) VALUES\n(7);\n"),
            "{sql}"
        );
        export(db, &["--table=nothing"]).failed(4, &["1146 (42S02)"]);
        export(db, &["--table=v", "--limit=0", "--allow-empty"]).wrote("id\n");
    });
}

#[test]
fn the_configuration_file_names_tables() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)");
        db.sql("INSERT INTO t VALUES (1, 2, 3), (4, 5, 6)");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let config = "[[export]]\nname = \"all\"\ntable = \"t\"\npath = \"all.csv\"\n\
                      [[export]]\nname = \"some\"\ntable = \"t\"\nselect = [\"b\", \"id,a\"]\nwhere = \"id = :id\"\n\
                      params = { id = \"4\" }\nlimit = 5\npath = \"some.csv\"\n";
        fs::write(at("c.toml"), config).expect("a file");
        let run = || {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.arg("--config").arg(at("c.toml"))
        };
        run().run().ended(0, "");
        let read = |name: &str| fs::read_to_string(at(name)).expect("a file");
        assert_eq!(read("all.csv"), "id,a,b\n1,2,3\n4,5,6\n");
        assert_eq!(read("some.csv"), "b,id,a\n6,4,5\n");
        // A flag is for all of them.
        run()
            .args(["--job=all", "--where=a = 2"])
            .run()
            .ended(0, "");
        assert_eq!(read("all.csv"), "id,a,b\n1,2,3\n");
        // A table of the command line runs in the place of the list.
        run()
            .args(["--table=t", "--columns=b", "--format=csv"])
            .run()
            .wrote("b\n3\n6\n");
    });
}

#[test]
fn what_is_no_table_or_no_condition_is_refused_before_connecting() {
    let needs_table = "is for the rows of a --table, and SQL is a query";
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--table=a.b.c"], "'a.b.c' for '--table <NAME>': it has more than two parts"),
        (&["--table="], "'' for '--table <NAME>': it has an empty name"),
        (&["--table=t", "--columns=a,,b"], "'a,,b' for '--columns <NAMES>': it has an empty name"),
        (&["--table=t", "--where=a = 1; DELETE FROM t"], "it is one expression, without a `;`"),
        (&["--table=t", "--where=a = 1) OR (1"], "it has a `)` without its `(`"),
        (&["--table=t", "--where=a = 'x"], "it has a quoted text without an end"),
        (&["--table=t", "--where=a = 1 -- x"], "its last comment has no end of its line"),
        (&["--table=t", "--where=WHERE a = 1"], "the word WHERE is left out"),
        (&["--table=t", "--where=a\u{a0}= 1"], "no-break space"),
        (&["--table=t", "--where=a = :b"], "b"),
        (&["--table=t", "--limit=few"], "'few' for '--limit <N>': it is a whole number of rows"),
        (&["--table=t", "-q", "SELECT 1"], "--query and --table both give the query"),
        (&["--table=t", "SELECT 1"], "an argument and --table both give the query"),
        (&["SELECT 1", "--limit=1"], needs_table),
        (&["SELECT 1", "--columns=a"], needs_table),
        (&["SELECT 1", "--where=a = 1"], needs_table),
    ];
    for (args, problem) in cases {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        let shown = run.args(*args).run().ended_with(2);
        assert!(shown.contains(problem), "{args:?}: {shown}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.toml");
    fs::write(&file, "[query]\ntable = \"t\"\nsql = \"SELECT 1\"\n").expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
    let shown = run.arg("--config").arg(&file).run().ended_with(2);
    assert!(
        shown.contains("[query] table cannot stand beside "),
        "{shown}"
    );
}

#[test]
fn patterns_choose_tables_that_have_a_file_each() {
    each_server(|db| {
        let weird = "../../etc/%weird\u{202e}";
        for (name, columns) in [
            ("orders_1", "id INT"),
            ("orders_2", "id INT"),
            ("orders_old", "id INT"),
            ("empty", "id INT"),
            (weird, "id INT"),
        ] {
            db.sql(&format!("CREATE TABLE `{name}` ({columns})"));
        }
        for (name, value) in [("orders_1", 1), ("orders_2", 2), (weird, 3)] {
            db.sql(&format!("INSERT INTO `{name}` VALUES ({value})"));
        }
        db.sql("CREATE VIEW v AS SELECT id FROM orders_1");
        let folder = tempfile::tempdir().expect("a folder");
        let output = |name: &str| folder.path().join(name).display().to_string();
        let run = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.args(args).run()
        };
        let files = |name: &str| {
            let path = folder.path().join(name);
            file_names(&path)
                .into_iter()
                .map(|file| {
                    let text = fs::read_to_string(path.join(&file)).expect("a file");
                    // Without what SQL sets.
                    let rows = text.lines().filter(|line| !line.starts_with("SET "));
                    let rows = rows.map(|line| line.to_owned() + "\n").collect();
                    (file, rows)
                })
                .collect::<Vec<(String, String)>>()
        };
        let pair = |name: &str, rows: &str| (name.to_owned(), rows.to_owned());

        let args = [
            "--tables=*",
            "--exclude-tables=*_old",
            "--create-dirs",
            "-o",
        ];
        run(&[&args[..], &[&output("a/{table}.csv")]].concat()).ended(0, "");
        assert_eq!(
            files("a"),
            [
                pair("%2E.%2F..%2Fetc%2F%25weird%E2%80%AE.csv", "id\n3\n"),
                pair("empty.csv", "id\n"),
                pair("orders_1.csv", "id\n1\n"),
                pair("orders_2.csv", "id\n2\n"),
            ]
        );
        // Views are found by their full names; SQL names each table.
        let orders = format!("{}.orders_[12]", db.name);
        let view = format!("{}.v", db.name);
        let args = [
            "--tables",
            &orders,
            "--tables",
            &view,
            "--snapshot",
            "--create-dirs",
            "-o",
        ];
        let path = output("b/{database}-{table}.sql");
        run(&[&args[..], &[&path, "--where=id < 2"]].concat()).ended(0, "");
        let named = |name: &str| format!("{}-{name}.sql", db.name);
        assert_eq!(
            files("b"),
            [
                (
                    named("orders_1"),
                    "INSERT INTO `orders_1` (`id`) VALUES\n(1);\n".to_owned()
                ),
                (named("orders_2"), String::new()),
                (
                    named("v"),
                    "INSERT INTO `v` (`id`) VALUES\n(1);\n".to_owned()
                ),
            ]
        );
        for (args, code, problem) in [
            (
                ["--tables=nothing*", "--allow-empty"],
                2,
                "nothing* finds no table that this account can see",
            ),
            (["--tables=v*", "--allow-empty"], 2, "v* finds no table"),
            (
                ["--tables=empty", "--exclude-tables=e*"],
                2,
                "all tables that are found are excluded",
            ),
            (["--tables=empty", "--allow-empty=false"], 1, "no rows"),
        ] {
            let path = output("{table}.csv");
            let shown = run(&[&args[..], &["-o", &path]].concat()).ended_with(code);
            assert!(shown.contains(problem), "{args:?}: {shown}");
        }
        let path = output("{table}.csv");
        run(&["--tables=empty", "--exclude-tables=none*", "-o", &path]).ended(
            0,
            "gold_digger: warning: the pattern none* excludes no table\n",
        );
    });
}

#[test]
fn found_tables_take_no_path_that_the_run_needs() {
    on_a_server(|db| {
        for name in ["cfg", "state", "sum"] {
            db.sql(&format!("CREATE TABLE {name} (id INT)"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let config = "[run]\nstate = \"state.json\"\n[[export]]\nname = \"x\"\ntables = [\"*\"]\npath = \"{table}.json\"\n";
        fs::write(at("c.toml"), config).expect("a file");
        fs::write(
            at("cfg.toml"),
            config.replace("{table}.json\"", "{table}.toml\"\nformat = \"csv\""),
        )
        .expect("a file");
        for (config, args, files) in [
            (
                "c.toml",
                &["--exclude-tables=sum"][..],
                "the state and the rows of x:",
            ),
            ("cfg.toml", &[], "the configuration file and the rows of x:"),
            (
                "c.toml",
                &["--exclude-tables=state", "--summary", "sum.json"],
                "the summary and the rows of x:",
            ),
        ] {
            let run = GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .current_dir(folder.path());
            let run = run.args(["--config", config]).args(args).run();
            run.failed(2, &[files, "would go to the same place"]);
            assert_eq!(file_names(folder.path()), ["c.toml", "cfg.toml"]);
        }
    });
}

#[test]
fn what_init_sets_is_for_the_rows_and_not_for_the_list() {
    each_server(|db| {
        for name in ["a", "b", "c"] {
            db.sql(&format!(
                "CREATE TABLE {name} (`\"` INT, g INT AS (`\"` + 1), at DATETIME DEFAULT CURRENT_TIMESTAMP)"
            ));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let run = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.args(args).run()
        };
        let init = "--init=SET sql_select_limit = 1, sql_mode = 'ANSI_QUOTES'";
        let schema = at("{table}.schema");
        run(&[
            "--tables=*",
            init,
            "-o",
            &at("{table}.csv"),
            "--schema-file",
            &schema,
        ])
        .ended(0, "");
        assert_eq!(
            file_names(folder.path()),
            [
                "a.csv", "a.schema", "b.csv", "b.schema", "c.csv", "c.schema"
            ]
        );
        let text = fs::read_to_string(at("a.schema")).expect("a file");
        assert!(text.starts_with("CREATE TABLE `a` (\n  `\"` int"), "{text}");
        // What does not load is told.
        let warning = format!(
            "gold_digger: warning: `{}`.`a`: INSERT statements cannot set generated columns: name the others by --columns, without g\n",
            db.name
        );
        run(&["--tables=a", "-o", &at("{table}.sql")]).ended(0, &warning);
        run(&["--tables=a", "--columns=`\"`", "-o", &at("{table}.sql")]).ended(0, "");
        let system = ["--tables=information_schema.SCHEMAT*", "--limit=1", "-o"];
        run(&[&system[..], &[&at("{table}.tsv")]].concat()).ended(0, "");
        // A query has no table.
        let config = format!(
            "[[export]]\nname = \"x\"\nsql = \"SELECT 1\"\npath = \"x.csv\"\nschema_file = \"{}\"\n",
            at("x.schema")
        );
        fs::write(at("c.toml"), config).expect("a file");
        run(&["--config", &at("c.toml")])
            .failed(2, &["schema_file is for the rows of a --table, and "]);
    });
}

#[test]
fn definitions_are_published_with_the_rows() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) DEFAULT 'x;y')");
        db.sql("INSERT INTO t VALUES (1, 'one')");
        db.sql("CREATE VIEW v AS SELECT a FROM t");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let run = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.args(["--manifest", "-o", &at("{table}.csv")])
                .args(args)
                .run()
        };
        run(&["--tables=t", "--schema-file", &at("{table}.sql")]).ended(0, "");
        run(&["--table=v", "--schema-file", &at("v.sql")]).ended(0, "");
        assert_eq!(
            file_names(folder.path()),
            [
                "t.csv",
                "t.csv.manifest.json",
                "t.sql",
                "v.csv",
                "v.csv.manifest.json",
                "v.sql"
            ]
        );
        // The definitions make the same tables again.
        let shown = |table: &str| {
            let row: Option<mysql::Row> = db
                .connect()
                .query_first(format!("SHOW CREATE TABLE {table}"))
                .expect(table);
            row.and_then(|row| row.get::<String, _>(1)).expect("a text")
        };
        let statements = [shown("t"), shown("v")];
        db.sql("DROP VIEW v");
        db.sql("DROP TABLE t");
        for (name, statement) in ["t", "v"].into_iter().zip(statements) {
            let text = fs::read_to_string(at(&format!("{name}.sql"))).expect("a file");
            assert_eq!(text, format!("{statement};\n"));
            db.sql(&text);
            assert_eq!(shown(name), statement);
        }
        // Nothing is left of a run that fails.
        run(&[
            "--tables=t",
            "--allow-empty=false",
            "--schema-file",
            &at("new-{table}.sql"),
        ])
        .ended_with(1);
        assert!(!folder.path().join("new-t.sql").exists());
        for (args, problem) in [
            (
                ["--tables=t", "--schema-file=x.sql"],
                "is a file for each table, and has no {table}",
            ),
            (
                ["--tables=t", "--schema-file=-"],
                "names a file, and not standard output",
            ),
        ] {
            let shown = run(&args).ended_with(2);
            assert!(shown.contains(problem), "{args:?}: {shown}");
        }
        let query = db.export("SELECT 1").args(["--schema-file=x.sql"]).run();
        query.failed(
            2,
            &["--schema-file is for the rows of a --table, and SQL is a query"],
        );
        // Two files never have one path.
        db.sql("CREATE TABLE `t.csv` (id INT)");
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.args(["--tables=t*", "-o", &at("{table}")]);
        let run = run.args(["--schema-file", &at("{table}.csv")]).run();
        run.failed(2, &["would go to the same place"]);
    });
}

#[test]
fn what_is_created_and_dropped_meanwhile_is_told() {
    each_server(|db| {
        for name in ["a", "b", "m", "z"] {
            db.sql(&format!("CREATE TABLE {name} (id INT)"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        // The third table waits for its reader.
        make_fifo(&at("m.csv"));
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.args(["--tables=*", "--on-error=continue", "-o"]);
        let run = run.arg(at("{table}.csv")).start();
        wait_until("the second file", || at("b.csv").exists());
        db.sql("CREATE TABLE c (id INT)");
        db.sql("DROP TABLE a, z");
        assert_eq!(fs::read_to_string(at("m.csv")).expect("rows"), "id\n");
        let name = &db.name;
        run.wait().failed_with_any_length(
            4,
            &[
                &format!("{name}.z: the query failed: server error 1146 (42S02)"),
                &format!("the table `{name}`.`c` was created after the tables were listed, and is not exported"),
                &format!("the table `{name}`.`a` was dropped or renamed while the run went on"),
            ],
        );
    });
}

#[test]
fn what_kinds_of_tables_patterns_find() {
    each_server(|db| {
        let is_mariadb = db.is_mariadb();
        let invisible = if is_mariadb {
            "c INT INVISIBLE"
        } else {
            "c INT INVISIBLE DEFAULT NULL"
        };
        db.sql(&format!(
            "CREATE TABLE t (a INT, b INT AS (a * 2), {invisible})"
        ));
        db.sql("INSERT INTO t (a, c) VALUES (1, 3)");
        db.sql("CREATE TABLE p (a INT) PARTITION BY HASH (a) PARTITIONS 3");
        db.sql("INSERT INTO p VALUES (1), (2), (3)");
        db.sql("CREATE VIEW v AS SELECT 1 AS one");
        if is_mariadb {
            db.sql("CREATE TABLE s (a INT) WITH SYSTEM VERSIONING");
            db.sql("INSERT INTO s VALUES (1)");
            db.sql("UPDATE s SET a = 2");
            db.sql("CREATE SEQUENCE q");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let run = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.args(args).arg("-o").arg(at("{table}.csv")).run()
        };
        let warning = format!(
            "gold_digger: warning: `{}`.`t`: invisible columns are not exported unless they are named: c\n",
            db.name
        );
        run(&["--tables=*"]).ended(0, &warning);
        let read = |name: &str| fs::read_to_string(at(name)).expect("a file");
        assert_eq!(read("t.csv"), "a,b\n1,2\n");
        let mut rows: Vec<String> = read("p.csv").lines().map(str::to_owned).collect();
        rows.sort();
        assert_eq!(rows, ["1", "2", "3", "a"]);
        let mut expected = vec!["p.csv", "t.csv"];
        if is_mariadb {
            assert_eq!(read("s.csv"), "a\n2\n");
            expected.insert(1, "s.csv");
        }
        assert_eq!(file_names(folder.path()), expected);
        run(&["--tables=t", "--columns=c,a"]).ended(0, "");
        assert_eq!(read("t.csv"), "c,a\n3,1\n");
        if is_mariadb {
            run(&["--tables=q", "--columns=start_value"]).ended(0, "");
            assert_eq!(read("q.csv"), "start_value\n1\n");
        }
        // Databases of the server are found by their names.
        run(&["--tables=*.user", "--limit=0"]).failed(2, &["*.user finds no table"]);
        run(&["--tables=mysql.proxies_pri?", "--limit=0"]).ended(0, "");
    });
}
