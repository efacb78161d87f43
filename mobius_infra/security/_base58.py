"""Base58, base58check and bech32: what addresses of coins are written in."""

from hashlib import sha256

_BASE58 = {
    char: value
    for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}
_BECH32 = {char: value for value, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
BECH32, BECH32M = 1, 0x2BC830A3


def base58(text: str) -> bytes | None:
    """Return the bytes, or None if it is not base58. Time is quadratic: bound the length first."""
    number = 0
    for char in text:
        if char not in _BASE58:
            return None
        number = number * 58 + _BASE58[char]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58check(text: str) -> bytes | None:
    """Return version and payload, or None if the four bytes of checksum are wrong."""
    data = base58(text)
    if data is None or len(data) < 5:
        return None
    payload, checksum = data[:-4], data[-4:]
    return payload if sha256(sha256(payload).digest()).digest()[:4] == checksum else None


def segwit(text: str, prefix: str) -> tuple[int, bytes] | None:
    """Return version and program of a SegWit address (BIP 173, BIP 350), or None if it is none."""
    if text not in (text.lower(), text.upper()) or len(text) > 90:
        return None
    text = text.lower()
    if not text.startswith(f"{prefix}1"):
        return None
    chars = text[len(prefix) + 1 :]
    if len(chars) < 7 or any(char not in _BECH32 for char in chars):
        return None
    values = [_BECH32[char] for char in chars]
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    version = values[0]
    program = _regrouped(values[1:-6])
    if program is None or version > 16 or not 2 <= len(program) <= 40:
        return None
    if _polymod(expanded + values) != (BECH32M if version else BECH32):
        return None
    return None if version == 0 and len(program) not in (20, 32) else (version, program)


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum


def _regrouped(values: list[int]) -> bytes | None:
    """Make bytes of groups of five bits; what is over must be zeros, fewer than five."""
    number = 0
    for value in values:
        number = number << 5 | value
    over = len(values) * 5 % 8
    if over > 4 or number & (1 << over) - 1:
        return None
    return (number >> over).to_bytes(len(values) * 5 // 8, "big")
