from __future__ import annotations

import datetime as dt
import enum
import typing as t
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Dict, List, Literal, NewType, NotRequired, Tuple, TypedDict, Union
from uuid import UUID

import nameko.events as events
from nameko import config
from nameko.extensions import DependencyProvider
from nameko.rpc import Rpc, rpc
from nameko.web.websocket import rpc as socket_rpc

from .entrypoints import rpc as own_rpc

ArticleID = NewType("ArticleID", int)
Json = Dict[str, Any]
Page = t.Tuple[t.List["Article"], int]
Endless = List["Endless"]
remote = partial(rpc, expected_exceptions=(KeyError, ValueError), sensitive_arguments="token")
plain = Rpc.decorator


class Section(str, enum.Enum):
    NEWS = "news"
    SPORT = "sport"


class Author(TypedDict, total=False):
    """Who wrote it."""
    name: str
    articles: List["Article"]
    best: Article


class Article(TypedDict):
    id: ArticleID
    title: str
    author: Author
    section: Section
    published: dt.datetime
    teaser: NotRequired[str]
    parent: "Article"
    extra_: Json


class Base:
    @plain
    async def touch(self, article_id: ArticleID, /, at: dt.datetime | None = None) -> None: ...

    @rpc
    def whoami(self) -> str:
        return "base"


class Left(Base):
    pass


class Right(Base):
    @rpc
    def whoami(self) -> Section:
        return Section.NEWS


class ArticlesService(Left, Right):
    name: str = "articles"
    EVENT = "article-published"
    dispatch: events.EventDispatcher = events.EventDispatcher()
    tokens = DependencyProvider()

    @remote
    def find(
        self,
        text: str,
        sections: Sequence[Section] = (),
        *,
        limit: int = config.get("LIMIT", 10),
        order: Literal["asc", "desc"] = "asc",
        since: t.Optional[date] = None,
        token: str,
        strict: bool = True,
        min_score: float = 0.0,
    ) -> Page:
        r"""Finds articles \o/."""
        def later(x: int = 1) -> None:
            self.dispatch(self.EVENT, {"x": [i for i in range(x)]})
        return later(), f"{text!r:>{limit}} {sections["a"]}"

    @rpc(expected_exceptions=(ValueError,))
    def publish(self, article: Article, price: Decimal, body: bytes | None, key: UUID, at: dt.time) -> tuple[bool, dt.datetime]:
        if article: self.dispatch("published", article); return True, dt.datetime.now()

    @rpc
    def counts(self, by: Mapping[int, Union[int, float]], tags: set[str] = frozenset({"a"})) -> Dict[str, List[int]]:
        ...

    @own_rpc
    def shapes(self, a: tuple[int, ...], b: Tuple[int, str], c: tuple[float, float], d: dict, e: list, f: Union[str, int],
               g: Annotated[int, "unit"], h: Endless, i: "not an expression (", j: None, k: Union[str, None, dict],
               ctx: object, type: t.Any = ..., lambda_: t.Callable[[int], str] = lambda x, y=1: x) -> Tuple[int]:
        ...

    @rpc
    def author(self, author: Author = None, größe=1) -> Author | None:
        ...

    @rpc
    def get_ids(self, author: Author = None, user_id="", userId="", _=None) -> Sequence[ArticleID]:
        ...

    @socket_rpc
    def subscribe(self, socket_id):
        ...

    @events.event_handler("articles", event_type=EVENT, handler_type=events.SINGLETON)
    @events.event_handler(config["SOURCE"], "done")
    def on_published(self, payload): ...

    class Meta:
        @rpc
        def hidden(self): ...
