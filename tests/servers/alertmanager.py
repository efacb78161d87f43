"""An Alertmanager that notifies what a test serves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import httpx

from tests.servers._process import LocalServer
from tests.servers._programs import on_path
from tests.servers.missing import ServerUnavailableError
from tests.servers.ports import LOOPBACK

_FAR = timedelta(days=1)


def find_alertmanager() -> Path:
    """Return the program, by the name that Debian gives it or by its own.

    Raises:
        ServerUnavailableError: It is not there.
    """
    for name in ("prometheus-alertmanager", "alertmanager"):
        for path in on_path(name):
            return path
    raise ServerUnavailableError("alertmanager", "no prometheus-alertmanager on the PATH")


class AlertmanagerServer(LocalServer):
    """One Alertmanager, alone.

    Args:
        configuration: Its file.

    Raises:
        ServerUnavailableError: There is none on the PATH.
    """

    def __init__(self, configuration: str) -> None:
        super().__init__("alertmanager")
        self._program = find_alertmanager()
        self._configuration = configuration

    def alert(self, *alerts: dict[str, str], firing: bool) -> None:
        """Say of alerts, all at once, that they fire or that they have ended."""
        now = datetime.now(UTC)
        ends = (now + _FAR if firing else now).isoformat()
        begun = (now - timedelta(seconds=1)).isoformat()
        made = [{"labels": each, "startsAt": begun, "endsAt": ends} for each in alerts]
        self._ask("POST", "alerts", made)

    def silence(self, label: str, value: str) -> str:
        """Silence alerts with a label; return the silence's id."""
        now = datetime.now(UTC)
        matcher = {"name": label, "value": value, "isRegex": False, "isEqual": True}
        made = {
            "matchers": [matcher], "startsAt": now.isoformat(), "comment": "a test",
            "endsAt": (now + _FAR).isoformat(), "createdBy": "ann",
        }  # fmt: skip
        return str(self._ask("POST", "silences", made).json()["silenceID"])

    def unsilence(self, id_: str) -> None:
        """End a silence."""
        self._ask("DELETE", f"silence/{id_}")

    def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        url = f"http://{LOOPBACK}:{self.port}/api/v2/{path}"
        return httpx.request(method, url, json=body, timeout=30).raise_for_status()

    def _prepare(self) -> None:
        (self.directory / "alertmanager.yml").write_text(self._configuration)

    def _command(self) -> list[str]:
        return [
            str(self._program),
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            f"--web.listen-address={LOOPBACK}:{self.port}",
        ]

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://{LOOPBACK}:{self.port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
