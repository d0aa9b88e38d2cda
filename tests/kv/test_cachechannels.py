"""Channels: who hears what, bounded queues, Redis's patterns."""

import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.cachestanding import Standing

from engines.errors import Invalid
from engines.kv.cache.channels import Channels, Message, _glob


def test_a_message_goes_to_who_listens_now():
    cache = Standing()
    assert cache.publish("news", 0) == 0
    with cache.subscribe("news", "other") as one, cache.subscribe(patterns=["n*"]) as two:
        assert cache.publish("news", 1) == 2
        assert cache.publish("other", 2) == 1
        assert cache.channels.listeners() == {"news": 1, "other": 1}
        assert [one.get(0), one.get(0), one.get(0)] == [Message("news", 1, None), Message("other", 2, None), None]
        assert two.get(0) == Message("news", 1, "n*")
    assert cache.publish("news", 3) == 0
    assert cache.channels._by_channel == cache.channels._by_pattern == {}


def test_an_iteration_ends_after_a_time_without_messages_and_can_go_on():
    channels = Channels()
    subscription = channels.subscribe("a", timeout=0)
    channels.publish("a", 1)
    channels.publish("a", 2)
    assert [message.data for message in subscription] == [1, 2]
    channels.publish("a", 3)
    assert [message.data for message in subscription] == [3]


def test_a_full_queue_loses_its_oldest_messages_and_counts_them():
    channels = Channels()
    subscription = channels.subscribe("a", size=3, timeout=0)
    for n in range(10):
        channels.publish("a", n)
    assert len(subscription) == 3
    assert [message.data for message in subscription] == [7, 8, 9]
    assert subscription.dropped == 7


def test_closing_wakes_who_waits_and_leaves_what_is_there():
    channels = Channels()
    subscription, found = channels.subscribe("a"), []
    thread = threading.Thread(target=lambda: found.extend(subscription))
    thread.start()
    channels.publish("a", 1)
    channels.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [message.data for message in found] == [1]
    subscription.close()


def test_all_subscribers_see_one_order():
    channels = Channels()
    subscriptions = [channels.subscribe("a", patterns=["b"], size=10_000, timeout=0) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda name=name: [channels.publish(name, n) for n in range(500)]) for name in "abab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, *others = [[message[:2] for message in subscription] for subscription in subscriptions]
    assert len(first) == 2000
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*", ["", "a", "a\nb"], []),
        ("h?llo", ["hello", "h\nllo"], ["hllo", "heello"]),
        ("h*llo", ["hllo", "heeello"], ["hello!"]),
        ("h[ae]llo", ["hello", "hallo"], ["hillo"]),
        ("h[^e]llo", ["hallo"], ["hello"]),
        ("h[a-c]llo", ["hbllo"], ["hdllo"]),
        ("h[c-a]llo", ["hbllo"], ["hdllo"]),
        ("[!a]", ["!", "a"], ["b"]),
        (r"\*\?[\]]", ["*?]"], ["ab]", r"\*\?]"]),
        ("[", ["["], ["a", ""]),
        ("a[]", [], ["a", "a]"]),
        ("a[^]", ["a]", "ab"], ["a"]),
        ("a.b|c", ["a.b|c"], ["axb|c", "c"]),
        ("a*b*c", ["abc", "axbxbxc"], ["acb", "ab", "abcx"]),
        (b"n*", [b"news"], [b"a"]),
        ("\\", ["\\"], ["a"]),
    ],
)
def test_patterns_are_those_of_redis(pattern, matches, others):
    channels = Channels()
    with channels.subscribe(patterns=pattern):
        assert [channels.publish(name, 1) for name in matches] == [1] * len(matches)
        assert [channels.publish(name, 1) for name in others] == [0] * len(others)


@given(st.text("a*?b"), st.text("ab"))
def test_stars_find_what_a_plain_expression_finds(pattern, text):
    expected = re.fullmatch(pattern.replace("?", ".").replace("*", ".*"), text) if "**" not in pattern else None
    if "**" not in pattern:
        assert bool(_glob(pattern).match(text)) == bool(expected)


def test_many_stars_do_not_take_for_ever():
    assert not _glob("a*" * 40 + "b").match("a" * 2000)


def test_channels_check_what_they_are_given():
    channels = Channels()
    for wrong in (
        lambda: channels.publish(1, 2),
        channels.subscribe,
        lambda: channels.subscribe("a", size=0),
    ):
        with pytest.raises(Invalid):
            wrong()
