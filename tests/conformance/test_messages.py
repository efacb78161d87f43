"""Messages: to everyone who is subscribed, in order."""

import asyncio

from mobius_infra.core import Backend, Message, Subscription


async def take(subscription: Subscription, count: int) -> list[object]:
    async with asyncio.timeout(60):
        return [await anext(subscription) for _ in range(count)]


async def test_every_subscriber_gets_every_message_in_order(backend: Backend) -> None:
    async with backend.subscribe("c") as one, backend.subscribe("c") as other:
        for number in range(50):
            await backend.publish("c", str(number).encode())
        expected = [Message("c", str(number).encode()) for number in range(50)]
        assert await take(one, 50) == expected
        assert await take(other, 50) == expected


async def test_only_the_channels_asked_for_are_heard(backend: Backend) -> None:
    async with backend.subscribe("a", "b") as subscription:
        for channel in ("c", "a", "c", "b", "ab"):
            await backend.publish(channel, b"\0" + channel.encode())
        await backend.publish("a", b"end")
        assert await take(subscription, 3) == [
            Message("a", b"\0a"), Message("b", b"\0b"), Message("a", b"end"),
        ]  # fmt: skip


async def test_what_was_published_before_is_not_heard(backend: Backend) -> None:
    await backend.publish("c", b"before")
    async with backend.subscribe("c") as subscription:
        await backend.publish("c", b"after")
        assert await take(subscription, 1) == [Message("c", b"after")]


async def test_who_waits_is_woken(backend: Backend) -> None:
    async with backend.subscribe("c") as subscription:
        waiting = asyncio.create_task(take(subscription, 1))
        await asyncio.sleep(0)
        await backend.publish("c", b"now")
        assert await waiting == [Message("c", b"now")]


async def test_who_stops_waiting_can_go_on_later(backend: Backend) -> None:
    async with backend.subscribe("c") as subscription:
        await backend.publish("c", b"1")
        assert await take(subscription, 1) == [Message("c", b"1")]
    await backend.publish("c", b"2")
    async with backend.subscribe("c") as again:
        await backend.publish("c", b"3")
        assert await take(again, 1) == [Message("c", b"3")]
