"""The methods of the Bot API that bots call, each a function of the server and its parameters."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from examples.bot.botapi.faults import ApiError

if TYPE_CHECKING:
    from examples.bot.botapi.server import BotApiServer

Params = dict[str, Any]  # Any: text from forms, values from JSON
Method = Callable[["BotApiServer", Params], Awaitable[Any]]

MAX_TEXT = 4096


async def get_me(server: "BotApiServer", params: Params) -> Any:
    return {
        **server.me,
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


async def get_updates(server: "BotApiServer", params: Params) -> Any:
    if "allowed_updates" in params:
        server.updates.allowed = parsed(params["allowed_updates"])
    offset = params.get("offset")
    return await server.updates.fetch(
        None if offset is None else int(offset),
        int(params.get("limit", 100)),
        float(params.get("timeout", 0)),
    )


async def set_webhook(server: "BotApiServer", params: Params) -> Any:
    if parsed(params.get("drop_pending_updates", False)):
        server.updates.drop()
    if "allowed_updates" in params:
        server.updates.allowed = parsed(params["allowed_updates"])
    await server.deliver_to(params.get("url", ""), params.get("secret_token"))
    return True


async def delete_webhook(server: "BotApiServer", params: Params) -> Any:
    return await set_webhook(server, {**params, "url": ""})


async def get_webhook_info(server: "BotApiServer", params: Params) -> Any:
    return {
        "url": server.webhook_url,
        "has_custom_certificate": False,
        "pending_update_count": len(server.updates),
    }


async def send_message(server: "BotApiServer", params: Params) -> Any:
    user = server.chat(params)
    message = server.new_message(user.chat, server.me, text_of(params))
    if "reply_markup" in params:
        message["reply_markup"] = parsed(params["reply_markup"])
    server.messages[user.id, message["message_id"]] = message
    user.receive(message)
    return message


async def edit_message_text(server: "BotApiServer", params: Params) -> Any:
    user = server.chat(params)
    message = server.messages.get((user.id, int(params.get("message_id", 0))))
    if message is None:
        raise ApiError(400, "Bad Request: message to edit not found")
    text, markup = text_of(params), parsed(params.get("reply_markup"))
    if (text, markup) == (message["text"], message.get("reply_markup")):
        raise ApiError(
            400,
            "Bad Request: message is not modified: specified new message content and reply markup "
            "are exactly the same as a current content and reply markup of the message",
        )
    message.update(text=text, edit_date=message["date"])
    if markup is not None:
        message["reply_markup"] = markup
    user.receive(message)
    return message


async def delete_message(server: "BotApiServer", params: Params) -> Any:
    user = server.chat(params)
    if server.messages.pop((user.id, int(params.get("message_id", 0))), None) is None:
        raise ApiError(400, "Bad Request: message to delete not found")
    return True


async def answer_callback_query(server: "BotApiServer", params: Params) -> Any:
    if not server.close_query(str(params.get("callback_query_id"))):
        raise ApiError(
            400,
            "Bad Request: query is too old and response timeout expired or query ID is invalid",
        )
    return True


async def send_chat_action(server: "BotApiServer", params: Params) -> Any:
    server.chat(params)
    return True


async def get_chat(server: "BotApiServer", params: Params) -> Any:
    chat = server.chat(params).chat
    return {**chat, "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": _GIFTS}


async def set_my_commands(server: "BotApiServer", params: Params) -> Any:
    server.commands = parsed(params.get("commands", "[]"))
    return True


async def get_my_commands(server: "BotApiServer", params: Params) -> Any:
    return server.commands


async def say_true(server: "BotApiServer", params: Params) -> Any:
    return True


_GIFTS = {
    "unlimited_gifts": False,
    "limited_gifts": False,
    "unique_gifts": False,
    "premium_subscription": False,
    "gifts_from_channels": False,
}

# Names are not case-sensitive, as in the real one.
METHODS: dict[str, Method] = {
    "getme": get_me,
    "getupdates": get_updates,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "sendmessage": send_message,
    "editmessagetext": edit_message_text,
    "deletemessage": delete_message,
    "answercallbackquery": answer_callback_query,
    "sendchataction": send_chat_action,
    "getchat": get_chat,
    "setmycommands": set_my_commands,
    "getmycommands": get_my_commands,
    "logout": say_true,
    "close": say_true,
}


def text_of(params: Params) -> str:
    """Return a message's text.

    Raises:
        ApiError: 400, if it is empty or too long.
    """
    text = str(params.get("text", ""))
    if not text.strip():
        raise ApiError(400, "Bad Request: message text is empty")
    if len(text) > MAX_TEXT:
        raise ApiError(400, "Bad Request: message is too long")
    return text


def parsed(value: Any) -> Any:
    """Return a structured parameter, which forms carry as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
