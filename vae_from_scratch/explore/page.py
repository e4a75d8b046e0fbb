"""One self-contained HTML file from template.html, style.css, ops.js and page.js."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

from .. import __version__

HERE = Path(__file__).parent


def as_json(value):
    """JSON that can stand in an HTML script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(script, style):
    """A Content-Security-Policy: this script and this style run, no other does, and nothing is fetched."""
    mark = lambda text: "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"  # noqa: E731
    return f"default-src 'none'; img-src data:; script-src {mark(script)}; style-src {mark(style)}"


def build(title, runs, images, notes=()):
    """The text of the page.  runs: of pack_model; images: the first that pack_images returns, with a name and ends.

    notes: sentences for the foot of the page.
    """
    read = {name: (HERE / name).read_text("utf-8") for name in ("template.html", "style.css", "ops.js", "page.js")}
    script = f"\n{read['ops.js']}\n{read['page.js']}"
    parts = {
        "title": html.escape(str(title)),
        "version": html.escape(__version__),
        "style": read["style.css"],
        "script": script,
        "policy": policy(script, read["style.css"]),
        "notes": "\n".join(f"<li>{html.escape(note)}</li>" for note in notes),
        "data": as_json({"runs": runs, "images": images}),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read["template.html"])
