"""To come: see the changelog for what is there."""

__all__: list[str] = []
