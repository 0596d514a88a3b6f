// Lines of code that are longer than a phone is wide: a switch at each cell breaks them in all cells, on every page.

{
    const DEEPEST = 12; // blanks that a line which goes on is moved in by at most

    // Each line in an element of its own, which knows how far it is moved in. The text stays the same.
    const divide = (code) => {
        const texts = code.textContent.split("\n");
        const lines = code.innerHTML.replace(/\n$/, "").split("\n").map((line, i) => {
            const indent = Math.min(texts[i].search(/\S|$/), DEEPEST);
            return `<span class="line" style="--indent: ${indent}">${line}</span>\n`;
        });
        code.innerHTML = lines.join("");
    };

    const blocks = [...document.querySelectorAll("div[class^=highlight-] pre")];
    const buttons = [...document.querySelectorAll(".tools")].map((tools) => {
        const button = document.createElement("button");
        button.className = "wrap copy";
        button.type = "button";
        button.textContent = "Wrap";
        tools.prepend(button);
        return button;
    });

    const show = (wraps) => {
        if (wraps && blocks.length && !blocks[0].querySelector(".line")) {
            blocks.forEach(divide);
        }
        root.classList.toggle("wraps", wraps);
        buttons.forEach((button) => button.setAttribute("aria-pressed", wraps));
        markScrollers();
    };

    for (const button of buttons) {
        // What is above grows or shrinks; the cell whose switch was used stays where it is.
        button.addEventListener("click", () => {
            const wraps = !root.classList.contains("wraps");
            const before = button.getBoundingClientRect().top;
            show(wraps);
            scrollBy({ top: button.getBoundingClientRect().top - before, behavior: "instant" });
            remember("wrap", wraps ? "on" : null);
        });
    }
    onReturn(() => show(recall("wrap") === "on"));
    show(root.classList.contains("wraps"));
}
