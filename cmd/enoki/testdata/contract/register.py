from typing import Optional, TypedDict

from nameko.events import EventDispatcher, event_handler
from nameko.rpc import rpc


class UserData(TypedDict):
    name: str
    country: str


class RegisterService:
    """Knows who is registered."""

    name = "register"
    dispatch = EventDispatcher()

    @rpc
    def check_registered(self, u_id: str) -> Optional[UserData]:
        """Returns the data of a user, or None."""
        return self.users.get(u_id)

    @rpc(expected_exceptions=ValueError)
    def register(self, email: str, user_data: UserData) -> tuple[str, str]:
        u_id = self.users.add(email, user_data)
        self.dispatch("user_registered", {"u_id": u_id})
        return u_id, ""

    @rpc
    def latest(self, limit: int = 10, country: str = ""):
        return self.users.latest(limit, country)

    @event_handler("comments", "posted")
    def on_posted(self, comment):
        pass
