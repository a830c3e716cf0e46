"""A Nameko service with a Publisher and a consume, for messaging_test.go."""

import eventlet

eventlet.monkey_patch()

import json  # noqa: E402
import sys  # noqa: E402

from kombu import Exchange, Queue  # noqa: E402
from nameko.extensions import DependencyProvider  # noqa: E402
from nameko.messaging import Publisher, consume  # noqa: E402
from nameko.rpc import rpc  # noqa: E402
from nameko.runners import ServiceRunner  # noqa: E402

try:
    from nameko import config  # 3.0 has one configuration
except ImportError:
    config = None  # 2.14 hands it to everyone

orders = Exchange("orders", type="topic", auto_delete=True)
to_go = Queue("to-go", orders, routing_key="go.#", queue_arguments={"x-max-priority": 3})
to_python = Queue("to-python", orders, routing_key="python.#", queue_arguments={"x-message-ttl": 60000})
requeued = Queue("requeued-python", orders, routing_key="requeued.#")


class Worker(DependencyProvider):
    def get_dependency(self, worker_ctx):
        return worker_ctx


class Messaging:
    name = "messaging"

    publish = Publisher(exchange=orders, declare=[to_go], priority=1, headers={"sender": "python"})
    worker = Worker()
    tries = []

    @consume(to_python)
    def got(self, payload):
        self.say(payload)

    @consume(requeued, requeue_on_error=True)
    def fail_twice(self, payload):
        self.tries.append(payload)
        if len(self.tries) < 3:
            raise ValueError("not yet")
        self.say({"tries": len(self.tries)})

    @rpc
    def send(self, payload, options):
        self.publish(payload, **options)

    def say(self, payload):
        data = {k: v for k, v in self.worker.data.items() if k != "call_id_stack"}
        line = {"payload": repr(payload), "data": data, "stack": len(self.worker.call_id_stack)}
        print("GOT " + json.dumps(line, sort_keys=True), flush=True)


if __name__ == "__main__":
    settings = {"AMQP_URI": sys.argv[1]}
    if config is None:
        runner = ServiceRunner(settings)
    else:
        config.setup(settings)
        runner = ServiceRunner()
    runner.add_service(Messaging)
    runner.start()
    runner.wait()
