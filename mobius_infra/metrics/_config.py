"""Metrics as a file declares them."""

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from mobius_infra.core import Config, ConfigurationError


class MetricConfig(Config):
    """One metric; the fields are the arguments of `MetricsCollector`'s methods.

    Attributes:
        name: as in `MetricsCollector.counter`.
        kind: which method declares it.
        doc: what it counts, in words.
        labels: names.
        unit: such as `seconds`.
        max_series: that it may have; None for the collector's own bound.
        buckets: upper bounds, for a histogram only.
        quantiles: for a summary only.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary", "info"]
    doc: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    max_series: int | None = None
    buckets: tuple[float, ...] | None = None
    quantiles: tuple[float, ...] | None = None


class MetricsConfig(Config):
    """What `metrics_config.json` holds.

    Attributes:
        name: value of the label `service` on every series; none if empty.
        max_series: series that one metric may have.
        utf8_names: whether names may be any text, as from Prometheus 3 on.
        metrics: what to declare.
    """

    name: str = ""
    max_series: int = Field(default=2_000, ge=1)
    utf8_names: bool = False
    metrics: tuple[MetricConfig, ...] = ()

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a JSON file.

        Raises:
            ConfigurationError: naming the file if it can't be read or is no JSON object, else the
                entry at fault and what is allowed there.
        """
        try:
            data = json.loads(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationError("the file", str(path), f"readable JSON: {error}") from error
        if not isinstance(data, dict):
            raise ConfigurationError(f"the content of {path}", data, "a JSON object")
        return cls.load(data)
