"""What a peer does as a client of HTTP and WebSocket entrypoints."""
import requests
import websocket  # of websocket-client, as Nameko's own tests use

PATIENCE = 30  # seconds


class Browser:
    def __init__(self):
        self.sockets = {}

    def do_request(self, command):
        answer = requests.request(
            command["method"], command["url"], data=command["body"].encode(),
            allow_redirects=False, timeout=PATIENCE)
        return {"status": answer.status_code, "body": answer.content.decode(),
                "header": {name: [value] for name, value in answer.headers.items()}}

    def do_dial(self, command):
        self.sockets[command["socket"]] = websocket.create_connection(
            command["url"], timeout=PATIENCE)

    def do_read(self, command):
        return self.sockets[command["socket"]].recv()

    def do_write(self, command):
        self.sockets[command["socket"]].send(command["frame"])

    def do_hang_up(self, command):
        self.sockets.pop(command["socket"]).close()
