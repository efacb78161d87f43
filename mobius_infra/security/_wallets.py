"""`Wallet`: addresses that coins are sent to, with the checksum that each has."""

import re
from base64 import urlsafe_b64decode
from binascii import crc_hqx
from collections.abc import Callable
from typing import Literal

from mobius_infra.core import require
from mobius_infra.security._base58 import base58, base58check, segwit
from mobius_infra.security._invalid import Check, InvalidInputError, fits_size
from mobius_infra.security._keccak import keccak_256

Chain = Literal["ethereum", "bitcoin", "ton", "solana"]
Fault = Literal["", "syntax", "checksum"]

_ETHEREUM = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_TON = re.compile(r"[A-Za-z0-9+/]{48}|[A-Za-z0-9_-]{48}", re.ASCII)
_LONGEST = 90


class Wallet(Check):
    """An address of one of some chains, of their main networks, returned as it came.

    `ethereum` is checked by EIP-55 if it has capitals and small letters; `bitcoin` is base58check
    or SegWit; `ton` the friendly form. `solana` has no checksum: a wrong letter may pass.

    Args:
        chains: those that are fine.

    Raises:
        ConfigurationError: for none, or one that there is not.
    """

    __slots__ = ("chains",)

    def __init__(self, *chains: Chain) -> None:
        known = bool(chains) and all(chain in _CHAINS for chain in chains)
        require(known, "chains", chains, f"some of {', '.join(_CHAINS)}")
        self.chains = chains

    def _check(self, value: str) -> str:
        fits_size(value, _LONGEST, _LONGEST)
        faults = [_CHAINS[chain](value) for chain in self.chains]
        if "" in faults:
            return value
        allowed = f"an address of {' or '.join(self.chains)}"
        if "checksum" in faults:
            raise InvalidInputError("checksum", "a wrong checksum", allowed)
        raise InvalidInputError("syntax", "another form", allowed)

    def __repr__(self) -> str:
        return f"Wallet({', '.join(repr(chain) for chain in self.chains)})"


def ethereum_checksummed(address: str) -> str:
    """Return the address with the capitals of EIP-55, by which a wrong letter is found."""
    digits = address[2:].lower()
    digest = keccak_256(digits.encode()).hex()
    mixed = (c.upper() if int(d, 16) > 7 else c for c, d in zip(digits, digest, strict=False))
    return f"0x{''.join(mixed)}"


def _ethereum(address: str) -> Fault:
    if _ETHEREUM.fullmatch(address) is None:
        return "syntax"
    digits = address[2:]
    if digits in (digits.lower(), digits.upper()) or address == ethereum_checksummed(address):
        return ""
    return "checksum"


def _bitcoin(address: str) -> Fault:
    if address[:3].lower() == "bc1":
        return "" if segwit(address, "bc") else "checksum"
    if address[:1] not in ("1", "3") or not 26 <= len(address) <= 35 or base58(address) is None:
        return "syntax"
    payload = base58check(address)
    if payload is None:
        return "checksum"
    return "" if len(payload) == 21 and payload[0] in (0x00, 0x05) else "syntax"


def _ton(address: str) -> Fault:
    """Judge tag (bounceable or not), workchain (0 or -1), account and CRC-16 (XMODEM)."""
    if _TON.fullmatch(address) is None:
        return "syntax"
    data = urlsafe_b64decode(address.replace("+", "-").replace("/", "_"))
    if data[0] not in (0x11, 0x51) or data[1] not in (0x00, 0xFF):
        return "syntax"
    return "" if crc_hqx(data[:34], 0) == int.from_bytes(data[34:], "big") else "checksum"


def _solana(address: str) -> Fault:
    if not 32 <= len(address) <= 44:
        return "syntax"
    data = base58(address)
    return "" if data is not None and len(data) == 32 else "syntax"


_CHAINS: dict[str, Callable[[str], Fault]] = {
    "ethereum": _ethereum,
    "bitcoin": _bitcoin,
    "ton": _ton,
    "solana": _solana,
}
