"""Firefox as distributions ship it, driven by Playwright as Chromium is, for the tests of the pages.

Playwright downloads a Firefox of its own, patched for its own protocol; any other it drives over WebDriver BiDi.
Firefox has no BiDi commands to switch scripts off or to emulate media and colour schemes, though its engine can do
both. So what Playwright starts is this file: it starts Firefox, adds the commands through Marionette, Firefox's own
protocol, before Playwright is told where to connect, and then passes on what Firefox says.
"""

import json
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Options of Playwright's, and the attributes of Firefox's BrowsingContext that do what they ask for.
ATTRIBUTES = {
    "color_scheme": "prefersColorSchemeOverride",
    "forced_colors": "forcedColorsOverride",
    "java_script_enabled": "allowJavascript",
    "media": "mediumOverride",
    "reduced_motion": "prefersReducedMotionOverride",
}
# Playwright sends the first command for every context, with a colour scheme only, and Firefox 153 does not know it. The
# second one is free to carry all attributes, as JSON in one header: files are read from the disk, without headers.
COMMANDS = """
const load = (name) => ChromeUtils.importESModule(`chrome://remote/content/${name}.sys.mjs`);
const { emulation } = load("webdriver-bidi/modules/root/emulation");
const { network } = load("webdriver-bidi/modules/root/network");
const { TabManager } = load("shared/TabManager");
const { UserContextManager } = load("shared/UserContextManager");

emulation.prototype.setMediaFeaturesOverride = async () => ({});

const attributes = new Map();
const override = (context) => {
    if (!context.parent) Object.assign(context, attributes.get(context.originAttributes.userContextId));
};
Services.obs.addObserver(override, "browsing-context-attached");

network.prototype.setExtraHeaders = async ({ headers, userContexts }) => {
    for (const id of userContexts.map((name) => UserContextManager.getInternalIdById(name))) {
        attributes.set(id, JSON.parse(headers[0].value.value));
        for (const tab of UserContextManager.getTabsForUserContext(id)) {
            override(TabManager.getBrowserForTab(tab).browsingContext);
        }
    }
    return {};
};
"""
# Playwright fills in a field by a script, which appends to what is in a field for numbers, though all of it is
# selected. Firefox's own command overwrites a selection in every field, and the page sees the events of typing.
INSERT_TEXT = """Object.defineProperty(window, "__pw_bidiInsertText", {
    get: () => (text) => void document.execCommand("insertText", false, text),
    set() {},
});"""


def launch(playwright: Any, program: str, folder: Path) -> Any:
    """Playwright's browser for the Firefox that ``program`` starts; what starts it is written into a folder."""
    start = folder / "firefox"
    start.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__, program])} "$@"\n', "utf-8")
    start.chmod(0o755)
    browser = playwright.firefox.launch(
        channel="moz-firefox",  # has Playwright use WebDriver BiDi
        executable_path=start,
        args=["--marionette", "--remote-allow-system-access"],
        firefox_user_prefs={
            "marionette.port": 0,  # any that is free
            "dom.events.testing.asyncClipboard": True,  # pages may read the clipboard without asking the user
            "browser.sessionhistory.max_total_viewers": 0,  # going back loads, which Playwright waits for
            "ui.useOverlayScrollbars": 1,  # they take no room, as on phones; Playwright hides Chromium's
        },
    )
    make = browser.new_context
    browser.new_context = lambda **options: new_context(make, **options)
    return browser


def new_context(make: Any, permissions: Any = None, **options: Any) -> Any:
    """A context from what makes it without the options in `ATTRIBUTES`, which hold for all its pages.

    The only ``permissions`` that tests ask for, those of the clipboard, every page has from the start.
    """
    assert not options.get("has_touch"), "Playwright's taps do nothing in Firefox: mark this test only_in Chromium"
    attributes = {"prefersColorSchemeOverride": "light"}  # as Playwright has it where nothing else is asked for

    def headers(options: dict[str, Any]) -> dict[str, str]:
        attributes.update({ATTRIBUTES[name]: value for name, value in options.items()})
        return {"attributes": json.dumps(attributes)}

    emulated = {name: options.pop(name) for name in ATTRIBUTES if name in options}
    context = make(**options, extra_http_headers=headers(emulated))
    context.add_init_script(INSERT_TEXT)
    new_page = context.new_page

    def with_media() -> Any:
        page = new_page()
        page.emulate_media = lambda **options: context.set_extra_http_headers(headers(options))
        page.route = no_route
        return page

    context.new_page = with_media
    return context


def no_route(*_: Any) -> None:
    """Say why a test's route would never be taken."""
    raise NotImplementedError("requests for files cannot be answered in Firefox: mark this test only_in Chromium")


class Marionette:
    """A connection to Firefox's Marionette, which sends a command and waits for what it returns."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")
        self.receive()  # what it is

    def receive(self) -> Any:
        """The next message: its length, a colon, and JSON."""
        length = b""
        while (byte := self.stream.read(1)) != b":":
            if not byte:
                raise EOFError("Firefox has ended before it had all commands")
            length += byte
        return json.loads(self.stream.read(int(length)))

    def send(self, command: str, **parameters: Any) -> Any:
        """What a command returns."""
        message = json.dumps([0, 0, command, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self.receive()
        if error:
            raise RuntimeError(f"Firefox answers {command} with {error['error']}: {error['message']}")
        return result


def add_commands(profile: Path) -> None:
    """Give the Firefox that runs with a profile the commands that it lacks."""
    announced = profile / "MarionetteActivePort"
    while not (announced.exists() and announced.read_text("utf-8")):
        time.sleep(0.02)
    marionette = Marionette(int(announced.read_text("utf-8")))
    marionette.send("WebDriver:NewSession")
    marionette.send("Marionette:SetContext", value="chrome")
    marionette.send("WebDriver:ExecuteScript", script=COMMANDS, args=[], sandbox="system")
    marionette.send("WebDriver:DeleteSession")


def main(command: list[str]) -> int:
    """Run Firefox until it ends, and announce it once it has all commands."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as firefox:
        try:
            for line in firefox.stderr or ():
                if "WebDriver BiDi listening" in line:
                    add_commands(Path(command[command.index("--profile") + 1]))
                print(line, end="", file=sys.stderr, flush=True)
        except BaseException:
            firefox.kill()
            raise
    return firefox.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
