"""Settings of the bot: secrets and addresses from the environment, the rest from files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from mobius_infra.breaker import BreakerConfig, BulkheadConfig, RetryConfig
from mobius_infra.core import Config
from mobius_infra.ratelimit import RateLimiterConfig

CONFIG = Path(__file__).parent / "config"


class Environment(BaseSettings):
    """What differs between one machine and the next, and what must not be in a file."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    telegram_bot_token: SecretStr
    redis_url: str | None = Field(None, description="none: the cache has memory and database only")
    database_url: str = "sqlite:///data/mobius.db"
    encryption_key: SecretStr | None = Field(
        None, description="a Fernet key; with it, what is stored is encrypted"
    )
    telegram_api_url: str | None = Field(None, description="another Bot API server")
    webhook_url: str | None = Field(None, description="https address; none: long polling")
    webhook_secret: SecretStr | None = None
    webhook_port: int = 8443
    upstream_url: str = "http://127.0.0.1:8081"
    status_port: int = 8080
    status_token: SecretStr | None = Field(
        None, description="shows the page's details, and lets alerts be acknowledged and silenced"
    )
    alert_chat_id: str | None = Field(None, description="none: alerts go to the log only")
    alert_after: float = Field(5.0, ge=0, description="seconds that a check must be down")
    config_dir: Path = CONFIG

    def encryption(self) -> dict[str, Callable[[bytes], bytes]]:
        """Return how what is cached is encrypted, if there is a key."""
        if self.encryption_key is None:
            return {}
        fernet = Fernet(self.encryption_key.get_secret_value())
        return {"encrypt": fernet.encrypt, "decrypt": fernet.decrypt}


class CacheFile(Config):
    """`cache_config.json`."""

    entries: int = Field(10_000, gt=0, description="held in memory")
    ttl: float = Field(30.0, gt=0, description="seconds that a price is fresh")
    stale_for: float = Field(3600.0, ge=0, description="seconds more that it may serve in need")


class SecurityFile(Config):
    """`security_config.json`."""

    message_length: int = Field(200, gt=0, description="characters; longer messages are refused")
    per_user: RateLimiterConfig


class MetricsFile(Config):
    """`metrics_config.json`."""

    name: str = "bot"
    title: str = "Price bot"


class ProductionFile(Config):
    """`production.json`."""

    upstream: BreakerConfig
    retry: RetryConfig
    bulkhead: BulkheadConfig
    timeout: float = Field(1.0, gt=0, description="seconds for one request")


class Settings(Config):
    """All of it, validated before anything starts."""

    environment: Environment
    cache: CacheFile
    security: SecurityFile
    metrics: MetricsFile
    production: ProductionFile

    @classmethod
    def read(cls, environment: Environment | None = None) -> Self:
        """Read the environment and the files.

        Raises:
            ConfigurationError: naming the field at fault in one of the files.
            pydantic.ValidationError: naming the variable at fault in the environment.
        """
        env = environment or Environment()

        def read(name: str) -> dict[str, object]:
            found: dict[str, object] = json.loads((env.config_dir / name).read_text("utf-8"))
            return found

        return cls(
            environment=env,
            cache=CacheFile.load(read("cache_config.json")),
            security=SecurityFile.load(read("security_config.json")),
            metrics=MetricsFile.load(read("metrics_config.json")),
            production=ProductionFile.load(read("production.json")),
        )
