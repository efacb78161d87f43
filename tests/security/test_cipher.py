"""Encryption: it comes back, and nothing else does; keys are never shown."""

import copy
import json
import logging
import pickle
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterable
from typing import Any

import cryptography_vectors
import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import Backend, Codec, ConfigurationError, MissingExtraError, open_backend
from mobius_infra.security import (
    Cipher,
    DecryptionError,
    Key,
    SubjectErasedError,
    SubjectKeys,
    rewrite_values,
)
from mobius_infra.security._keys import keys_from_environment
from mobius_infra.testing import ManualClock

OLD, NEW = Key.generate(), Key.generate()


@given(st.binary(max_size=200), st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_is_encrypted_comes_back_for_its_context_alone(data: bytes, context: str) -> None:
    cipher = Cipher.from_keys(NEW)
    token = cipher.encrypt(data, context)
    assert cipher.decrypt(token, context) == data
    assert data == b"" or len(data) < 4 or data not in token
    with pytest.raises(DecryptionError, match="not authentic"):
        cipher.decrypt(token, context + "!")
    assert cipher.encrypt(data, context) != token


def test_every_bit_counts() -> None:
    cipher = Cipher.from_keys(NEW)
    token = cipher.encrypt(b"price", "a")
    for place in range(len(token)):
        for bit in range(8):
            changed = bytearray(token)
            changed[place] ^= 1 << bit
            with pytest.raises(DecryptionError):
                cipher.decrypt(bytes(changed), "a")
    for length in range(len(token)):
        with pytest.raises(DecryptionError):
            cipher.decrypt(token[:length], "a")
    with pytest.raises(DecryptionError):
        cipher.decrypt(token + b"\0", "a")


def test_an_error_says_which_key_is_missing_and_nothing_else() -> None:
    token = Cipher.from_keys(OLD).encrypt(b"secret")
    with pytest.raises(DecryptionError) as caught:
        Cipher.from_keys(NEW).decrypt(token)
    assert caught.value.fields() == {"reason": "unknown key", "key_id": Key.parse(OLD).id.hex()}
    for nothing in (b"", b"\x01", b"\x02" + token[1:], b"gAAAAA", b"gAAAAA\xff==", token[:20]):
        with pytest.raises(DecryptionError, match=r"malformed|not authentic"):
            Cipher.from_keys(OLD).decrypt(nothing)


def test_old_keys_read_and_the_first_one_writes() -> None:
    before, after = Cipher.from_keys(OLD), Cipher.from_keys(f"{NEW}, {OLD}")
    token = before.encrypt(b"x", "c")
    assert after.decrypt(token, "c") == b"x"
    assert after.needs_rewrite(token)
    new = after.rewrite(token, "c")
    assert not after.needs_rewrite(new)
    assert after.rewrite(new, "c") is new
    assert Cipher.from_keys(NEW).decrypt(new, "c") == b"x"


def vectors(name: str) -> list[dict[str, Any]]:
    with cryptography_vectors.open_vector_file(f"fernet/{name}.json", "r") as file:
        found: list[dict[str, Any]] = json.load(file)
    return found


@pytest.mark.parametrize("vector", vectors("verify"), ids=lambda each: each["src"])
def test_fernet_tokens_are_read(vector: dict[str, Any]) -> None:
    cipher = Cipher.from_keys(vector["secret"])
    assert cipher.decrypt(vector["token"].encode()) == vector["src"].encode()


def test_fernet_tokens_that_were_changed_are_not() -> None:
    token = Fernet(OLD.encode()).encrypt(b"old")
    cipher = Cipher.from_keys(f"{NEW},{OLD}")
    assert cipher.decrypt(token) == b"old"
    assert cipher.needs_rewrite(token)
    changed = token[:-6] + (b"AAAA" if token[-6:-2] != b"AAAA" else b"BBBB") + token[-2:]
    for wrong in (changed, Fernet(Fernet.generate_key()).encrypt(b"old")):
        with pytest.raises(DecryptionError, match="not authentic"):
            cipher.decrypt(wrong)


async def test_it_encrypts_what_a_codec_writes() -> None:
    cipher = Cipher.from_keys(NEW)
    codec = Codec(dict[str, int], **cipher.for_context("prices"))
    assert codec.decode(codec.encode({"btc": 7})) == {"btc": 7}
    assert b"btc" not in codec.encode({"btc": 7})


@pytest.mark.parametrize(
    "text",
    ["", "short", "password123", "x" * 44, urlsafe_b64encode(b"a" * 32).decode(), f"{NEW},",
     f"{NEW},{NEW}", urlsafe_b64encode(bytes(31)).decode(), "ключ" * 11,
     urlsafe_b64encode(b"correct horse battery staple ok!").decode()[:40]],
)  # fmt: skip
def test_what_is_no_key_stops_the_start_and_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Cipher.from_keys(text)
    error: BaseException | None = caught.value
    while error is not None:
        for part in filter(None, text.split(",")):
            assert part not in str(error)
            assert part not in repr(getattr(error, "value", ""))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "encryption key" in str(caught.value)


def test_a_key_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY"):
        keys_from_environment(environ={})
    assert len(keys_from_environment(environ={"ENCRYPTION_KEY": f"{NEW},{OLD}"})) == 2
    with pytest.raises(ConfigurationError, match="keys"):
        Cipher([])


def test_a_passphrase_makes_a_key_slowly_and_with_salt_only() -> None:
    one = Key.from_passphrase("correct horse battery", b"salt" * 4)
    assert one.id == Key.from_passphrase("correct horse battery", b"salt" * 4).id
    assert one.id != Key.from_passphrase("correct horse battery", b"tlas" * 4).id
    for passphrase, salt in (("short", b"salt" * 4), ("correct horse battery", b"salt")):
        with pytest.raises(ConfigurationError) as caught:
            Key.from_passphrase(passphrase, salt)
        assert passphrase not in str(caught.value)


def test_purposes_have_keys_of_their_own() -> None:
    key = Key.parse(NEW)
    assert len({key.derive("a"), key.derive("b"), key.reveal(), key.id}) == 4


def test_secrets_are_in_no_text(caplog: pytest.LogCaptureFixture) -> None:
    key, cipher = Key.parse(NEW), Cipher.from_keys(NEW)
    logging.getLogger("x").warning("%r %s %r %s", key, key, cipher, cipher)
    for shown in (caplog.text, repr(vars(type(key)))):
        assert NEW not in shown
        assert repr(key.reveal()) not in shown
        assert key.reveal().hex() not in shown
    for each in (key, cipher):
        with pytest.raises(TypeError):
            pickle.dumps(each)
        with pytest.raises(TypeError):
            copy.deepcopy(each)


async def each(names: Iterable[str]) -> AsyncIterator[str]:
    for name in names:
        yield name


async def test_stored_values_are_encrypted_anew_in_the_background(
    manual_clock: ManualClock,
) -> None:
    before, after = Cipher.from_keys(OLD), Cipher.from_keys(f"{NEW},{OLD}")
    async with open_backend("memory://", clock=manual_clock) as backend:
        await backend.set("old", before.encrypt(b"1", "old"), ttl=60)
        await backend.set("new", after.encrypt(b"2", "new"))
        await backend.set("broken", b"?")
        names = each(["old", "new", "broken", "gone"])
        done = await rewrite_values(backend, names, after, context=str)
        assert (done.seen, done.rewritten, done.changed, done.unreadable) == (3, 1, 0, 1)
        held = await backend.get_with_ttl("old")
        assert held is not None
        assert (Cipher.from_keys(NEW).decrypt(held[0], "old"), held[1]) == (b"1", 60)
        assert await backend.get("broken") == b"?"


class Meanwhile:
    """A backend in which somebody stores another value as soon as one has been read."""

    def __init__(self, backend: Backend) -> None:
        self.inner = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def get_with_ttl(self, key: str) -> tuple[bytes, float | None] | None:
        held = await self.inner.get_with_ttl(key)
        await self.inner.set(key, b"newer")
        return held


async def test_who_changes_a_value_meanwhile_is_not_overwritten() -> None:
    before, after = Cipher.from_keys(OLD), Cipher.from_keys(f"{NEW},{OLD}")
    async with open_backend("memory://") as backend:
        await backend.set("k", before.encrypt(b"1"))
        meanwhile: Any = Meanwhile(backend)
        done = await rewrite_values(meanwhile, each(["k"]), after)
        assert (done.rewritten, done.changed) == (0, 1)
        assert await backend.get("k") == b"newer"


async def test_erasing_a_subjects_key_erases_what_it_encrypted_everywhere() -> None:
    async with open_backend("memory://") as backend:
        one, two = (SubjectKeys(backend, Cipher.from_keys(NEW)) for _ in range(2))
        token = await one.encrypt("user:7", b"Ada", "name")
        other = await two.encrypt("user:8", b"Bob", "name")
        assert await two.decrypt("user:7", token, "name") == b"Ada"
        with pytest.raises(DecryptionError, match="unknown key"):
            await two.decrypt("user:8", token, "name")
        assert await two.erase("user:7")
        assert not await two.erase("user:7")
        with pytest.raises(SubjectErasedError) as caught:
            await one.decrypt("user:7", token, "name")
        assert "user:7" not in str(caught.value)
        await one.encrypt("user:7", b"again")
        with pytest.raises(DecryptionError, match="unknown key"):
            await one.decrypt("user:7", token, "name")
        assert await two.decrypt("user:8", other, "name") == b"Bob"
        assert "user" not in repr(await backend.get_many(["user:7"]))


async def test_two_who_are_first_make_one_key() -> None:
    async with open_backend("memory://") as backend:
        one, two = (SubjectKeys(backend, Cipher.from_keys(NEW)) for _ in range(2))
        tokens = [await one.encrypt("u", b"1"), await two.encrypt("u", b"2")]
        assert [await one.decrypt("u", each) for each in tokens] == [b"1", b"2"]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    monkeypatch.setitem(__import__("sys").modules, "mobius_infra.security._crypto", None)
    with pytest.raises((MissingExtraError, ImportError)):
        Key.parse(NEW)
