// The browser's own bar has the colour of the page, also where the reader has chosen another than the system's.

function colourBar() {
    const { backgroundColor } = getComputedStyle(document.querySelector(".top"));
    for (const meta of document.querySelectorAll("meta[name=theme-color]")) {
        meta.content = backgroundColor;
    }
}

new MutationObserver(colourBar).observe(root, { attributeFilter: ["data-theme"] });
colourBar();
