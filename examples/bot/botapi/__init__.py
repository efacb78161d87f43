"""A Bot API server on this machine: for trying a bot out, and for testing what it bears."""

from examples.bot.botapi.faults import Fault
from examples.bot.botapi.server import BotApiServer, Call
from examples.bot.botapi.users import SimulatedUser

__all__ = ["BotApiServer", "Call", "Fault", "SimulatedUser"]
