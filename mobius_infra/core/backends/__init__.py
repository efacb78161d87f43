"""The homes of a `Backend`, chosen by URL."""

from mobius_infra.core.backends._open import open_backend

__all__ = ["open_backend"]
