// What the page adds to d2lbook's scripts: the chosen framework is remembered, code can be copied, answers are folded.

const FRAMEWORK_KEY = "framework";

// d2lbook chooses tabs by their number, which is wrong where a text has some of the frameworks only.
window.select_tab = () => {};

function frameworkTabs() {
    const bars = [...document.querySelectorAll(".mdl-tabs__tab-bar")];
    const names = bars.map((bar) => [...bar.querySelectorAll(".mdl-tabs__tab")].map((tab) => tab.textContent.trim()));
    return names.reduce((most, some) => (some.length > most.length ? some : most), []);
}

function showFramework(framework) {
    for (const group of document.querySelectorAll(".mdl-tabs")) {
        const tabs = [...group.querySelectorAll(".mdl-tabs__tab")];
        group.hidden = !tabs.some((tab) => tab.textContent.trim() === framework);
        for (const tab of tabs) {
            tab.classList.toggle("is-active", tab.textContent.trim() === framework);
        }
        for (const panel of group.querySelectorAll(".mdl-tabs__panel")) {
            panel.classList.toggle("is-active", panel.id.startsWith(`${framework}-`));
        }
    }
}

// d2lbook's tabs call this by name when one is clicked.
function tagClick(framework) {
    showFramework(framework);
    try {
        localStorage.setItem(FRAMEWORK_KEY, framework);
    } catch {
        // Storage can be switched off; the choice then holds for this page only.
    }
}

function restoreFramework() {
    const known = frameworkTabs();
    let framework = null;
    try {
        framework = localStorage.getItem(FRAMEWORK_KEY);
    } catch {
        // The first framework is shown then, as it is to a new reader.
    }
    if (known.length) {
        showFramework(known.includes(framework) ? framework : known[0]);
    }
}

function addCopyButtons() {
    for (const code of document.querySelectorAll("div.highlight-python pre")) {
        const button = document.createElement("button");
        button.className = "copy-code";
        button.type = "button";
        button.textContent = "Copy";
        button.addEventListener("click", async () => {
            try {
                await navigator.clipboard.writeText(code.textContent);
                button.textContent = "Copied";
            } catch {
                getSelection().selectAllChildren(code);
                button.textContent = "Selected";
            }
            setTimeout(() => { button.textContent = "Copy"; }, 2000);
        });
        code.parentElement.append(button);
    }
}

// Sections with the heading "Answer" wait for a reader who asks. Without scripts, and in print, they are open.
function foldAnswers() {
    // A heading has its number before its text, and a sign that links to it behind.
    const isAnswer = (element) => /(^|\s)Answer\s*\W?$/.test(element.textContent);
    for (const heading of [...document.querySelectorAll("h3")].filter(isAnswer)) {
        const section = heading.parentElement;
        const answer = document.createElement("details");
        const summary = document.createElement("summary");
        answer.className = "answer";
        summary.textContent = "Answer";
        heading.remove();
        answer.append(summary, ...section.childNodes);
        section.append(answer);
        addEventListener("beforeprint", () => { answer.open = true; });
    }
    for (const link of [...document.querySelectorAll(".localtoc a")].filter(isAnswer)) {
        link.parentElement.remove();
    }
}

$(document).ready(() => {
    restoreFramework();
    addCopyButtons();
    foldAnswers();
});
