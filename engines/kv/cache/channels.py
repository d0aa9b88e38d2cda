r"""Publish and subscribe: a message goes to who listens now, and to nobody else.

    publish("news.sport", "1:0") ──> subscription to "news.sport" ──> bounded queue ──> for message in subscription
                                 └─> subscription to "news.*"     ──> bounded queue ──> ...

At most once: what is published while nobody subscribes is gone, nothing is written down, a restart remembers no
subscription. For messages that must arrive use a list (rpush, lmove) or the change stream of a table.

A queue is bounded: a subscriber that falls behind loses the oldest messages it has not read, and `dropped` counts them.
Redis cuts off such a subscriber instead; its client then has to notice.

Patterns are Redis's: * any text, ? one character, [abc] [a-z] [^a] one of these, \* the character itself.
"""

import re
import threading
from collections import deque
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

from engines.errors import Invalid
from engines.kv.cache.hooks import whole

Channel = str | bytes

QUEUE = 1_000  # messages that wait for one subscriber


class Message(NamedTuple):
    """What was published where; pattern: the one that matched, None for a subscription to the channel itself."""

    channel: Channel
    data: Any
    pattern: Channel | None


class Subscription:
    """An iterator of messages, and a context manager that ends it. One thread may iterate, any may close.

    It ends when it was closed and is read empty, or after `timeout` seconds of real time without a message; then it
    can be iterated again. dropped: messages lost because the queue was full.
    """

    def __init__(
        self, owner: "Channels", channels: set[Channel], patterns: set[Channel], size: int, timeout: float | None
    ) -> None:
        self.channels, self.patterns = frozenset(channels), frozenset(patterns)
        self.timeout = timeout
        self.dropped = 0
        self._owner = owner
        self._waiting: deque[Message] = deque()
        self._size = size
        self._news = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        message = self.get(self.timeout)
        if message is None:
            raise StopIteration
        return message

    def get(self, timeout: float | None = None) -> Message | None:
        """The next message; None if none comes within timeout seconds (0: now), or when it was closed and is empty."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed, timeout)
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Take no more messages; those that wait can still be read. Closing twice is harmless."""
        self._owner._end(self)  # noqa: SLF001 - one design in two classes
        with self._news:
            self._closed = True
            self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, message: Message) -> None:
        with self._news:
            if len(self._waiting) == self._size:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(message)
            self._news.notify_all()


class Channels:
    """Who listens to what. Safe to share between threads: all subscribers see messages in one order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_channel: dict[Channel, list[Subscription]] = {}
        self._by_pattern: dict[Channel, list[Subscription]] = {}

    def publish(self, channel: Channel, message: Any) -> int:  # noqa: ANN401 - any object, not copied
        """Send a message to who listens to the channel or to a pattern that it matches; how many times it was sent."""
        _check(channel)
        with self._lock:
            sent = 0
            for subscription in self._by_channel.get(channel, ()):
                subscription._take(Message(channel, message, None))  # noqa: SLF001 - one design in two classes
                sent += 1
            for pattern, subscriptions in self._by_pattern.items():
                if _glob(pattern).match(_text(channel)):
                    for subscription in subscriptions:
                        subscription._take(Message(channel, message, pattern))  # noqa: SLF001 - likewise
                        sent += 1
            return sent

    def subscribe(
        self, *channels: Channel, patterns: Iterable[Channel] = (), size: int = QUEUE, timeout: float | None = None
    ) -> Subscription:
        """Listen from now on. size: messages that may wait; timeout: seconds without one that end an iteration.

        A channel that is subscribed to by name and by pattern gives its messages twice, as in Redis.
        """
        names = set(channels)
        wanted: set[Channel] = {patterns} if isinstance(patterns, str | bytes) else set(patterns)
        for name in names | wanted:
            _check(name)
        if not names and not wanted:
            raise Invalid("give at least one channel or pattern to listen to, got none")
        subscription = Subscription(self, names, wanted, whole(size, "size", 1), timeout)
        with self._lock:
            for name in names:
                self._by_channel.setdefault(name, []).append(subscription)
            for pattern in wanted:
                self._by_pattern.setdefault(pattern, []).append(subscription)
        return subscription

    def listeners(self) -> dict[Channel, int]:
        """Every channel that is subscribed to by name, and by how many."""
        with self._lock:
            return {channel: len(subscriptions) for channel, subscriptions in self._by_channel.items()}

    def close(self) -> None:
        """End all subscriptions."""
        with self._lock:
            every = [one for table in (self._by_channel, self._by_pattern) for some in table.values() for one in some]
        for subscription in every:
            subscription.close()

    def _end(self, subscription: Subscription) -> None:
        with self._lock:
            for table, names in (
                (self._by_channel, subscription.channels),
                (self._by_pattern, subscription.patterns),
            ):
                for name in names:
                    left = [other for other in table.get(name, ()) if other is not subscription]
                    if left:
                        table[name] = left
                    else:
                        table.pop(name, None)


class Publishing:
    """publish and subscribe as methods of a cache."""

    @cached_property
    def channels(self) -> Channels:
        """The channels of this cache; they have nothing to do with its keys."""
        return Channels()

    def publish(self, channel: Channel, message: Any) -> int:  # noqa: ANN401 - any object, not copied
        """Send a message to all who listen now; how many times it was sent."""
        return self.channels.publish(channel, message)

    def subscribe(
        self, *channels: Channel, patterns: Iterable[Channel] = (), size: int = QUEUE, timeout: float | None = None
    ) -> Subscription:
        """Listen to channels and patterns from now on: see Channels.subscribe."""
        return self.channels.subscribe(*channels, patterns=patterns, size=size, timeout=timeout)


def _check(name: Channel) -> None:
    if not isinstance(name, str | bytes):
        raise Invalid(f"a channel is a str or bytes, got {type(name).__name__}")


def _text(name: Channel) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


@lru_cache(maxsize=1_000)
def _glob(pattern: Channel) -> re.Pattern[str]:
    """Redis's pattern as a regular expression. Between stars the first match is final, so it never takes long."""
    pieces = [""]
    for part in _PARTS.findall(_text(pattern)):
        if part == "*":
            pieces.append("")
        else:
            pieces[-1] += _one(part)
    first, *middle = pieces
    if not middle:
        return re.compile(rf"(?s:{first})\Z")
    last = middle.pop()
    return re.compile(rf"(?s:{first}{''.join(f'(?>.*?{piece})' for piece in middle)}.*{last})\Z")


_PARTS = re.compile(r"\\.|\[\^?(?:\\.|[^\]\\])*\]|.", re.DOTALL)  # an escaped character, a class, any character
_RANGES = re.compile(r"(\\.|.)(?:-(\\.|.))?", re.DOTALL)


def _one(part: str) -> str:
    """The expression for one character of the text."""
    if part == "?":
        return "."
    if part[0] != "[" or len(part) == 1:
        return re.escape(part[-1])
    negated = part[1] == "^"
    ranges = [(low[-1], high[-1:] or low[-1]) for low, high in _RANGES.findall(part[1 + negated : -1])]
    inside = "".join(f"{re.escape(min(pair))}-{re.escape(max(pair))}" for pair in ranges)
    if not inside:
        return "." if negated else "(?!)"
    return f"[{'^' * negated}{inside}]"
