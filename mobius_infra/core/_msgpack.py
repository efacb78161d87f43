"""The msgpack format. The one module that imports it."""

from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types


# Any: the types of the package are absent, and any value may be given.
def pack(value: Any) -> bytes:
    """Return `value`, which must be made of JSON's types and bytes, as msgpack."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def unpack(data: bytes) -> Any:
    """Read msgpack back. Sizes announced in the data are bounded by the size of the data."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False)
