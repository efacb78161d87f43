"""A backend's URL, taken apart once for all of them."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from mobius_infra.core._config import require
from mobius_infra.core._errors import ConfigurationError

SHAPES = {
    "memory": "memory://",
    "sqlite": "sqlite:///relative/path.db or sqlite:////absolute/path.db",
    "postgresql": "postgresql://user:password@host:5432/database",
    "redis": "redis://user:password@host:6379/0",
    "rediss": "rediss://user:password@host:6379/0",
    "redis+cluster": "redis+cluster://user:password@host1:6379,host2:6379",
    "redis+sentinel": "redis+sentinel://user:password@host1:26379,host2:26379/master-name/0",
}


@dataclass(frozen=True, slots=True)
class BackendUrl:
    """The parts of a URL.

    Attributes:
        scheme: one of `SHAPES`.
        hosts: pairs of host and port (None where the default port is meant).
        path: what follows the hosts, without the first slash.
        username: None if not given.
        password: None if not given; not in `repr` nor in `display`.
        namespace: goes before every key and channel.
        timeout: seconds that one operation may take.
        connect_timeout: seconds that connecting may take.
        ca_file: certificates to trust instead of the system's; for `rediss` only.
    """

    scheme: str
    hosts: tuple[tuple[str, int | None], ...]
    path: str
    username: str | None
    password: str | None
    namespace: str = "mobius"
    timeout: float = 1.0
    connect_timeout: float = 1.0
    ca_file: str | None = None

    @classmethod
    def parse(cls, url: str) -> "BackendUrl":
        """Take `url` apart.

        Raises:
            ConfigurationError: saying what to write instead.
        """
        parts = urlsplit(url)
        scheme = parts.scheme
        if scheme not in SHAPES or "://" not in url:
            known = ", ".join(SHAPES.values())
            raise ConfigurationError("url", hide_password(url), f"written as one of: {known}")
        options = cls._options(parts.query, url)
        if "ca_file" in options:
            there = scheme == "rediss" and Path(options["ca_file"]).is_file()
            require(there, "ca_file", options["ca_file"], "an existing file, with rediss:// only")
        userinfo, _, netloc = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        hosts = tuple(cls._host(each, url, scheme) for each in netloc.split(",") if each)
        if scheme in ("memory", "sqlite"):
            wrong = bool(parts.netloc) or (scheme == "sqlite" and parts.path in ("", "/"))
        else:
            wrong = not hosts or (len(hosts) > 1 and scheme in ("redis", "rediss", "postgresql"))
        require(not wrong, "url", hide_password(url), f"written as {SHAPES[scheme]}")
        return cls(
            scheme,
            hosts,
            unquote(parts.path[1:]),
            unquote(username) or None,
            unquote(password) or None,
            namespace=options.pop("namespace", "mobius"),
            ca_file=options.pop("ca_file", None),
            **{name: positive(name, text) for name, text in options.items()},
        )

    @staticmethod
    def _host(text: str, url: str, scheme: str) -> tuple[str, int | None]:
        try:
            one = urlsplit(f"//{text}")
            host, port = one.hostname, one.port
        except ValueError:
            host, port = None, None
        if not host:
            shape = SHAPES[scheme]
            raise ConfigurationError("url", hide_password(url), f"written as {shape}")
        return host, port

    @staticmethod
    def _options(query: str, url: str) -> dict[str, str]:
        found = dict(parse_qsl(query, keep_blank_values=True))
        known = ("namespace", "timeout", "connect_timeout", "ca_file")
        for name in found:
            if name not in known:
                allowed = f"without {name!r}: the options are {', '.join(known)}"
                raise ConfigurationError("url", hide_password(url), allowed)
        return found

    @property
    def display(self) -> str:
        """The URL without password and options."""
        user = f"{self.username}@" if self.username else ""
        hosts = ",".join(
            f"{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"
            for host, port in self.hosts
        )
        return f"{self.scheme}://{user}{hosts}{'/' + self.path if self.path else ''}"

    def __repr__(self) -> str:
        return f"BackendUrl({self.display!r})"


def positive(name: str, text: str) -> float:
    """Read a positive number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    require(0 < number < float("inf"), name, text, "a positive number of seconds")
    return number


def hide_password(url: str) -> str:
    """Return `url` with its password, if it has one, replaced."""
    head, at, tail = url.rpartition("@")
    scheme, sep, userinfo = head.partition("://")
    user, colon, _ = userinfo.partition(":")
    return f"{scheme}{sep}{user}{colon}{'***' if colon else ''}{at}{tail}" if at else url
