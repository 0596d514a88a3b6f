// The search: sections, figures and cited works that have all the words, those with whole words and in their titles first.

const MOST_FOUND = 40;
const SNIPPET = 160; // characters of text around the first word that was found
const NUMBERED = /^(?:(section|sec\.?|chapter|§|figure|fig\.?)\s*)?(\d+(?:\.\d+)*)\.?$/;
const FIELDS = ["title", "text", "code"];

// The index, once, with its texts as they are compared. What one framework has alone is beside what all have.
let entries = null;

function searchEntries() {
    const prepared = (part) => Object.fromEntries(FIELDS.map((name) => [name, folded(part[name] ?? "")]));
    entries ??= window.searchIndex.map((entry) => ({
        ...entry,
        common: prepared(entry),
        own: Object.fromEntries(Object.entries(entry.of ?? {}).map(([framework, part]) => [framework, prepared(part)])),
    }));
    return entries;
}

const TITLE_WORTH = [20, 15, 6]; // of the word itself, another form of it, a part of a word
const WORTH = [1, 0.7, 0.1];
const MOST_COUNTED = 10;

// What a term is worth in some parts of an entry, and whether it is there as a word; nothing if it is not there.
function worthOf({ core, patterns }, parts) {
    let [worth, isWhole] = [0, false];
    for (const name of FIELDS) {
        for (const text of parts.map((part) => part[name]).filter((each) => each.includes(core))) {
            const level = patterns.findIndex((pattern) => pattern && text.search(pattern) >= 0);
            if (level >= 0) {
                const count = Math.min([...text.matchAll(patterns[level])].length, MOST_COUNTED);
                worth += name === "title" ? TITLE_WORTH[level] : count * WORTH[level];
                isWhole ||= level < 2;
            }
        }
    }
    return worth ? { worth, isWhole } : null;
}

// An entry as something found, with the framework that the reader has to choose to see it, if any.
function asFound(entry, terms) {
    let partly = null;
    const frameworks = [root.dataset.framework, ...Object.keys(entry.own)].filter((name) => name in entry.own);
    for (const framework of ["", ...frameworks]) {
        const parts = framework ? [entry.common, entry.own[framework]] : [entry.common];
        const worths = terms.map((each) => worthOf(each, parts));
        if (!worths.includes(null)) {
            const found = { entry, framework, worth: worths.reduce((sum, { worth }) => sum + worth, 0) };
            if (worths.every(({ isWhole }) => isWhole)) {
                return { ...found, isWhole: true };
            }
            partly ??= { ...found, isWhole: false };
        }
    }
    return partly;
}

function findEntries(query) {
    const words = query.trim();
    const [, kind, number] = NUMBERED.exec(folded(words)) ?? [];
    // Who asks for a figure wants the figure, and then what speaks of it: by number, whatever the text calls it.
    const terms = termsOf(number ? number : words);
    const isKind = (entry) => !kind || (entry.kind === "figure") === kind.startsWith("fig");
    const named = number ? searchEntries().filter((entry) => entry.number === number && isKind(entry)) : [];
    const found = terms.length ? searchEntries().map((entry) => asFound(entry, terms)) : [];
    const others = found.filter((each) => each && !named.includes(each.entry));
    others.sort((a, b) => b.isWhole - a.isWhole || b.worth - a.worth);
    return { terms, found: [...named.map((entry) => ({ entry, framework: "" })), ...others] };
}

function snippet(text, terms) {
    const first = placesIn(folded(text), terms)[0]?.[0] ?? 0;
    const start = first > SNIPPET / 3 ? text.lastIndexOf(" ", first - SNIPPET / 3) + 1 : 0;
    const end = text.length > start + SNIPPET ? text.lastIndexOf(" ", start + SNIPPET) : text.length;
    return `${start ? "… " : ""}${text.slice(start, end).trim()}${end < text.length ? " …" : ""}`;
}

// The words in a text stand out; whatever else the text holds stays text.
function appendMarked(element, text, terms) {
    const shown = text.normalize("NFC");
    let last = 0;
    for (const [start, end] of placesIn(folded(shown), terms)) {
        const mark = document.createElement("mark");
        mark.textContent = shown.slice(start, end);
        element.append(shown.slice(last, start), mark);
        last = end;
    }
    element.append(shown.slice(last));
}

const quoted = ({ text }) => (/\s/.test(text) ? `"${text}"` : text);

function addressOf({ entry, framework }, terms) {
    const [page, anchor] = entry.address.split("#");
    const asked = new URLSearchParams({ ...(framework && { framework }), highlight: terms.map(quoted).join(" ") });
    return `${page}?${asked}#${anchor}`;
}

function itemOf(found, terms) {
    const { entry, framework } = found;
    const [item, link, text] = ["li", "a", "p"].map((name) => document.createElement(name));
    link.href = addressOf(found, terms);
    const number = entry.kind !== "figure" && entry.number ? `${entry.number} ` : "";
    appendMarked(link, `${number}${entry.title}`, terms);
    const own = entry.of?.[framework] ?? {};
    const texts = [entry.text, own.text, entry.code, own.code].filter(Boolean);
    appendMarked(text, snippet(texts.find((each) => placesIn(folded(each), terms).length) ?? texts[0] ?? "", terms), terms);
    const name = framework && document.querySelector(`.choice [value=${framework}]`).textContent;
    item.append(link, entry.page === entry.title ? "" : ` in ${entry.page}`, name ? `, ${name}` : "", text);
    return item;
}

