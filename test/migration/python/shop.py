"""The Python half of the service of the rolling move; ../shop is the Go half."""
import eventlet
from eventlet.patcher import original
from nameko.events import event_handler
from nameko.rpc import rpc

WORK = 0.1  # seconds, as in Go

write = original("os").write  # eventlet's own may be called by one greenlet only


def say(what, name):
    write(1, ("%s %s\n" % (what, name)).encode())  # at once: the process may be killed


class Shop:
    name = "shop"

    @rpc
    def price(self, id):
        say("call", id)
        eventlet.sleep(WORK)
        return {"id": id}

    @event_handler("orders", "placed")
    def on_placed(self, order):
        eventlet.sleep(WORK)
        say("event", order["id"])
