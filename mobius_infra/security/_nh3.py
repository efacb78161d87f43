"""The one module that imports nh3."""

import nh3

__all__ = ["clean"]

clean = nh3.clean
