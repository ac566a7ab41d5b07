"""``groundswell digest preview``: one person's digest as it would go out, on the terminal or in a browser."""

import secrets
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

import click

from api.cli import console
from api.mail_view import CSP
from domain.kernel import Unavailable, identify
from history.envelope import read_moment
from notifications import browsing
from notifications.previewing import WHY, Preview

PATIENCE: Final = 60.0
"""Seconds within which the browser must have asked for the page."""


@click.command()
@click.option("--supporter", required=True, metavar="REFERENCE", help="Whose digest.")
@click.option("--at", help="As if it were this moment (RFC 3339).")
@click.option("--html", is_flag=True, help="Print the HTML part, with its pictures inside.")
@click.option("--open", "in_browser", is_flag=True, help="Show the HTML part in a browser; no file is left behind.")
@console.as_json_option
def preview(*, supporter: str, at: str | None, html: bool, in_browser: bool, as_json: bool) -> None:
    """Show the digest that one person would get now, exactly as it would go out; nothing is sent or recorded."""
    moment = read_moment(at, "--at") if at else None
    with console.opened() as groundswell:
        groundswell.catch_up()
        found = groundswell.notifications.previews.of(identify("supporter", supporter), moment)
    message = browsing.opened(found.message)
    if as_json:
        console.print_json(described(found, message))
    elif html:
        console.say(message.html)
    elif in_browser:
        show(message.html)
    else:
        if found.withheld:
            console.say(f"It would not be sent: {found.withheld.replace('_', ' ')}.\n")
        console.say(f"Subject: {found.digest.subject}\n\n{message.text}")


def described(found: Preview, message: browsing.Opened) -> dict[str, Any]:
    """Return a preview as JSON: what would go out, why not if so, and why each item is in it."""
    first, last = found.content.covers
    return {
        "supporter": str(found.person.supporter),
        "at": found.at,
        "withheld": found.withheld,
        "covers": {"from": first + 1, "to": last},
        "subject": found.digest.subject,
        "size": message.size,
        "headers": [{"name": name, "value": value} for name, value in message.headers],
        "text": message.text,
        "html": message.html,
        "items": [
            {
                "about": str(item.about),
                "text": item.text,
                "why": WHY[item.about],
                "events": item.events or len(item.positions),
                "positions": list(item.positions),
                "alone": item.alone,
            }
            for item in found.digest.items
        ],
    }


def show(html: str) -> None:
    """Show a page in a browser: served once from this machine, under an address that nobody can guess.

    Raises Unavailable (``browser.missing``) where there is no browser, or it does not ask for the page.
    """
    path = f"/{secrets.token_urlsafe(16)}"
    asked = threading.Event()

    class Once(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != path:
                self.send_error(404)
                return
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", CSP.format(ancestors="'none'"))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)
            asked.set()

        def log_message(self, *_: object) -> None:
            """Say nothing: the address is a secret."""

    with HTTPServer(("127.0.0.1", 0), Once) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            opened = webbrowser.open(f"http://127.0.0.1:{server.server_port}{path}")
            if not opened or not asked.wait(PATIENCE):
                raise Unavailable("browser.missing", "No browser opens here; --html prints the page instead.")
        finally:
            server.shutdown()
            serving.join()


COMMANDS: Final = (preview,)
