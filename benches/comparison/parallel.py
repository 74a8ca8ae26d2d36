"""One table over several connections, here and behind a link with a long delay.

The link is a proxy that holds up each connection by 20 ms for every 16 KiB, as a
network does whose windows are small and whose end is far away: connections do not
take from each other.
"""

import asyncio
import os
import statistics
import threading

DELAY, PIECE = 0.02, 16 << 10


def delaying_proxy(port):
    """Starts the proxy to `port`, and returns its own."""
    async def pump(reader, writer, delays):
        try:
            while data := await reader.read(PIECE):
                # Short answers come at once, so that only rows are held up.
                if delays and len(data) > 1000:
                    await asyncio.sleep(DELAY * len(data) / PIECE)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, server_writer, False), pump(server_reader, writer, True))

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=PIECE)
        found.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    found, ready = [], threading.Event()
    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    ready.wait()
    return found[0]


def processor_seconds(pid):
    """The processor time that the process has taken so far."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(contenders, options, rounds):
    """Runs each once a round, and notes the server's processor time too."""
    for number in range(rounds):
        for contender in contenders:
            if contender.failure:
                continue
            before = processor_seconds(options.server_pid)
            contender.run(options.out, options.warm)
            contender.server = getattr(contender, "server", [])
            contender.server.append(processor_seconds(options.server_pid) - before)
            options.say(number, contender)


def print_rows(contenders):
    print("| | runs | median s | times as fast | CPU s of the client | CPU s of the server | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    one = contenders[0].median
    for contender in contenders:
        if contender.failure:
            print(f"| {contender.name} | did not run: {contender.failure[:120]} | | | | | |")
            continue
        print(f"| {contender.name} | {len(contender.seconds)} | {contender.median:.2f} | {one / contender.median:.2f} "
              f"| {statistics.median(contender.processor):.2f} | {statistics.median(contender.server):.2f} "
              f"| {contender.peak} |")
    print(flush=True)


def parallel(options, contender, program, mydumper):
    """`contender` makes one; `program` and `mydumper` are the beginnings of commands."""
    target = os.path.join(options.out, "t.csv")
    parts = os.path.join(options.out, "t-{part}.csv")

    def ours(table, connections, path, *flags):
        where = "" if path == target else ", a file a chunk"
        name = f"gold_digger: {connections} connection{'s' if connections > 1 else ''}{where}"
        return contender(name, [*program, *flags, "--lock", f"--table={table}", "--split=16",
                                f"--connections={connections}", "-o", path])

    def single(table, *flags):
        return contender("gold_digger: one statement", [*program, *flags, "-o", target, f"SELECT * FROM {table} ORDER BY id"])

    print(f"### One table over several connections: orders, on {os.cpu_count()} processors\n")
    contenders = [single("orders"), *(ours("orders", count, target) for count in (1, 2, 4)), ours("orders", 4, parts)]
    if mydumper:
        folder = os.path.join(options.out, "dump")
        contenders += [contender(f"mydumper --rows 200000, {count} thread{'s' if count > 1 else ''}",
                                 [*mydumper, "-T", "orders", "-o", folder, "-r", "200000", "-t", str(count)])
                       for count in (1, 2, 4)]
    measure(contenders, options, options.rounds)
    print_rows(contenders)

    print(f"### The same behind a delay of {DELAY * 1000:.0f} ms for each {PIECE >> 10} KiB: near, the first orders\n")
    port = f"--port={delaying_proxy(options.port)}"
    contenders = [single("near", port), *(ours("near", count, target, port) for count in (1, 2, 4))]
    measure(contenders, options, min(options.rounds, 2))
    print_rows(contenders)
