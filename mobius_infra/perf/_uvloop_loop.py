"""The only module that imports uvloop."""

import uvloop

Policy = uvloop.EventLoopPolicy
new_event_loop = uvloop.new_event_loop
