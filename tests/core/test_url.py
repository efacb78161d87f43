"""Backend URLs: understood, or refused with what to write instead; passwords stay inside."""

import pytest

from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.core.backends._url import BackendUrl


def test_all_parts_are_found() -> None:
    url = BackendUrl.parse(
        "redis+sentinel://me:p%40ss@one:1,[::1]:2/main/3?namespace=bot&timeout=0.5&connect_timeout=2"
    )
    assert url.hosts == (("one", 1), ("::1", 2))
    assert (url.username, url.password, url.path) == ("me", "p@ss", "main/3")
    assert (url.namespace, url.timeout, url.connect_timeout) == ("bot", 0.5, 2.0)


def test_paths_of_files_are_relative_with_three_slashes_and_absolute_with_four() -> None:
    assert BackendUrl.parse("sqlite:///data/mobius.db").path == "data/mobius.db"
    assert BackendUrl.parse("sqlite:////var/mobius.db").path == "/var/mobius.db"


def test_the_password_is_in_neither_name_nor_repr() -> None:
    url = BackendUrl.parse("redis://me:secret@localhost:6379/0?timeout=2")
    assert url.display == "redis://me@localhost:6379/0"
    assert "secret" not in repr(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "redis:/h",
        "http://h",
        "memory://host",
        "sqlite://",
        "sqlite:///",
        "sqlite://rel.db",
        "redis://",
        "redis://a,b",
        "postgresql://",
        "redis://u:secret@h:99999",
        "redis://u:secret@h:x",
        "redis+cluster://",
        "redis+cluster://a:1,:2",
        "redis://u:secret@h?timout=1",
    ],
)
def test_a_malformed_url_says_what_to_write_and_hides_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_backend(url)
    assert caught.value.field == "url"
    assert "://" in caught.value.allowed or "options are" in caught.value.allowed
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", ""])
def test_a_time_out_must_be_a_positive_number(text: str) -> None:
    with pytest.raises(ConfigurationError, match="positive number of seconds"):
        open_backend(f"redis://h?timeout={text}")
