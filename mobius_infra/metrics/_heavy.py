"""Which of very many things came most often, in bounded memory."""


class HeavyHitters:
    """The most frequent items of a stream, with at most `most` counters.

    Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k
    elements in data streams", ICDT 2005): a newcomer takes the place of the rarest one and carries
    its count on. An item that makes up more than 1 / `most` of the stream is always held, and its
    count is never too low, and too high by at most the least count.
    """

    __slots__ = ("_counts", "_most")

    def __init__(self, most: int = 32) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self._most = most

    def add(self, item: tuple[str, ...]) -> None:
        """Count `item` once more."""
        counts = self._counts
        if item in counts:
            counts[item] += 1
        elif len(counts) < self._most:
            counts[item] = 1
        else:
            rarest = min(counts, key=counts.__getitem__)
            counts[item] = counts.pop(rarest) + 1

    def top(self, number: int) -> list[tuple[tuple[str, ...], int]]:
        """Return up to `number` items with their counts, the most frequent first."""
        return sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))[:number]
