"""Nobody calls this service: events, the clock and browsers do."""
from nameko.events import BROADCAST, event_handler
from nameko.messaging import consume
from nameko.timer import timer
from nameko.web.handlers import http

from shop import config, mails

MINUTE = 60


class Watched:
    @timer(interval=0.5)
    def beat(self):
        """Tells the watchdog."""


class MailerService(Watched):
    """Writes mails."""

    name = "mailer"

    @event_handler("orders", "order_placed")
    @event_handler("orders", "order_changed")
    def on_order(self, payload):
        """Tells who ordered."""

    @event_handler("settings", "changed", handler_type=BROADCAST, reliable_delivery=False)
    def on_settings(self, payload):
        mails.reload()

    @event_handler("audit", "seen", reliable_delivery=False, requeue_on_error=True)
    def on_seen(self, payload):
        pass

    @event_handler(config["SOURCE"], "done")
    def on_done(self, payload):
        pass

    @timer(interval=3600, eager=True)
    def sweep(self):
        mails.sweep()

    @timer(interval=config["PAUSE"])
    def rest(self):
        pass

    @timer(interval=MINUTE)
    def poll(self):
        mails.poll()

    @http("GET", "/mails/<int:mail_id>")
    def get_mail(self, request, mail_id):
        """Returns a mail as text."""

    @http("POST,PUT", "/mails")
    def put_mail(self, request):
        pass

    @consume(mails.queue)
    def receive(self, body):
        pass


class Unnamed:
    @timer(interval=1)
    def tick(self):
        pass


class ConfiguredService:
    name = config["NAME"]

    @http("GET", "/")
    def root(self, request):
        return "here"
