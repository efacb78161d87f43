"""The status page: one document that holds all it needs, and loads nothing else."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files


def load_page() -> tuple[bytes, bytes]:
    """Return the page as HTML, and the content security policy under which it works.

    It has one style sheet and one script, named by their hashes: nothing else is run, whatever a
    name that is shown may contain.
    """
    folder = files(__package__).joinpath("assets")
    parts = {
        "STYLE": ("uplot.css", "status.css"),
        "SCRIPT": ("uplot.js", "status.js"),
    }
    page = folder.joinpath("status.html").read_text("utf-8")
    hashes = {}
    for place, names in parts.items():
        text = "\n".join(folder.joinpath(name).read_text("utf-8") for name in names)
        hashes[place] = b64encode(sha256(text.encode()).digest()).decode()
        page = page.replace(f"@{place}@", text)
    policy = (
        "default-src 'none'; "
        f"script-src 'sha256-{hashes['SCRIPT']}'; style-src 'sha256-{hashes['STYLE']}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy.encode()
