"""Aids for testing code that uses the library: a clock that moves only when it is told to.

Installed beside pytest, the library brings the fixture `manual_clock` by itself.
"""

from mobius_infra.testing._clock import ManualClock

__all__ = ["ManualClock"]