// How many letters to change, leave out, add or swap to come from one word to another; more than the limit counts as one more.
function distance(from, to, limit) {
    if (Math.abs(from.length - to.length) > limit) {
        return limit + 1;
    }
    let [before, last] = [[], Array.from({ length: to.length + 1 }, (_, i) => i)];
    for (let i = 1; i <= from.length; i++) {
        const row = [i];
        for (let j = 1; j <= to.length; j++) {
            row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (from[i - 1] !== to[j - 1]));
            if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
                row[j] = Math.min(row[j], before[j - 2] + 1);
            }
        }
        [before, last] = [last, row];
    }
    return last[to.length];
}

// Words of the book that look like one that is not in it, the nearest and most frequent first.
function nearestWords(word) {
    const counts = new Map();
    for (const { common } of searchEntries()) {
        for (const [known] of `${common.title} ${common.text}`.matchAll(/\p{L}{4,}/gu)) {
            counts.set(known, (counts.get(known) ?? 0) + 1);
        }
    }
    const limit = word.length < 6 ? 1 : 2;
    const near = [...counts].map(([known, count]) => ({ known, count, far: distance(word, known, limit) }));
    return near.filter(({ far }) => far <= limit).sort((a, b) => a.far - b.far || b.count - a.count).slice(0, 3).map(({ known }) => known);
}

// Other queries, where one finds nothing: the words of a phrase, each unknown word replaced by a near one, each word alone.
function suggestions(terms) {
    const words = termsOf(terms.map(({ text }) => text).join(" "));
    const query = (replaced, by) => words.map((each) => (each === replaced ? by : each.text)).join(" ");
    if (words.length > terms.length && findEntries(query()).found.length) {
        return [query()];
    }
    const unknown = words.filter((each) => !searchEntries().some((entry) => asFound(entry, [each])));
    if (!unknown.length) {
        return words.length > 1 ? words.map(({ text }) => text) : [];
    }
    const near = unknown.flatMap((wrong) => nearestWords(wrong.text).map((word) => query(wrong, word)));
    const known = words.filter((each) => !unknown.includes(each)).map(({ text }) => text).join(" ");
    return near.length ? near : [known].filter(Boolean);
}

// The pages of the book, for who finds nothing and has asked for nothing like what is in it.
function pagesOfBook() {
    const pages = searchEntries().filter(({ title, page, number }) => title === page && number);
    pages.sort((a, b) => a.number.localeCompare(b.number, "en", { numeric: true }));
    return pages.map(({ number, title, address }) => ({ text: `${number} ${title}`, href: address }));
}

function showSuggestions(tips, terms) {
    const queries = suggestions(terms).map((query) => ({ text: query, href: `?${new URLSearchParams({ q: query })}` }));
    const [words, list] = ["p", "ul"].map((tag) => document.createElement(tag));
    words.textContent = queries.length ? "Try instead:" : "No word in the book is close to it. These are its pages:";
    list.append(...(queries.length ? queries : pagesOfBook()).map(({ text, href }) => {
        const item = document.createElement("li");
        item.append(Object.assign(document.createElement("a"), { textContent: text, href }));
        return item;
    }));
    tips.replaceChildren(words, list);
    tips.hidden = false;
}

function showFound(query, list, status, tips) {
    const { terms, found } = findEntries(query);
    const shown = found.slice(0, MOST_FOUND);
    const count = found.length === 1 ? "1 place has" : `${found.length || "No"} places have`;
    const limit = shown.length < found.length ? `; the first ${MOST_FOUND} are shown` : "";
    const asked = terms.length > 1 ? "all these words" : /\s/.test(terms[0]?.text) ? "this phrase" : "this word";
    status.textContent = terms.length ? `${count} ${asked}${limit}.` : "";
    list.replaceChildren(...shown.map((each) => itemOf(each, terms)));
    tips.hidden = true;
    if (terms.length && !found.length) {
        showSuggestions(tips, terms);
    }
}

function startSearch() {
    const list = document.getElementById("found");
    if (!list) {
        return;
    }
    const field = document.querySelector("main [type=search]");
    const [status, tips] = [document.querySelector("main [role=status]"), document.querySelector(".tips")];
    // By far the heaviest part of this page, so it comes with the first words.
    let index = null;
    const show = async () => {
        try {
            await (field.value.trim() && (index ??= loadScript("search-index.js")));
        } catch (error) {
            status.textContent = notLoaded(error, "the search");
            return;
        }
        showFound(field.value, list, status, tips);
    };
    const keep = () => {
        const address = new URL(location);
        address.searchParams.set("q", field.value);
        history.replaceState(null, "", address);
    };
    field.value = new URLSearchParams(location.search).get("q") ?? "";
    field.addEventListener("input", show);
    // Whoever comes back from a section finds the list again.
    field.addEventListener("change", keep);
    field.form.addEventListener("submit", (event) => { event.preventDefault(); keep(); show(); });
    show();
    if (!field.value) {
        field.focus();
    }
}

startSearch();
