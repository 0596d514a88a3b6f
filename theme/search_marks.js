// What a search has found stands out on the page that it leads to, until one presses Escape or the button.

const BLOCKS = "p, li, h1, h2, h3, h4, dt, dd, th, td, pre, figcaption, summary, div";

// The text of the page in one piece, with the place of each node in it: a phrase may run through several, within a block.
function readPage() {
    const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT, (node) =>
        (node.parentElement.closest("script, style, svg, math, button, .works, .headerlink") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
    const pieces = [];
    let [text, block] = ["", null];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const own = node.parentElement.closest(BLOCKS);
        text += own === block ? "" : "\n\u0000\n"; // which no phrase has
        pieces.push({ node, start: text.length });
        text += node.data;
        block = own;
    }
    return { text, pieces };
}

function rangesOf(terms) {
    const { text, pieces } = readPage();
    let i = 0;
    return placesIn(folded(text), terms).map(([start, end]) => {
        const range = new Range();
        while (i + 1 < pieces.length && pieces[i + 1].start <= start) i++;
        let last = i;
        while (last + 1 < pieces.length && pieces[last + 1].start < end) last++;
        range.setStart(pieces[i].node, start - pieces[i].start);
        range.setEnd(pieces[last].node, end - pieces[last].start);
        return range;
    });
}

// Where the address leads to is a section; the word may be folded into an answer there, or far below.
function goToFirst(ranges) {
    const section = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const first = ranges.find((range) => section?.contains(range.startContainer) && range.startContainer.parentElement.closest("details, section")?.getClientRects().length);
    const element = first?.startContainer.parentElement;
    const fold = element?.closest("details:not([open])");
    if (fold) {
        fold.open = true;
    }
    const isNew = performance.getEntriesByType("navigation")[0]?.type === "navigate"; // and not a page that comes back
    if (isNew && first?.getBoundingClientRect().bottom > innerHeight) {
        element.scrollIntoView({ block: "center" });
    }
}

function startMarks() {
    const address = new URL(location);
    const terms = termsOf(address.searchParams.get("highlight") ?? "");
    const ranges = terms.length && window.Highlight ? rangesOf(terms) : [];
    if (!ranges.length) {
        return;
    }
    const button = document.createElement("button");
    const remove = () => {
        CSS.highlights.delete("found");
        button.remove();
        address.searchParams.delete("highlight");
        history.replaceState(null, "", address);
    };
    button.type = "button";
    button.className = "unmark";
    button.textContent = "Remove marks";
    button.setAttribute("aria-keyshortcuts", "Escape");
    button.addEventListener("click", remove);
    addEventListener("keydown", ({ key }) => { if (key === "Escape" && button.isConnected) remove(); });
    CSS.highlights.set("found", new Highlight(...ranges));
    document.body.append(button);
    goToFirst(ranges);
}

startMarks();
