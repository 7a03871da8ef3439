"""Measures the server: time to the first characters, characters per second, behaviour under load.

It creates a barely trained model of the default recipe (the speed does not depend on the weights), starts
`charloom serve` as a separate process, and then

1. requests texts one at a time, with probabilities as the page does and without as programs do, and compares
   the time to the first characters and the characters per second with the model's speed without a server;
2. lets CLIENTS clients stream at the same time, while ten times as many send requests and /api/health is
   requested repeatedly; disconnects clients and measures when their places are free; compares the memory;
3. with --training, measures the speed of a training run alone, beside this load, and beside as many busy
   processes as the server has threads, which shows the cost of sharing the cores.

    python benchmarks/serve.py [--clients 50] [--seconds 15] [--training] [--json]

The clients run on the same cores, so the figures include their own delays.
"""

import argparse
import asyncio
import collections
import functools
import json
import multiprocessing
import operator
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import charloom
from charloom.store.journal import read_lines
from charloom.web.concurrency import worker_threads

LENGTH = 20_000
TIMES = 40
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom. "
SYMBOLS = "".join(map(chr, [10, *range(32, 96)]))  # 65 characters, as Tiny Shakespeare has


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        charloom.train(run=runs / "model", string=20 * TEXT + SYMBOLS + 20 * TEXT, updates=3, validation=0.0)  # fmt: skip
        with Served(runs) as served:
            told = {"alone": asyncio.run(alone(served, runs))}
            told["load"] = load(served, given.clients, given.seconds)
            if given.training:
                told["training"] = training(served, runs, given.clients, given.seconds)
    print(json.dumps(told, indent=2) if given.json else "\n".join(spelt(told)))


class Served:
    """A `charloom serve` process, whose memory can be measured."""

    def __init__(self, runs: Path) -> None:
        command = ["-m", "charloom", "serve", str(runs), "--port", "0", "--no-open"]
        self.process = subprocess.Popen(
            [sys.executable, *command], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.port = int(self.process.stderr.readline().rstrip("/\n").rpartition(":")[2])

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *error: object) -> None:
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(30)
        print(f"SIGTERM: closed after {time.monotonic() - began:.2f} s", file=sys.stderr)

    def megabytes(self) -> float:
        """Return the server's present memory in megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Client:
    """One connection with one request, as the page sends it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: dict | None = None) -> int:
        """Send a request and return the status of the response."""
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, limit=2**24
        )
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self.writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
        self.status = int((await self.reader.readline()).split()[1])
        while (await self.reader.readline()).strip():
            pass
        return self.status

    async def events(self):
        """Yield the name and the data of each event."""
        name = b""
        while line := await self.reader.readline():
            if line.startswith(b"event: "):
                name = line[7:-1]
            elif line.startswith(b"data: "):
                yield name.decode(), json.loads(line[6:])

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


async def health(port: int) -> tuple[float, dict]:
    """Return the seconds of a request to /api/health, and its response."""
    began = time.perf_counter()
    client = Client(port)
    assert await client.ask("/api/health") == 200
    told = json.loads((await client.reader.read()).split(b"\r\n")[-1] or b"{}")
    client.close()
    return time.perf_counter() - began, told


async def alone(served: Served, runs: Path) -> dict:
    """Return the time to the first characters and the characters per second, with one client at a time."""
    told: dict[str, object] = {}
    # The page always asks for probabilities.
    for who, thoughtful in (("as_the_page", True), ("as_a_program", False)):
        firsts = [
            (await write(served.port, 200, seed=n, probabilities=thoughtful))[0]
            for n in range(TIMES)
        ]
        rates = [
            (await write(served.port, LENGTH, seed=n, probabilities=thoughtful))[1]
            for n in range(3)
        ]
        told |= {
            f"first_ms_{who}": milliseconds(firsts),
            f"characters_per_second_{who}": statistics.median(rates),
        }
    model = charloom.load(runs / "model")
    began = time.perf_counter()
    model.sample(length=LENGTH)
    return {
        **told,
        "without_a_server": LENGTH / (time.perf_counter() - began),
    }


async def write(port: int, length: int, **more: object) -> tuple[float, float]:
    """Return the seconds to the first characters, and the characters per second, of one text."""
    client, began, first, count = Client(port), time.perf_counter(), 0.0, 0
    assert await client.ask("/api/generate", {"model": "model", "length": length, **more}) == 200
    async for name, data in client.events():
        if name == "text":
            first = first or time.perf_counter() - began
            count += len(data["text"])
    client.close()
    assert count == length
    return first, count / (time.perf_counter() - began)


def load(served: Served, clients: int, seconds: float) -> dict:
    """Measure many streaming clients, ten times as many waiting ones, and /api/health meanwhile."""
    rounds = []
    before = served.megabytes()
    for _ in range(2):  # the first makes threads and fills caches that are kept
        rounds.append(one_load(served.port, clients, seconds))
        rounds[-1]["freed_ms"] = milliseconds(asyncio.run(drops(served.port, clients)))
        time.sleep(1.0)
        rounds[-1]["megabytes"] = served.megabytes()
    first, last = rounds
    return {
        **last,
        "megabytes_before": before,
        "megabytes_after_first": first["megabytes"],
        "growth_percent": 100 * (last["megabytes"] / first["megabytes"] - 1),
    }


