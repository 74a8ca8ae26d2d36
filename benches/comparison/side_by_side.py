"""Runs gold_digger and other ways to export in turn, and prints a report in Markdown.

Called by scripts/bench, which starts the server that DATABASE_URL names, fills
its tables and says by variables what there is. Wall time is that of the whole
command; peak memory is the resident set that /usr/bin/time reports for the
exporting process itself. Before each run the disk is synced, so that no run
pays for the dirty pages of another, and some memory is touched: a virtual
machine's host may have taken back what was free, and fetching it again takes
longer than exporting.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

from parallel import parallel
from peers import PEERS

GOLD_DIGGER = os.environ["BENCH_GOLD_DIGGER"]
TWIN = os.environ["BENCH_TWIN"]
CLIENT = os.environ["BENCH_CLIENT"]
URL = urlsplit(os.environ["DATABASE_URL"])
PYTHON = "/usr/bin/python3"
HERE = os.path.dirname(os.path.abspath(__file__))


class Contender:
    """One way to export: a command, and where its standard output goes."""

    def __init__(self, name, command, stdout=None, memory=True):
        self.name, self.command, self.stdout, self.memory = name, command, stdout, memory
        self.seconds, self.processor, self.peaks, self.failure = [], [], [], None
        # Of the largest file that the last run made.
        self.size = None

    def run(self, folder, warm):
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        os.sync()
        subprocess.run([PYTHON, "-c", f"b'x' * ({warm} << 20)"], check=True)
        report = os.path.join(folder, "peak")
        command = ["/usr/bin/time", "-q", "-f", "%U %S %M", "-o", report, *self.command]
        errors = open(os.path.join(folder, "errors"), "w+")
        started = time.perf_counter()
        if self.stdout == "pipe":
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
            reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
            process.stdout.close()
            reader.wait()
        else:
            target = open(os.path.join(folder, "out"), "w") if self.stdout == "file" else subprocess.DEVNULL
            process = subprocess.Popen(command, stdout=target, stderr=errors)
        code = process.wait()
        seconds = time.perf_counter() - started
        if code != 0:
            errors.seek(0)
            self.failure = (errors.read().strip().splitlines() or [f"exit code {code}"])[-1]
            return
        self.seconds.append(seconds)
        user, system, peak = open(report).read().split()[-3:]
        self.processor.append(float(user) + float(system))
        self.peaks.append(int(peak))
        self.size = max(entry.stat().st_size for entry in os.scandir(folder))

    @property
    def median(self):
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def peak(self):
        return f"{max(self.peaks) / 1024:.1f}" if self.peaks and self.memory else "–"


def gold_digger(name, target, sql, *flags, stdout=None):
    output = [] if target is None else ["-o", target]
    return Contender(name, [GOLD_DIGGER, "--quiet", *flags, *output, sql], stdout)


def client(*flags, tls=False):
    # As gold_digger here: without TLS, which Oracle's client has by default.
    if os.path.basename(CLIENT) == "mysql":
        encryption = ["--ssl-mode=REQUIRED"] if tls else ["--ssl-mode=DISABLED", "--get-server-public-key"]
    else:
        encryption = ["--ssl"] if tls else ["--skip-ssl"]
    return [CLIENT, "--no-defaults", *encryption, "--host=127.0.0.1", f"--port={URL.port}", f"--user={URL.username}",
            "--default-character-set=utf8mb4", *flags, URL.path[1:]]


def say(number, contender):
    seconds = contender.failure or f"{contender.seconds[-1]:.2f} s"
    print(f"  round {number + 1}: {contender.name}: {seconds}", file=sys.stderr)


def in_turn(contenders, options, rounds=None):
    """Runs each once a round; those that need too long are run once only."""
    folder = options.out
    for number in range(rounds or options.rounds):
        for contender in contenders:
            if contender.failure or (contender.median or 0) > options.slow:
                continue
            contender.run(folder, options.warm)
            if contender.failure and contender.command[0] in (GOLD_DIGGER, TWIN, "unshare"):
                sys.exit(f"error: {contender.name}: {contender.failure}")
            say(number, contender)
    shutil.rmtree(folder, ignore_errors=True)


def print_table(contenders, reference):
    print("| | runs | median s | min | max | ratio | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for contender in contenders:
        if contender.failure:
            print(f"| {contender.name} | did not run: {contender.failure[:120]} | | | | | |")
            continue
        seconds, median = contender.seconds, contender.median
        print(f"| {contender.name} | {len(seconds)} | {median:.2f} | {min(seconds):.2f} | {max(seconds):.2f} "
              f"| {median / reference.median:.2f} | {contender.peak} |")
    print(flush=True)


def mydumper_command():
    """Returns the beginning of its command, and what it writes; None without it."""
    program = shutil.which("mydumper")
    if program is None:
        return None
    takes = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    kind, flags = ("CSV", ["--csv"]) if "--csv" in takes else ("SQL, as this version has no CSV", [])
    return [program, "-h", "127.0.0.1", "-P", str(URL.port), "-u", URL.username,
            "-B", URL.path[1:], "--no-locks", "-m", *flags], kind


def mydumper(table, folder):
    found = mydumper_command()
    if found is None:
        return [Contender("mydumper", ["mydumper"])]
    command, kind = found
    return [Contender(f"mydumper ({kind})", [*command, "-T", table, "-o", os.path.join(folder, "dump")])]


def compare(table, options):
    folder = options.out
    sql = f"SELECT * FROM {table}"
    target = lambda name: os.path.join(folder, name)
    ours = {kind: gold_digger(f"gold_digger: {kind.upper()} file", target(f"t.{kind}"), sql)
            for kind in ("csv", "tsv", "json")}
    text = [gold_digger(f"gold_digger: {kind.upper()} file, text protocol", target(f"t.{kind}"), sql, "--protocol=text")
            for kind in ours]
    pipes = [gold_digger(f"gold_digger: {kind.upper()} pipe", None, sql, "--format", kind, stdout="pipe")
             for kind in ours]
    text_pipes = [gold_digger(f"gold_digger: {kind.upper()} pipe, text protocol", None, sql, "--format", kind,
                              "--protocol=text", stdout="pipe") for kind in ours]
    batch = client("--quick", "--batch", "-e", sql)
    name = os.path.basename(CLIENT)
    flushed = gold_digger("gold_digger: CSV file, --flush row", target("t.csv"), sql, "--flush=row")
    drain = Contender("no output: rows drained, binary protocol", [TWIN, "drain", "binary", sql])
    vendor = Contender(f"{name} --quick --batch: file", batch, "file")
    others = [
        drain,
        Contender("no output: rows drained, text protocol", [TWIN, "drain", "text", sql]),
        vendor,
        Contender(f"{name} --quick --batch: pipe", batch, "pipe"),
        Contender("SELECT … INTO OUTFILE", client("-e", f"{sql} INTO OUTFILE '{target('outfile')}'"), memory=False),
        *mydumper(table, folder),
        Contender("PyMySQL SSCursor + csv", [PYTHON, os.path.join(HERE, "pymysql_export.py"), target("t.csv"), sql]),
        Contender("batch twin, text protocol: Vec of rows, then CSV file",
                  [TWIN, "batch", "text", "csv", target("t.csv"), sql]),
        Contender("batch twin, binary protocol", [TWIN, "batch", "binary", "csv", target("t.csv"), sql]),
    ]
    contenders = [*ours.values(), *text, *pipes, *text_pipes, flushed, *others]
    in_turn(contenders, options)
    print(f"### {table}\n")
    print_table(contenders, ours["csv"])
    csv, json = ours["csv"].median, ours["json"].median
    if csv and json and vendor.median and drain.median:
        print(f"CSV : {name} = **{csv / vendor.median:.2f}** · CSV : drained = **{csv / drain.median:.2f}** · "
              f"JSON : CSV = **{json / csv:.2f}**\n", flush=True)


def formats(options):
    """Each format and compression, and Parquet by other programs."""
    peers = os.environ.get("BENCH_PEERS")
    kept = os.path.join(options.folder, "theirs.parquet")
    for table in ("orders", "narrow", "wide"):
        sql = f"SELECT * FROM {table}"
        target = lambda name: os.path.join(options.out, name)
        names = [("CSV", "t.csv"), ("CSV, zstd:1", "t.csv.zst", "--compression=zstd:1"), ("CSV, zstd", "t.csv.zst"),
                 ("CSV, lz4", "t.csv.lz4"), ("CSV, gzip", "t.csv.gz"), ("JSON", "t.json"), ("NDJSON", "t.ndjson"),
                 ("Parquet, zstd:1", "t.parquet", "--parquet-compression=zstd:1"), ("Parquet", "t.parquet"),
                 ("Parquet, snappy", "t.parquet", "--parquet-compression=snappy"), ("Arrow", "t.arrow")]
        ours = [gold_digger(f"gold_digger: {name}", target(file), sql, *flags) for name, file, *flags in names]
        script = os.path.join(HERE, "peers.py")
        theirs = [Contender(f"{name}: Parquet", [peers, script, name, table, target("t.parquet")])
                  for name in PEERS if peers]
        contenders = [*ours, *theirs]
        in_turn(contenders, options)
        print(f"### Formats: {table}\n")
        print("| | median s | ratio | CPU s | peak MiB | file MiB | values that differ |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        right = gold_digger("the values", kept, sql)
        in_turn([right], options, 1)
        for contender in contenders:
            if contender.failure:
                print(f"| {contender.name} | did not run: {contender.failure[:100]} | | | | | |")
                continue
            differ = differing(contender, kept, options) if contender in theirs else "–"
            print(f"| {contender.name} | {contender.median:.2f} | {contender.median / ours[0].median:.2f} "
                  f"| {statistics.median(contender.processor):.2f} | {contender.peak} | {contender.size / 2**20:.1f} | {differ} |",
                  flush=True)
        print()
    os.remove(kept)


def differing(contender, right, options):
    """How many values of its file differ from those of the file `right`."""
    python, script, *_, path = contender.command
    os.makedirs(options.out, exist_ok=True)
    subprocess.run(contender.command, check=True, capture_output=True)
    compared = subprocess.run([python, script, "differences", right, path], capture_output=True, text=True)
    return compared.stdout.strip() or (compared.stderr.strip().splitlines() or ["?"])[-1][:80]


def growth(options):
    """Time and memory by the number of rows, streamed and in a batch."""
    print("### Growth: orders over and over, to a CSV file\n")
    print("| rows | gold_digger s per million | peak MiB | bytes | batch twin s per million | peak MiB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for rows in options.growth:
        sql = f"SELECT STRAIGHT_JOIN orders.* FROM digits JOIN orders LIMIT {rows}"
        path = os.path.join(options.out, "t.csv")
        ours = gold_digger(f"{rows} rows", path, sql)
        twin = Contender(f"{rows} rows, batch", [TWIN, "batch", "binary", "csv", path, sql])
        both = [ours] if rows > 10_000_000 else [twin, ours]
        in_turn(both, options, 3)
        million = rows / 1e6
        batch = f"{twin.median / million:.3f} | {twin.peak}" if twin.median else "– | –"
        print(f"| {rows:,} | {ours.median / million:.3f} | {ours.peak} | {ours.size:,} | {batch} |", flush=True)
    print()


def encryption(options):
    """What TLS costs, here and in the vendor's client."""
    name, path = os.path.basename(CLIENT), os.path.join(options.out, "t.csv")
    print("### Encryption: with TLS and without\n")
    print(f"| table | CSV file s | with TLS s | ratio | {name} s | with TLS s | ratio | CSV : {name}, both with TLS |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for table in ("orders", "narrow", "wide"):
        sql = f"SELECT * FROM {table}"
        batch = ["--quick", "--batch", "-e", sql]
        four = [gold_digger(f"{table}, plain", path, sql),
                gold_digger(f"{table}, TLS", path, sql, "--tls=required"),
                Contender(f"{table}, {name}, plain", client(*batch), "file"),
                Contender(f"{table}, {name}, TLS", client(*batch, tls=True), "file")]
        in_turn(four, options)
        ours, encrypted, theirs, theirs_encrypted = (contender.median or float("nan") for contender in four)
        print(f"| {table} | {ours:.2f} | {encrypted:.2f} | {encrypted / ours:.2f} | {theirs:.2f} | {theirs_encrypted:.2f} "
              f"| {theirs_encrypted / theirs:.2f} | {encrypted / theirs_encrypted:.2f} |", flush=True)
    print()


def over_several_connections(options):
    # A URL in the environment has a port of its own, which flags stand above.
    program = [GOLD_DIGGER, "--quiet"]
    found = mydumper_command()
    options.port = URL.port
    parallel(options, Contender, program, found and found[0])


def start_up():
    print("### Start-up\n")
    refused = [GOLD_DIGGER, "--quiet", "--db-url", "mysql://me@127.0.0.1:1/", "SELECT 1"]
    print("| | runs | median ms | max ms |\n|---|---:|---:|---:|")
    for name, command, code in [("--version", [GOLD_DIGGER, "--version"], 0), ("a refused connection", refused, 3)]:
        seconds = []
        for _ in range(50):
            started = time.perf_counter()
            ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
            if ended.returncode != code:
                sys.exit(f"error: {name} ended with {ended.returncode}")
        print(f"| {name} | {len(seconds)} | {statistics.median(seconds) * 1000:.1f} | {max(seconds) * 1000:.1f} |")
    print(flush=True)


def slow_link(options):
    """A network name space of its own, whose loopback device tc slows down."""
    inside = ("set -e; ip link set lo up; tc qdisc add dev lo root tbf rate $RATE burst 256kb latency 50ms; "
              f"socat TCP-LISTEN:{URL.port},bind=127.0.0.1,fork,reuseaddr UNIX-CONNECT:{options.socket} & "
              "for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/$PORT) 2>/dev/null && break; sleep 0.05; done; "
              'status=0; "$@" || status=$?; kill $!; exit $status')
    if os.getuid() != 0 or subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        print("A slow link was not measured: that needs root and network name spaces.\n")
        return
    print("### A slow link (`tc tbf`), to a CSV file\n")
    print("| link | query | s | with --compress s | ratio |\n|---|---|---:|---:|---:|")
    for rate in ("100mbit", "1gbit"):
        os.environ.update(RATE=rate, PORT=str(URL.port))
        for sql in ("SELECT * FROM orders LIMIT 300000", "SELECT * FROM wide LIMIT 20000"):
            both = [gold_digger(f"{rate}: {sql} {' '.join(flags)}", os.path.join(options.out, "t.csv"), sql, *flags)
                    for flags in ([], ["--compress"])]
            for contender in both:
                contender.command = ["unshare", "--net", "bash", "-c", inside, "bash", *contender.command]
            in_turn(both, options, 3)
            plain, compressed = (contender.median or float("nan") for contender in both)
            print(f"| {rate} | {sql} | {plain:.2f} | {compressed:.2f} | {compressed / plain:.2f} |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--slow", type=float, required=True, help="seconds from which on a run is not repeated")
    parser.add_argument("--warm", type=int, required=True, help="MiB of memory to touch before each run")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--growth", type=int, nargs="*", default=[])
    parser.add_argument("--formats-only", action="store_true")
    parser.add_argument("--parallel-only", action="store_true")
    parser.add_argument("--server-pid", type=int, required=True)
    options = parser.parse_args()
    options.out, options.say = os.path.join(options.folder, "out"), say
    if options.parallel_only:
        return over_several_connections(options)
    if options.formats_only:
        return formats(options)
    for table in ("orders", "narrow", "wide"):
        compare(table, options)
    formats(options)
    encryption(options)
    over_several_connections(options)
    if options.growth:
        growth(options)
        slow_link(options)
        start_up()


main()
