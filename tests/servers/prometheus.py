"""A Prometheus server that scrapes what a test serves."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.servers._process import LocalServer
from tests.servers._programs import on_path
from tests.servers.missing import ServerUnavailableError
from tests.servers.ports import LOOPBACK
from tests.servers.waiting import eventually

_CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: test
    static_configs: [{{targets: [{targets}]}}]
"""


def find_prometheus(program: str = "prometheus") -> Path:
    """Return the server's program, or `promtool`, from the PATH.

    Raises:
        ServerUnavailableError: It is not there.
    """
    for path in on_path(program):
        return path
    raise ServerUnavailableError("prometheus", f"no {program} on the PATH")


class PrometheusServer(LocalServer):
    """One Prometheus server, scraping once a second.

    Args:
        targets: Ports on 127.0.0.1 whose `/metrics` it scrapes.

    Raises:
        ServerUnavailableError: There is none on the PATH.
    """

    def __init__(self, *targets: int) -> None:
        super().__init__("prometheus")
        self._program = find_prometheus()
        self._targets = targets

    def get(self, path: str, **parameters: str) -> Any:  # Any: JSON
        """Return the data that the HTTP API answers with."""
        url = f"http://{LOOPBACK}:{self.port}/api/v1/{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the values of an expression now, by their labels."""
        found = self.get("query", query=expression)["result"]
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in found}

    async def seen(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Wait until an expression has values, and return them.

        A scrape that takes too long on a busy machine marks all series as gone, until the next.
        """

        async def found() -> dict[tuple[tuple[str, str], ...], float]:
            return await asyncio.to_thread(self.query, expression)

        return await eventually(found, timeout=120, what=f"values of {expression}")

    def _prepare(self) -> None:
        targets = ", ".join(f'"{LOOPBACK}:{port}"' for port in self._targets)
        text = _CONFIGURATION.format(targets=targets)
        (self.directory / "prometheus.yml").write_text(text)

    def _command(self) -> list[str]:
        return [
            str(self._program),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={LOOPBACK}:{self.port}",
        ]

    def _is_ready(self) -> bool:
        try:
            info = self.get("status/runtimeinfo")
        except (URLError, OSError, ValueError):
            return False
        return bool(info["CWD"] == str(self.directory))
