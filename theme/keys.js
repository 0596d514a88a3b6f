// Keys that work everywhere on a page, and the list of all keys. Whoever speaks to the computer can switch those off that
// are letters or signs, so that words are not taken for them.

const KEYS = [
    ["/", "Search the book"],
    ["?", "Show this list"],
    ["Esc", "Close a menu, a note or a picture, and take away the marks of a search"],
    ["Tab", "Go to the next link, button or field; with Shift, to the one before"],
    ["← →", "In tabs: the framework before or after; in the explorer and the curves: the layer or the epoch"],
    ["← → ↑ ↓", "In LeNet’s maps and in the output of the convolution: the place beside"],
    ["PgUp PgDn", "In LeNet’s maps: the layer before or after"],
    ["Home End", "The first or the last of these"],
    ["Enter", "Follow a link, open an answer, look into a picture"],
];
const TYPED_IN = "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable], dialog";

function signsAreKeys() {
    return recall("keys") !== "off";
}

function showKeys() {
    const dialog = document.createElement("dialog");
    dialog.className = "help";
    dialog.setAttribute("aria-labelledby", "help");
    dialog.innerHTML = `
        <h2 id="help">Keyboard shortcuts</h2>
        <dl></dl>
        <form method="dialog">
            <label><input type="checkbox"> Use / and ? as shortcuts</label>
            <button>Close</button>
        </form>`;
    for (const [keys, meaning] of KEYS) {
        const [term, description] = [document.createElement("dt"), document.createElement("dd")];
        for (const key of keys.split(" ")) {
            const sign = document.createElement("kbd");
            sign.textContent = key;
            term.append(sign, " ");
        }
        description.textContent = meaning;
        dialog.querySelector("dl").append(term, description);
    }
    const used = dialog.querySelector("input");
    used.checked = signsAreKeys();
    used.addEventListener("change", () => remember("keys", used.checked ? null : "off"));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("button").focus({ preventScroll: true });
}

function goToSearch() {
    const field = [...document.querySelectorAll("[type=search]")].find((each) => each.checkVisibility());
    if (field) {
        field.focus();
        field.select();
    } else {
        document.querySelector(".find").click();
    }
}

function startKeys() {
    const actions = { "/": goToSearch, "?": showKeys };
    addEventListener("keydown", (event) => {
        if (event.key in actions && signsAreKeys() && !isShortcut(event) && !event.target.closest(TYPED_IN)) {
            event.preventDefault();
            actions[event.key]();
        }
    });
    document.querySelector("button.keys").addEventListener("click", showKeys);
}

startKeys();
