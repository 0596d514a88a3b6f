// The search: every section that has all the words, those with the words in their headings first.

const MOST_FOUND = 40;
const SNIPPET = 160; // characters of text around the first word that was found

function findSections(query) {
    const words = query.toLowerCase().match(/\S+/g) ?? [];
    const found = [];
    for (const section of words.length ? window.searchIndex : []) {
        const [title, text, code] = [section.title, section.text, section.code].map((part) => part.toLowerCase());
        const score = (word) => 20 * title.includes(word) + Math.min(text.split(word).length - 1, 10) + code.includes(word);
        const scores = words.map(score);
        if (!scores.includes(0)) {
            found.push({ section, score: scores.reduce((sum, one) => sum + one) });
        }
    }
    return { words, sections: found.sort((a, b) => b.score - a.score).map(({ section }) => section) };
}

function snippet(text, words) {
    const first = Math.min(...words.map((word) => text.toLowerCase().indexOf(word)).filter((at) => at >= 0));
    const start = Number.isFinite(first) ? Math.max(0, text.lastIndexOf(" ", first - SNIPPET / 3)) : 0;
    const end = text.length > start + SNIPPET ? text.lastIndexOf(" ", start + SNIPPET) : text.length;
    return `${start ? "… " : ""}${text.slice(start, end).trim()}${end < text.length ? " …" : ""}`;
}

// The words in a text stand out; whatever else the text holds stays text.
function appendMarked(element, text, words) {
    const pattern = words.map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
    text.split(new RegExp(`(${pattern})`, "iu")).forEach((part, i) => {
        const marked = i % 2 ? document.createElement("mark") : document.createTextNode("");
        marked.textContent = part;
        element.append(marked);
    });
}

function showFound(query, list, status) {
    const { words, sections } = findSections(query);
    const shown = sections.slice(0, MOST_FOUND);
    const count = sections.length === 1 ? "1 section has" : `${sections.length || "No"} sections have`;
    const limit = shown.length < sections.length ? `; the first ${MOST_FOUND} are shown` : "";
    status.textContent = words.length ? `${count} ${words.length > 1 ? "all these words" : "this word"}${limit}.` : "";
    list.replaceChildren(...shown.map((section) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        const text = document.createElement("p");
        link.href = section.address;
        appendMarked(link, section.title, words);
        const isIn = (part) => words.some((word) => part.toLowerCase().includes(word));
        const part = isIn(section.code) && !isIn(section.text) ? section.code : section.text;
        appendMarked(text, snippet(part, words), words);
        item.append(link, ` ${section.page === section.title ? "" : `in ${section.page}`}`, text);
        return item;
    }));
}

function startSearch() {
    const list = document.getElementById("found");
    if (!list) {
        return;
    }
    const field = document.querySelector("main [type=search]");
    const status = document.querySelector("main [role=status]");
    const show = () => showFound(field.value, list, status);
    field.value = new URLSearchParams(location.search).get("q") ?? "";
    field.addEventListener("input", show);
    // Whoever comes back from a section finds the list again.
    field.addEventListener("change", () => {
        const address = new URL(location);
        address.searchParams.set("q", field.value);
        history.replaceState(null, "", address);
    });
    field.form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
    show();
    if (!field.value) {
        field.focus();
    }
}

startSearch();
