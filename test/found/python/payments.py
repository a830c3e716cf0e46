"""A Nameko service that has its requests sent again with nameko-amqp-retry."""
from nameko_amqp_retry import Backoff
from nameko_amqp_retry.rpc import rpc


class Soon(Backoff):
    schedule = (500,)
    limit = 1000
    random_sigma = 0


class PaymentsService:
    name = "payments"
    seen = set()

    @rpc
    def charge(self, order):
        if order not in self.seen:
            self.seen.add(order)
            raise Soon()
        return "charged %s" % order

    @rpc
    def never(self, order):
        raise Soon()