def one_load(port: int, clients: int, seconds: float) -> dict:
    """Measure one round of load.

    The streaming clients, the refused clients and the requests to /api/health run in three processes, so
    that they do not wait for each other.
    """
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        streaming = pool.submit(at_once, "stream", port, clients, seconds)
        time.sleep(2.0)
        vain = pool.submit(at_once, "excess", port, 10 * clients, seconds - 2)
        pings = pool.submit(at_once, "ping", port, 1, seconds - 2).result()[0]
        written, refused = streaming.result(), functools.reduce(operator.iadd, vain.result(), [])
    statuses = collections.Counter(str(status) for status, _ in refused)
    return {
        "health_ms": milliseconds(pings),
        "refused_ms": milliseconds([took for status, took in refused if status != 200]),
        "statuses": dict(sorted(statuses.items())),
        "characters_per_second_together": sum(written) / seconds,
        "slowest_client": min(written) / seconds,
    }


def at_once(what: str, port: int, count: int, seconds: float) -> list:
    """Return the results of `clients` clients of one kind over `seconds` seconds."""

    async def all_of_them() -> list:
        end = time.monotonic() + seconds
        kind = {"stream": stream, "excess": excess, "ping": ping}[what]
        return await asyncio.gather(*(kind(port, n, n / count, end) for n in range(count)))

    return asyncio.run(all_of_them())


async def stream(port: int, n: int, _: float, end: float) -> int:
    """Stream a text and return how many characters it has."""
    client, written = Client(port), 0
    asked = {"model": "model", "length": 100_000, "seed": n, "probabilities": True}
    assert await client.ask("/api/generate", asked) == 200
    async for name, data in client.events():
        if name == "text":
            written += len(data["text"])
        if time.monotonic() > end:
            break
    client.close()
    return written


async def ping(port: int, _n: int, _: float, end: float) -> list[float]:
    """Request /api/health repeatedly, and return the seconds of each request."""
    found = []
    while time.monotonic() < end:
        found.append((await health(port))[0])
        await asyncio.sleep(0.02)
    return found


async def excess(port: int, _: int, share: float, end: float) -> list[tuple[int, float]]:
    """Send requests that are refused, waiting as Retry-After says.

    Return the status and the seconds of each response.
    """
    found = []
    await asyncio.sleep(2.0 * share)
    while time.monotonic() < end - 0.5:
        client, began = Client(port), time.perf_counter()
        asking = asyncio.ensure_future(
            client.ask(
                "/api/generate", {"model": "model", "length": 100_000, "probabilities": True}
            )
        )
        await asyncio.wait({asking}, timeout=max(0.1, end - time.monotonic()))
        if not asking.done():  # it has a place among those who wait
            asking.cancel()
            client.close()
            break
        found.append((asking.result(), time.perf_counter() - began))
        client.close()
        await asyncio.sleep(2.0)
    return found


async def drops(port: int, clients: int) -> list[float]:
    """Return the seconds until the place of a disconnected client is free, while others stream."""
    await until_writing(port, 0)
    opened = []
    for n in range(clients):
        client = Client(port)
        asked = {"model": "model", "length": 100_000, "seed": n, "probabilities": True}
        await client.ask("/api/generate", asked)
        opened.append(client)
    reading = [asyncio.ensure_future(drain(client)) for client in opened]
    freed = []
    for n in range(10):
        writing = (await health(port))[1]["writing"]
        began = time.perf_counter()
        reading[n].cancel()
        opened[n].close()
        while (await health(port))[1]["writing"] >= writing:
            await asyncio.sleep(0.005)
        freed.append(time.perf_counter() - began)
    for n in range(10, clients):
        reading[n].cancel()
        opened[n].close()
    await until_writing(port, 0)
    return freed


async def drain(client: Client) -> None:
    """Read a stream to its end and discard the data."""
    while await client.reader.read(65536):
        pass


async def until_writing(port: int, count: int) -> None:
    """Wait until the server writes this many texts."""
    while (await health(port))[1]["writing"] != count:
        await asyncio.sleep(0.02)


def training(served: Served, runs: Path, clients: int, seconds: float) -> dict:
    """Return the characters per second of a training run alone, beside the load, and beside busy processes."""
    command = [
        "train",
        "python-docs",
        "--recipe",
        "classic",
        "--epochs",
        "1000",
        "--report-every",
        "100",
        "--run",
    ]
    path = runs / "beside"
    trained = subprocess.Popen(
        [sys.executable, "-m", "charloom", *command, str(path)], stderr=subprocess.DEVNULL
    )
    try:
        while not (path / "metrics.jsonl").exists() or len(read_lines(path / "metrics.jsonl")) < 20:
            time.sleep(0.2)
        told = {"alone": speed(path, lambda: time.sleep(seconds))}
        told["beside_the_load"] = speed(path, lambda: one_load(served.port, clients, seconds))
        busy = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(worker_threads() + 1)  # its threads, and the clients
        ]
        try:
            told["beside_busy_processes"] = speed(path, lambda: time.sleep(seconds))
        finally:
            for process in busy:
                process.kill()
                process.wait()
    finally:
        trained.kill()
        trained.wait()
    return told


def speed(run: Path, meanwhile) -> float:
    """Return the characters per second of a training run while something else runs."""
    began, first = time.monotonic(), read_lines(run / "metrics.jsonl")[-1]["characters"]
    meanwhile()
    last = read_lines(run / "metrics.jsonl")[-1]["characters"]
    return (last - first) / (time.monotonic() - began)


def milliseconds(seconds: list[float]) -> dict:
    """Return the median, the 99th percentile and the maximum."""
    if not seconds:
        return {"count": 0}
    ordered = sorted(1e3 * second for second in seconds)
    return {
        "count": len(ordered),
        "median": round(statistics.median(ordered), 2),
        "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
        "most": round(ordered[-1], 2),
    }


def spelt(told: dict) -> list[str]:
    """Return the figures as lines for users."""
    lines = []
    for part, figures in told.items():
        lines.append(f"{part}:")
        lines += [f"  {name:<32} {value}" for name, value in figures.items()]
    return lines


if __name__ == "__main__":
    main()
