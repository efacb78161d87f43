"""Who is told when the bot is unwell: the log, and a chat where one is configured."""

from examples.bot.settings import Environment
from mobius_infra.core import Backend
from mobius_infra.health import (
    AlertManager,
    Channel,
    HealthMonitor,
    LogChannel,
    Route,
    TelegramChannel,
    check_rules,
)


def make_alerts(monitor: HealthMonitor, environment: Environment, backend: Backend) -> AlertManager:
    """Make the bot's alerts: one for each of the monitor's checks, kept on a backend."""
    channels: list[Channel] = [LogChannel()]
    if environment.alert_chat_id is not None:
        api = environment.telegram_api_url or "https://api.telegram.org"
        token = environment.telegram_bot_token.get_secret_value()
        channels.append(TelegramChannel(token, environment.alert_chat_id, base_url=api))
    return AlertManager(
        "bot",
        rules=check_rules(monitor, for_=environment.alert_after),
        routes=[Route(channels=tuple(channels), wait=environment.alert_after)],
        backend=backend,
        every=1,
    )
