"""Keccak-256 as Ethereum uses it: SHA-3 before its padding was changed, so hashlib has it not.

The permutation is FIPS 202's, section 3; the padding that of the submission to NIST. For short
inputs such as addresses: a block of 136 bytes takes some hundreds of microseconds.
"""

_MASK = (1 << 64) - 1
_RATE = 136


def _constants() -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the rotations and places of rho and pi, and the round constants of iota."""
    rotations, places = [], []
    x, y = 1, 0
    for step in range(24):
        x, y = y, (2 * x + 3 * y) % 5
        places.append(x + 5 * y)
        rotations.append((step + 1) * (step + 2) // 2 % 64)
    rounds, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        rounds.append(constant)
    return tuple(rotations), tuple(places), tuple(rounds)


_ROTATIONS, _PLACES, _ROUNDS = _constants()


def keccak_256(data: bytes) -> bytes:
    """Return the 32 bytes of the digest."""
    return sponge(data, 0x01)


def sponge(data: bytes, domain: int) -> bytes:
    """Absorb the data, then the padding that begins with `domain`; SHA3-256 begins with 6."""
    padded = bytearray(data)
    padded.append(domain)
    padded += bytes(-len(padded) % _RATE)
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE):
        for lane in range(_RATE // 8):
            at = start + 8 * lane
            lanes[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permute(lanes: list[int]) -> None:
    for constant in _ROUNDS:
        columns = [
            lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
            for x in range(5)
        ]
        for x in range(5):
            mixed = columns[x - 1] ^ _rotated(columns[(x + 1) % 5], 1)
            for y in range(0, 25, 5):
                lanes[x + y] ^= mixed
        moved = lanes[1]
        for rotation, place in zip(_ROTATIONS, _PLACES, strict=True):
            lanes[place], moved = _rotated(moved, rotation), lanes[place]
        for y in range(0, 25, 5):
            row = lanes[y : y + 5]
            for x in range(5):
                lanes[y + x] = row[x] ^ (~row[(x + 1) % 5] & _MASK & row[(x + 2) % 5])
        lanes[0] ^= constant


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> 64 - by) & _MASK
