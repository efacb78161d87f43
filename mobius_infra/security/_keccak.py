"""Keccak-256 as Ethereum uses it: SHA-3 before its padding was changed, so hashlib has it not.

The permutation is FIPS 202's, section 3; the padding that of the submission to NIST. For short
inputs such as addresses: a block of 136 bytes takes some hundreds of microseconds.
"""

_MASK = (1 << 64) - 1
_RATE = 136


def _moves() -> tuple[tuple[int, int, int], ...]:
    """Return, by the place that a lane comes to, where it was, its column and its rotation."""
    moves = [(0, 0, 0)] * 25
    x, y = 1, 0
    for step in range(24):
        source = x + 5 * y
        rotation = (step + 1) * (step + 2) // 2 % 64
        moves[y + 5 * ((2 * x + 3 * y) % 5)] = (source, x, rotation)
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(moves)


def _constants() -> tuple[int, ...]:
    rounds, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        rounds.append(constant)
    return tuple(rounds)


_MOVES = _moves()
_ROWS = tuple((y + x, y + (x + 1) % 5, y + (x + 2) % 5) for y in range(0, 25, 5) for x in range(5))
_ROUNDS = _constants()


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
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permuted(a: list[int]) -> list[int]:
    for constant in _ROUNDS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ (c[x - 4] << 1 & _MASK | c[x - 4] >> 63) for x in range(5)]  # theta
        b = []
        for source, column, by in _MOVES:  # rho and pi
            lane = a[source] ^ d[column]
            b.append(lane << by & _MASK | lane >> 64 - by)
        a = [b[here] ^ (~b[after] & b[then]) for here, after, then in _ROWS]  # chi
        a[0] ^= constant  # iota
    return a
