// What the pages do: tabs that act as one, light and dark, code that can be copied, folds.

const root = document.documentElement;

// Storage can be switched off; a choice then holds for this page only.
function remember(key, value) {
    try {
        if (value === null) {
            localStorage.removeItem(key);
        } else {
            localStorage.setItem(key, value);
        }
    } catch {
        // Nothing depends on it.
    }
}

function recall(key) {
    try {
        return localStorage.getItem(key);
    } catch {
        return undefined;
    }
}

// Such as Alt with an arrow, which goes back.
function isShortcut(event) {
    return event.altKey || event.ctrlKey || event.metaKey;
}

// A page that comes back as it was left has not seen what was chosen on others meanwhile.
function onReturn(update) {
    addEventListener("pageshow", ({ persisted }) => { if (persisted) update(); });
}

function markTabs() {
    for (const tab of document.querySelectorAll("[role=tab]")) {
        const chosen = tab.dataset.framework === root.dataset.framework;
        tab.setAttribute("aria-selected", chosen);
        tab.tabIndex = chosen ? 0 : -1;
    }
}

function showFramework(framework) {
    root.dataset.framework = framework;
    markTabs();
    dispatchEvent(new CustomEvent("framework"));
}

// What is above on the page may grow or shrink; the tabs that were used stay where they are on the screen.
function chooseFramework(framework, tabs) {
    const before = tabs.getBoundingClientRect().top;
    showFramework(framework);
    scrollBy({ top: tabs.getBoundingClientRect().top - before, behavior: "instant" });
    remember("framework", framework);
    const address = new URL(location);
    if (address.searchParams.has("framework")) {
        address.searchParams.set("framework", framework);
        history.replaceState(null, "", address);
    }
}

function moveAlongTabs(event) {
    const tabs = [...event.currentTarget.querySelectorAll("[role=tab]")];
    const at = tabs.indexOf(document.activeElement);
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 };
    if (event.key in moves && !isShortcut(event)) {
        event.preventDefault();
        const tab = tabs[moves[event.key] % tabs.length];
        tab.focus({ preventScroll: true });
        chooseFramework(tab.dataset.framework, event.currentTarget);
    }
}

function startTabs() {
    for (const list of document.querySelectorAll("[role=tablist]")) {
        list.addEventListener("keydown", moveAlongTabs);
        for (const tab of list.children) {
            tab.addEventListener("click", () => chooseFramework(tab.dataset.framework, list));
            const panel = document.getElementById(tab.getAttribute("aria-controls"));
            panel.setAttribute("role", "tabpanel");
            panel.setAttribute("aria-labelledby", tab.id);
        }
    }
    markTabs();
    const asked = new URLSearchParams(location.search).get("framework");
    if (asked !== null && asked.toLowerCase() !== root.dataset.framework) {
        const known = root.dataset.frameworks.replaceAll(" ", ", ");
        const notice = document.createElement("p");
        notice.className = "notice";
        notice.setAttribute("role", "status");
        notice.textContent = `The address asks for the framework '${asked}'; the book has ${known}, and shows ${root.dataset.framework}.`;
        document.querySelector("main").prepend(notice);
    } else if (asked !== null) {
        remember("framework", root.dataset.framework);
    }
    onReturn(() => {
        const chosen = recall("framework");
        if (asked === null && root.dataset.frameworks.split(" ").includes(chosen)) {
            showFramework(chosen);
        }
    });
}

// A reader who chooses what the system has anyway goes with the system again.
function startTheme() {
    const button = document.querySelector("button.theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const systems = () => (system.matches ? "dark" : "light");
    const other = () => (root.dataset.theme === "dark" ? "light" : "dark");
    const show = (theme) => {
        root.dataset.theme = theme;
        const name = other() === "dark" ? "Dark" : "Light";
        button.querySelector("span").textContent = name;
        button.setAttribute("aria-label", `${name} colours`);
    };
    let follows = root.dataset.theme === systems();
    button.addEventListener("click", () => {
        show(other());
        follows = root.dataset.theme === systems();
        remember("theme", follows ? null : root.dataset.theme);
    });
    system.addEventListener("change", () => { if (follows) show(systems()); });
    onReturn(() => {
        const chosen = recall("theme");
        if (chosen !== undefined) {
            follows = chosen === null;
            show(chosen ?? systems());
        }
    });
    show(root.dataset.theme);
}

// What one pastes: of a session with prompts, the lines that were typed.
function codeToCopy(code) {
    const typed = code.split("\n").filter((line) => /^(>>>|\.\.\.|\$) /.test(line));
    return typed.length ? typed.map((line) => line.replace(/^\S+ /, "")).join("\n") : code.replace(/\n$/, "");
}

function copyOnClick(button, code) {
    button.addEventListener("click", async () => {
        try {
            await navigator.clipboard.writeText(codeToCopy(code.textContent));
            button.textContent = "Copied";
        } catch {
            getSelection().selectAllChildren(code);
            button.textContent = "Selected";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
}

function startCopying() {
    for (const code of document.querySelectorAll("div[class^=highlight-] pre")) {
        const button = document.createElement("button");
        button.className = "copy";
        button.type = "button";
        button.textContent = "Copy";
        const tools = document.createElement("div");
        tools.className = "tools";
        tools.append(button);
        code.parentElement.parentElement.append(tools);
        copyOnClick(button, code);
    }
    for (const button of document.querySelectorAll(".notebook .copy")) {
        copyOnClick(button, button.previousElementSibling);
    }
}

// What scrolls sideways can be reached by keyboard.
function markScrollers() {
    for (const box of document.querySelectorAll("main :is(pre, table.docutils, .formula, .shown, .chart, [style*=overflow-x])")) {
        if (box.scrollWidth > box.clientWidth) {
            box.tabIndex = 0;
        } else {
            box.removeAttribute("tabindex");
        }
    }
}

// What is folded opens to be printed; an answer, when an address leads to it as well.
function startFolds() {
    let opened = [];
    addEventListener("beforeprint", () => {
        opened = [...document.querySelectorAll(":is(.answer, .explorer details):not([open])")];
        opened.forEach((fold) => { fold.open = true; });
    });
    addEventListener("afterprint", () => opened.forEach((fold) => { fold.open = false; }));
    const openTarget = () => {
        const answer = document.getElementById(location.hash.slice(1))?.closest("details");
        if (answer) {
            answer.open = true;
            answer.scrollIntoView();
        }
    };
    addEventListener("hashchange", openTarget);
    openTarget();
}

startTabs();
startTheme();
startCopying();
markScrollers();
startFolds();
addEventListener("resize", markScrollers);
addEventListener("framework", markScrollers);
addEventListener("toggle", markScrollers, { capture: true });
