"""Calls each method of register once, as a Nameko client does:

    python caller.py AMQP_URI
"""
import warnings

warnings.simplefilter("ignore")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import sys  # noqa: E402

from nameko.exceptions import RemoteError  # noqa: E402
from nameko.standalone.rpc import ClusterRpcProxy  # noqa: E402

with ClusterRpcProxy({"AMQP_URI": sys.argv[1]}, timeout=30) as cluster:
    cluster.register.check_registered("7434029")
    cluster.register.check_registered(u_id="1")
    cluster.register.rename("7000001", name="Linus T.")
    try:
        cluster.register.rename("1", "nobody")
        raise SystemExit("an unknown user was renamed")
    except RemoteError:
        pass
