# -*- coding: utf-8 -*-
"""Services of the shop, as they were written for Python 2."""
from __future__ import print_function, unicode_literals

import logging
import nameko.rpc
from nameko.events import BROADCAST, EventDispatcher, event_handler
from nameko.rpc import RpcProxy, rpc as remote
from nameko.timer import timer
from nameko.web.handlers import http

from shop.mixins import AuditMixin

log = logging.getLogger(__name__)
SHOP = u'shop'
ORDER_PLACED = 'order_' 'placed'


class HealthMixin(object):

    @remote
    def ping(self): return 'pong'

    @remote
    def version(self):
        return 1

    @remote
    def secret(self):
        return 42


class OrdersService(HealthMixin, AuditMixin):
    '''
    Takes orders.

    Orders are never deleted; see http://wiki/orders.
    '''
    name = SHOP + '_orders'
    name = 'orders'

    dispatch = EventDispatcher()
    emit = EventDispatcher(reliable_delivery=True)
    stock_rpc = RpcProxy('stock')
    secret = None  # not for callers

    @remote
    def place_order(self, user_id, items, note='', (street, city)=(None, None),
                    gift_wrap=False):
        """Place an order.

        :param user_id: who orders
        :param items: list of ``{"sku": …, "amount": …}``
        :returns: id of the order
            and its total
        """
        try:
            order = self.store(user_id, items)
        except ValueError, exc:
            print "no order: %s" % exc
            raise
        self.dispatch(ORDER_PLACED, {'id': order.id})
        self.emit(event_type='stock.low', event_data=order.data)
        self.dispatch('order_%s' % order.state, {})
        self.dispatch(ORDER_PLACED, {})
        return order.id, order.total

    @remote
    def version(self):
        return 2

    @nameko.rpc.rpc
    def search(self, *terms, **options):
        return self.index.search(terms, options)

    @remote
    def get_by_url(self, url, type=None, func=len, class_='a'  'b'):
        return self.index.get(url)

    def internal(self, x):
        return x

    @event_handler('payments', 'paid')
    @event_handler('payments', 'refunded', handler_type=BROADCAST)
    def on_payment(self, payload):
        pass

    @timer(interval=60)
    def sweep(self):
        pass

    @http('GET', '/orders/<int:order_id>')
    def get_order(self, request, order_id):
        return u''


class StockService(object):
    name = b"stock"

    @remote
    @log_calls
    def reserve(self, sku, amount=1):
        return True


class Unserved(object):
    """No service: it has no entrypoint for RPC."""
    name = 'unserved'

    def rpc(self):
        pass
