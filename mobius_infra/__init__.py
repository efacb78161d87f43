"""Keep asyncio services answering when what they depend on is slow, down, overloaded or hostile.

Import what you use from the subpackage that it lives in: `mobius_infra.cache`, `breaker`,
`ratelimit`, `health`, `metrics`, `security`, `perf`, all of them standing on `mobius_infra.core`.
"""
