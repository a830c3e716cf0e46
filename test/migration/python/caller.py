"""Calls the service shop and emits events, until stdin ends.

    python caller.py AMQP_URI NAME CALLS_PER_SECOND

It prints what it asks and what it is answered: "asked ID", "answered ID ANSWER",
"failed ID ERROR"; and for events "confirmed ID", "lost ID ERROR".
"""
import eventlet

eventlet.monkey_patch()

import json  # noqa: E402
import sys  # noqa: E402

from eventlet import event, tpool  # noqa: E402
from nameko.standalone.events import event_dispatcher  # noqa: E402
from nameko.standalone.rpc import ClusterRpcProxy  # noqa: E402

try:
    from nameko import config  # Nameko 3
except ImportError:
    config = None

TIMEOUT = 30  # seconds
CALLERS = 4
EVERY = 3  # calls between two events


def call(cluster, name):
    print("asked", name, flush=True)
    try:
        answer = cluster.shop.price(name)
        print("answered", name, json.dumps(answer), flush=True)
    except Exception as exc:
        print("failed", name, type(exc).__name__, exc, flush=True)


def emit(dispatch, name):
    try:
        dispatch("orders", "placed", {"id": name})
        print("confirmed", name, flush=True)
    except Exception as exc:
        print("lost", name, type(exc).__name__, exc, flush=True)


def caller(uri, name, pause, stop):
    if config is None:
        settings = {"AMQP_URI": uri}
        proxy = ClusterRpcProxy(settings, timeout=TIMEOUT)
        dispatch = event_dispatcher(settings)
    else:
        proxy, dispatch = ClusterRpcProxy(timeout=TIMEOUT), event_dispatcher()
    with proxy as cluster:
        number = 0
        while not stop.ready():
            number += 1
            call(cluster, "%s-%d" % (name, number))
            if number % EVERY == 0:
                emit(dispatch, "%s-%d" % (name, number))
            eventlet.sleep(pause)


def main():
    uri, name, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if config is not None:
        config.setup({"AMQP_URI": uri})
    stop = event.Event()
    callers = [
        eventlet.spawn(caller, uri, "%s-%d" % (name, i), CALLERS / rate, stop)
        for i in range(CALLERS)
    ]
    tpool.execute(sys.stdin.read)
    stop.send(None)
    for c in callers:
        c.wait()


if __name__ == "__main__":
    main()
