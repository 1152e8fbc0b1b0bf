"""Hosts as network namespaces on one switch, whose links can be cut, slowed and healed."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab.hosts.slow_link import turn_off_offloads

CLONE_NEWNET = 0x40000000
SUBNET = "10.77.0"
READERS = f"{SUBNET}.1"
"""Where the readers are: this process, on the switch itself."""


def missing(*packages: str) -> str:
    """Return what this machine lacks to build the network, empty if nothing.

    Args:
        packages: further Debian packages whose command of the same name is needed.
    """
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool, package in (("ip", "iproute2"), *zip(packages, packages, strict=True)):
        if shutil.which(tool) is None:
            return f"{tool} is not here; install it: apt-get install {package}"
    return ""


@dataclass(slots=True)
class Host:
    """One host: a namespace of its own with one address, joined to the switch."""

    name: str
    address: str
    namespace: str
    port: str
    """The end of its cable at the switch."""
    relay: subprocess.Popen[bytes] | None = None

    def run(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host."""
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment,
            )

    def pids(self) -> list[int]:
        """Return every process that runs on this host."""
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split()]

    def kill(self) -> None:
        """SIGKILL everything on this host at once, as a power cut would."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class Network:
    """A switch in a namespace that ends with this process, and the hosts on it."""

    hosts: dict[str, Host] = field(default_factory=dict)
    has_netem: bool = False

    def __enter__(self) -> Network:
        _enter_own_namespace()
        # The switch must not answer for the ends of cables that are taken off it.
        Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1")
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "switch", "type", "bridge", "forward_delay", "0")
        _ip("address", "add", f"{READERS}/24", "dev", "switch")
        _ip("link", "set", "switch", "up")
        turn_off_offloads("switch")
        return self

    def __exit__(self, *exc_info: object) -> None:
        for host in self.hosts.values():
            host.kill()
            self._end_relay(host)
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", host.namespace)

    def add(self, name: str) -> Host:
        """Join one more host to the switch."""
        number = len(self.hosts)
        host = Host(name, f"{SUBNET}.{10 + number}", f"feed-{os.getpid()}-{name}", f"port{number}")
        _ip("netns", "add", host.namespace)
        self.hosts[name] = host
        _ip("link", "add", host.port, "type", "veth", "peer", "name", f"eth{number}")
        turn_off_offloads(f"eth{number}")
        _ip("link", "set", f"eth{number}", "netns", host.namespace, "name", "eth0")
        _ip("link", "set", host.port, "master", "switch", "up")
        _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", host.namespace, "link", "set", device, "up")
        return host

    def cut(self, *names: str) -> None:
        """Pull hosts off the switch: what they send is lost, and nobody is told."""
        for name in names:
            _ip("link", "set", self.hosts[name].port, "nomaster")

    def block(self, name: str, *others: str) -> None:
        """Let a host reach others no more: what it sends them is lost."""
        for other in others:
            _ip("-n", self.hosts[name].namespace, "route", "add", "blackhole", self._place(other))

    def unblock(self, name: str, *others: str) -> None:
        """Take `block` back."""
        for other in others:
            _ip("-n", self.hosts[name].namespace, "route", "del", "blackhole", self._place(other))

    def _place(self, name: str) -> str:
        return f"{self.hosts[name].address}/32"

    def slow(self, name: str, delay_ms: float, loss: float) -> None:
        """Delay what a host sends, and lose a share of it; with netem where the kernel has it."""
        host = self.hosts[name]
        netem = ["netem", "delay", f"{delay_ms}ms", "loss", f"{100 * loss}%"]
        command = ["tc", "-n", host.namespace, "qdisc", "add", "dev", "eth0", "root", *netem]
        if shutil.which("tc") and _succeeds(command):
            self.has_netem = True
            return
        self.cut(name)
        number = host.port.removeprefix("port")
        _ip("link", "add", f"out{number}", "type", "veth", "peer", "name", f"in{number}")
        turn_off_offloads(f"out{number}")
        turn_off_offloads(f"in{number}")
        for device in (f"out{number}", f"in{number}"):
            _ip("link", "set", device, "up")
        _ip("link", "set", f"in{number}", "master", "switch")
        relay = [sys.executable, "-m", "lab.hosts.slow_link", host.port, f"out{number}"]
        host.relay = subprocess.Popen([*relay, str(delay_ms / 1000), str(loss)])

    def heal(self, *names: str) -> None:
        """Put hosts back on the switch, at full speed."""
        for name in names:
            host = self.hosts[name]
            if self.has_netem:
                _succeeds(["tc", "-n", host.namespace, "qdisc", "del", "dev", "eth0", "root"])
            self._end_relay(host)
            _ip("link", "set", host.port, "master", "switch")

    def _end_relay(self, host: Host) -> None:
        if host.relay is not None:
            host.relay.kill()
            host.relay.wait()
            host.relay = None
            _ip("link", "delete", f"out{host.port.removeprefix('port')}")


def _enter_own_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace of one's own")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
