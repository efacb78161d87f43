"""A server as a child process: its port, its directory, its life and its death."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

import psutil

from tests.servers.ports import free_port
from tests.servers.waiting import wait_until

# The guard reads from a pipe whose other end only this process holds. When this process is
# gone, however it died (atexit would not see SIGTERM or SIGKILL), the read ends, and the guard
# kills the server and removes its directory.
_GUARD = 'read -r _; kill -9 "$0" 2>/dev/null; rm -rf -- "$1"'


class Owner(NamedTuple):
    """The user that a server runs as, when it must not be the one that runs the tests."""

    uid: int
    gid: int


class ServerError(Exception):
    """A server that is installed did not start; the message ends with its log."""


class LocalServer(ABC):
    """A server on a loopback port of its own, its files in a temporary directory of its own.

    As a context manager it is running inside the block, and afterwards it is gone with its
    directory. Until then it may be stopped, killed and started again at will: it keeps its
    port and its files. All methods block until what they say has happened.

    Attributes:
        port: The port on 127.0.0.1; 0 until the first start.
    """

    START_TIMEOUT = 120.0
    """Seconds until a server that does not answer counts as broken."""

    STOP_TIMEOUT = 10.0
    """Seconds that a server is given to stop before it is killed."""

    _stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, name: str, *, owner: Owner | None = None) -> None:
        self.port = 0
        self._name = name
        self._owner = owner
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<{type(self).__name__} {self._name} on port {self.port}, {state}>"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id.

        Raises:
            ServerError: The server is not running.
        """
        return self._running_process().pid

    @property
    def directory(self) -> Path:
        """Where the server keeps its files.

        Raises:
            ServerError: The server was never started, or is closed.
        """
        if self._home is None:
            raise ServerError(f"{self._name} has no directory before its start")
        return self._home

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ServerError: It is running already, or it ended instead of answering.
            TimeoutError: It neither answered nor ended.
        """
        if self.running:
            raise ServerError(f"{self._name} is running already")
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix=f"{self._name}-"))
            if self._owner:
                os.chown(self._home, *self._owner)
            self._prepare()
        if self.port:
            self._launch()
            return
        for attempt in range(3):
            self.port = free_port()
            try:
                self._launch()
            except ServerError:
                if attempt == 2:
                    raise
            else:
                return

    def stop(self) -> None:
        """Ask the server to end, kill it if it does not; a stopped one is left alone."""
        if self._process is not None:
            if self.running:
                self._process.send_signal(self._stop_signal)
                self._thaw()  # a paused process would not see the signal
                try:
                    self._process.wait(self.STOP_TIMEOUT)
                except subprocess.TimeoutExpired:
                    self.kill()
            self._forget_process()

    def kill(self) -> None:
        """End the server and its children at once, as a crash would: no goodbye, no flush."""
        if self._process is not None:
            if self.running:
                family = self._freeze()  # so that no child is born unseen
                for member in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        member.kill()
                self._process.wait()
                wait_until(
                    lambda: not any(map(_is_alive, family)),
                    timeout=self.STOP_TIMEOUT,
                    what=f"the children of {self._name} to be gone",
                )
            self._forget_process()

    def pause(self) -> None:
        """Freeze the server and its children: connections stay open and nothing answers.

        Raises:
            ServerError: The server is not running.
        """
        self._running_process()
        self._freeze()

    def resume(self) -> None:
        """Let a paused server go on; without effect on one that is not paused.

        Raises:
            ServerError: The server is not running.
        """
        self._running_process()
        self._thaw()

    def restart(self) -> None:
        """Stop the server if it runs, and start it again on the same port and files."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its directory; may be called again."""
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home)
            self._home = None

    def log(self) -> str:
        """Return all that the server has written since its first start."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the server needs into its new directory; the port is not yet known."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command line that starts it on `port`, in the foreground."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Say whether this very process answers, not a stranger on the same port."""

    def _launch(self) -> None:
        """Start the process and wait for it; if it fails, leave none."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = self._spawn(self._command(), log.fileno())
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self._process.pid), str(self.directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            wait_until(
                self._check_started,
                timeout=self.START_TIMEOUT,
                what=f"{self._name} to answer on port {self.port}",
            )
        except BaseException:
            self.kill()
            raise

    def _spawn(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        """Start `command` as the owner, deaf to the terminal's Ctrl-C and to our environment."""
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=self._owner.uid if self._owner else None,
            group=self._owner.gid if self._owner else None,
            extra_groups=[] if self._owner else None,
        )

    def _check_started(self) -> bool:
        if not self.running:
            raise ServerError(f"{self._name} ended instead of answering:\n{self.log()[-2000:]}")
        return self._is_ready()

    def _forget_process(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        self._process = self._guard = None

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self._name} is not running")
        return self._process

    def _family(self) -> list[psutil.Process]:
        """Return the server's process, then its children; none once it has ended."""
        if not self.running:
            return []
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except (psutil.NoSuchProcess, ServerError):  # it ended since
            return []

    def _freeze(self) -> list[psutil.Process]:
        """Freeze the parent, then the children that it can no longer change; return them all."""
        _suspend(self._family()[:1])
        family = self._family()
        _suspend(family)
        return family

    def _thaw(self) -> None:
        for member in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.resume()


def _suspend(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    wait_until(lambda: all(map(_is_frozen, processes)), timeout=60.0, what=f"{processes} to freeze")


def _is_alive(process: psutil.Process) -> bool:
    """Say whether it still runs; a zombie that nobody has waited for does not."""
    return _status(process) not in {None, psutil.STATUS_ZOMBIE}


def _is_frozen(process: psutil.Process) -> bool:
    return _status(process) in {None, psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED}


def _status(process: psutil.Process) -> str | None:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return None
