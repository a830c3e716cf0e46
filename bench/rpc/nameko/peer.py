"""Nameko as a case of the benchmark.

    python peer.py service|client AMQP_URI NAME SIZE

serves a document back, or calls that service in as many workers as a line of
standard input says. What it reads and writes is told in harness/role.go. It
works with Nameko 2.14 and 3.0.
"""
import warnings

warnings.simplefilter("ignore")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

from eventlet import tpool  # noqa: E402
from eventlet.event import Event  # noqa: E402
from nameko.containers import ServiceContainer  # noqa: E402
from nameko.rpc import RpcProxy, rpc  # noqa: E402
from nameko.testing.services import dummy  # noqa: E402

try:
    from nameko import config as nameko_config  # 3.0 has one configuration
except ImportError:
    nameko_config = None  # 2.14 hands it to everyone

WORKERS = 128  # at once, and messages taken ahead: as in the other cases


def run(cls, uri):
    config = {"AMQP_URI": uri, "max_workers": WORKERS}
    if nameko_config is None:
        container = ServiceContainer(cls, config=config)
    else:
        nameko_config.setup(config)
        container = ServiceContainer(cls)
    container.start()
    return container


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def lines():
    """The lines of standard input, read without holding up the others."""
    while True:
        line = tpool.execute(sys.stdin.readline)
        if not line:
            return
        yield json.loads(line)


def serve(uri, name):
    class Store:
        @rpc
        def put(self, document):
            return document

    Store.name = name
    run(Store, uri)
    for _ in lines():
        pass


def document(size):
    d = {"id": "7434029", "name": "Ada Lovelace", "count": 42, "score": 0.75, "tags": ["a", "bc"], "text": ""}
    d["text"] = ("lorem ipsum " * size)[:size - len(json.dumps(d, separators=(",", ":")))]
    return d


class Turn:
    def __init__(self, seconds):
        self.end = time.time() + seconds
        self.times = []
        self.errors = []


def call(uri, name, size):
    sent = document(size)

    class Caller:
        store = RpcProxy(name)

        @dummy
        def call(self, turn):
            while True:
                begun = time.time()
                try:
                    if self.store.put(sent) != sent:
                        raise ValueError("another document came back")
                    turn.times.append(time.time() - begun)
                except Exception as exc:
                    turn.errors.append(repr(exc))
                    time.sleep(0.02)
                if time.time() >= turn.end:
                    return

    Caller.name = name + "_caller"
    container = run(Caller, uri)
    entrypoint = next(iter(container.entrypoints))

    def work(callers, seconds):
        turn, left, done, begun = Turn(seconds), [callers], Event(), time.time()

        def handle_result(worker_ctx, result, exc_info):
            left[0] -= 1
            if left[0] == 0:
                done.send()
            return result, exc_info

        for _ in range(callers):
            container.spawn_worker(entrypoint, (turn,), {}, handle_result=handle_result)
        done.wait()
        return turn, begun, time.time() - begun

    while not work(1, 0)[0].times:
        pass
    say({})
    for order in lines():
        turn, begun, elapsed = work(order["callers"], order["time"] / 1e9)
        times = sorted(turn.times) or [0]
        say({
            "begun": int(begun * 1e9), "elapsed": int(elapsed * 1e9),
            "calls": len(turn.times), "errors": len(turn.errors), "error": (turn.errors or [""])[0],
            "p50": int(times[len(times) // 2] * 1e9), "p99": int(times[int(len(times) * 0.99)] * 1e9),
        })


if __name__ == "__main__":
    role, uri, name, size = sys.argv[1:]
    if role == "service":
        serve(uri, name)
    else:
        call(uri, name, int(size))
    import os
    os._exit(0)  # the node of the run goes with its queues
