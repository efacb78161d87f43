"""What is known of each subject, in bounded memory."""

from collections import OrderedDict, deque
from itertools import islice
from typing import Final

from mobius_infra.security._baseline import Usual
from mobius_infra.security._risk import Answer, Grades, answer_to, decayed
from mobius_infra.security._scenario import Drops
from mobius_infra.security._threat_events import Evidence

_OLDEST: Final = 8  # of which the calmest makes room
_EVIDENCE: Final = 8  # offences that are remembered of each subject


class Track:
    """One subject's buckets, risk and usual."""

    __slots__ = ("_at", "_risk", "drops", "evidence", "let_through", "usual")

    def __init__(self) -> None:
        self.drops: dict[str, Drops] = {}
        self.usual: Usual | None = None
        self.evidence: deque[Evidence] = deque(maxlen=_EVIDENCE)
        self.let_through = float("-inf")  # when, last, while it was throttled
        self._risk = 0.0
        self._at = 0.0

    def risk(self, now: float, grades: Grades) -> float:
        """Return what the risk has come down to."""
        return decayed(self._risk, now - self._at, grades.half_life)

    def set_risk(self, risk: float, now: float) -> None:
        """Let the risk be `risk` from now on."""
        self._risk, self._at = risk, now


class Book:
    """Tracks by subject.

    When there is no room for a new one, of the eight that were idle longest the one with the least
    risk is forgotten: whoever makes up subjects to be forgotten only pushes out his own.

    Args:
        most: subjects at most.
        grades: say how risk decays.

    Attributes:
        graded: the tracks of those that get more than being observed.
        forgotten: how many subjects made room.
    """

    __slots__ = ("_grades", "_most", "_tracks", "forgotten", "graded")

    def __init__(self, most: int, grades: Grades) -> None:
        self.graded: dict[str, Track] = {}
        self.forgotten = 0
        self._most = most
        self._grades = grades
        self._tracks: OrderedDict[str, Track] = OrderedDict()

    def get(self, subject: str) -> Track | None:
        """Return a subject's track, if there is one."""
        return self._tracks.get(subject)

    def track(self, subject: str, now: float) -> Track:
        """Return a subject's track, as the one that was used last."""
        track = self._tracks.get(subject)
        if track is not None:
            self._tracks.move_to_end(subject)
            return track
        if len(self._tracks) >= self._most:
            oldest = islice(self._tracks.items(), _OLDEST)
            calmest = min(oldest, key=lambda item: item[1].risk(now, self._grades))
            self.pop(calmest[0])
            self.forgotten += 1
        track = self._tracks[subject] = Track()
        return track

    def pop(self, subject: str) -> None:
        """Forget a subject."""
        self._tracks.pop(subject, None)
        self.graded.pop(subject, None)

    def grade(self, subject: str, answer: Answer) -> None:
        """Keep in mind whether a subject gets more than being observed."""
        if answer == "observe":
            self.graded.pop(subject, None)
        else:
            self.graded[subject] = self._tracks[subject]

    def tidy(self, now: float) -> None:
        """Look at one of those that are graded: who never comes back is to be observed, too."""
        for subject, track in self.graded.items():
            del self.graded[subject]
            self.grade(subject, answer_to(track.risk(now, self._grades), self._grades))
            break

    def __len__(self) -> int:
        return len(self._tracks)
