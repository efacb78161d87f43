"""The status page: one self-contained document, readable in light and dark."""

from datetime import UTC, datetime
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --bg: #f6f7f9; --card: #fff; --ink: #1b2330; --soft: #5d6878;
  --line: #e2e6ec; --up: #1a7f4b; --degraded: #9a6200; --down: #c22f2f; --unknown: #5d6878; }
@media (prefers-color-scheme: dark) { :root { --bg: #12161c; --card: #1a2029; --ink: #e6eaf0;
  --soft: #98a3b3; --line: #2a323e; --up: #4ac588; --degraded: #e0a63e; --down: #f07171;
  --unknown: #98a3b3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
header { display: flex; align-items: center; gap: 1rem; flex-wrap: wrap; margin-bottom: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .07em; color: var(--soft);
  margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0 0 .6rem; display: flex; justify-content: space-between; gap: 1rem; }
h3 small { font-weight: 400; color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.1rem; }
.grid { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.state { font-weight: 600; white-space: nowrap; }
.state::before { content: ""; display: inline-block; width: .6em; height: .6em; margin-right: .45em;
  border-radius: 50%; background: currentColor; }
header .state { padding: .2rem .8rem; border: 1px solid currentColor; border-radius: 2rem; }
.up { color: var(--up); } .degraded { color: var(--degraded); } .down { color: var(--down); }
.unknown { color: var(--unknown); }
table { width: 100%; border-collapse: collapse; }
td, th { text-align: left; padding: .28rem .9rem .28rem 0; vertical-align: top; }
tr + tr > * { border-top: 1px solid var(--line); }
th { font-weight: 400; color: var(--soft); overflow-wrap: anywhere; }
td.number { text-align: right; padding-right: 0; font-variant-numeric: tabular-nums; }
.soft { color: var(--soft); } .wide { overflow-x: auto; }
footer { margin-top: 2rem; color: var(--soft); font-size: .85rem; }
"""

# What the names of components' states mean to someone who looks at the page.
_TONES = {"closed": "up", "half_open": "degraded", "recovering": "degraded", "degraded": "degraded",
          "open": "down", "isolated": "down", "shared": "up", "local": "up"}  # fmt: skip


# Any, here and below: JSON, as `/status.json` gives it.
def render_page(title: str, status: dict[str, Any]) -> str:
    """Return the page as HTML; everything that comes from outside is escaped."""
    health = status["health"]
    checks = "".join(_check(each) for each in health["checks"])
    cards = "".join(_component(each) for each in status["components"])
    events = "".join(_event(each) for each in status["events"])
    nothing = '<tr><td class="soft">nothing yet</td></tr>'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>{escape(health["state"])} | {escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body><main>
<header><h1>{escape(title)}</h1>{_state(health["state"])}</header>
<h2>Checks</h2>
<div class="card wide"><table>{checks or nothing}</table></div>
<h2>Components</h2>
<div class="grid">{cards}</div>
<h2>What happened</h2>
<div class="card wide"><table>{events or nothing}</table></div>
<footer>Refreshes every 2 seconds. For programs: /health, /metrics, /status.json.</footer>
</main></body>
</html>
"""


def _state(state: str) -> str:
    tone = state if state in ("up", "degraded", "down") else _TONES.get(state, "unknown")
    return f'<span class="state {tone}">{escape(state.replace("_", "-"))}</span>'


def _check(check: dict[str, Any]) -> str:
    kind = "critical" if check["critical"] else "optional"
    took = "" if check["checked_at"] is None else f"{check['took'] * 1000:.1f} ms"
    return (
        f"<tr><td>{escape(check['name'])}</td><td>{_state(check['state'])}</td>"
        f'<td class="soft">{kind}</td><td class="soft">{escape(check["reason"])}</td>'
        f'<td class="number">{took}</td></tr>'
    )


def _component(component: dict[str, Any]) -> str:
    states = [each for each in component["numbers"] if each["kind"] == "state"]
    numbers = [each for each in component["numbers"] if each["kind"] != "state"]
    rows = "".join(_number(each) for each in numbers)
    shown = " ".join(_state(each["value"]) for each in states)
    kind = escape(component["kind"])
    name = escape(component["name"])
    return (
        f'<section class="card"><h3><span>{name} <small>{kind}</small></span>{shown}</h3>'
        f"<table>{rows}</table></section>"
    )


def _number(sample: dict[str, Any]) -> str:
    label = ", ".join(sample["labels"].values())
    name = sample["name"].replace("_", " ") + (f" ({label})" if label else "")
    value = f"{sample['value']:,.6g}" if sample["value"] % 1 else f"{sample['value']:,.0f}"
    return (
        f'<tr><th scope="row" title="{escape(sample["doc"])}">{escape(name)}</th>'
        f'<td class="number">{value}</td></tr>'
    )


def _event(event: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(event["at"], UTC).strftime("%H:%M:%S")
    details = ", ".join(
        f"{name.replace('_', ' ')}: {value:.3g}" if isinstance(value, float) else f"{value}"
        for name, value in event.items()
        if name not in ("kind", "source", "at")
    )
    return (
        f'<tr><td class="soft">{at}</td><td>{escape(event["source"])}</td>'
        f'<td>{escape(event["kind"])}</td><td class="soft">{escape(details)}</td></tr>'
    )
