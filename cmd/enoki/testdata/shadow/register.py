"""A Nameko service. It runs until its standard input ends:

    python register.py AMQP_URI
"""
import warnings

warnings.simplefilter("ignore")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import sys  # noqa: E402

from eventlet import tpool  # noqa: E402
from nameko.rpc import rpc  # noqa: E402
from nameko.runners import ServiceRunner  # noqa: E402

USERS = {
    "7434029": {"name": "Ada", "country": "GB"},
    "7000001": {"name": "Linus", "country": "FI"},
}


class Register:
    name = "register"

    @rpc
    def check_registered(self, u_id):
        return USERS.get(u_id)

    @rpc
    def rename(self, u_id, name):
        if u_id not in USERS:
            raise KeyError(u_id)
        return dict(USERS[u_id], name=name)


runner = ServiceRunner(config={"AMQP_URI": sys.argv[1]})
runner.add_service(Register)
runner.start()
print("ready", flush=True)
tpool.execute(sys.stdin.read)
runner.stop()
