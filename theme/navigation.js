// Where one is and how to get elsewhere: menus of the bar, the page's own contents, the choice of a framework.

// A menu closes when one chooses in it, goes elsewhere by keyboard or pointer, or presses Escape.
function startMenu(button, panel) {
    const isOpen = () => panel.classList.contains("open");
    const open = (wanted) => {
        panel.classList.toggle("open", wanted);
        button.setAttribute("aria-expanded", wanted);
        panel.style.setProperty("--button", `${button.getBoundingClientRect().left}px`);
        const current = panel.querySelector("[aria-current]");
        if (wanted && current) {
            panel.scrollTop = current.offsetTop - panel.clientHeight / 2;
        }
    };
    const isOutside = (element) => !button.contains(element) && !panel.contains(element);
    button.addEventListener("click", () => open(!isOpen()));
    panel.addEventListener("click", ({ target }) => { if (target.closest("a")) open(false); });
    panel.addEventListener("focusout", ({ relatedTarget }) => { if (relatedTarget && isOutside(relatedTarget)) open(false); });
    addEventListener("pointerdown", ({ target }) => { if (isOpen() && isOutside(target)) open(false); });
    addEventListener("keydown", ({ key }) => {
        if (key === "Escape" && isOpen()) {
            open(false);
            button.focus();
        }
    });
}

function startMenus() {
    for (const button of document.querySelectorAll(".top [aria-controls]")) {
        startMenu(button, document.getElementById(button.getAttribute("aria-controls")));
    }
}

function titleOf(heading) {
    const copy = heading.cloneNode(true);
    copy.querySelectorAll(".headerlink, .section-number").forEach((part) => part.remove());
    return copy.textContent.trim();
}

// The bar names the section that is read, and the page once its heading is out of sight.
function showPlace(title) {
    const where = document.querySelector(".where");
    document.querySelector(".place").textContent = title;
    if (where && where.textContent !== (title || "On this page")) {
        const name = document.createElement("span"); // another one: had this one two lines for one, it would have moved
        name.textContent = title || "On this page";
        where.replaceChildren(name);
        where.setAttribute("aria-label", title ? `On this page: ${title}` : "On this page");
    }
}

function followReading() {
    const links = new Map([...document.querySelectorAll(".here a")].map((link) => [link.hash.slice(1), link]));
    const heading = document.querySelector("main h1");
    // The first of them is the page itself, which is marked nowhere: its introduction belongs to no section.
    const sections = [...document.querySelectorAll("main section section[id]")].filter((section) => links.has(section.id));
    const mark = () => {
        const line = parseFloat(getComputedStyle(root).scrollPaddingTop) + 1;
        // The last section may be too short to come up to the line.
        const atEnd = scrollY > 0 && innerHeight + scrollY >= root.scrollHeight - 1;
        const read = sections.filter((section) => atEnd || section.getBoundingClientRect().top <= line).at(-1);
        for (const [id, link] of links) {
            if (id === read?.id) {
                link.setAttribute("aria-current", "true");
            } else {
                link.removeAttribute("aria-current");
            }
        }
        const isPast = heading.getBoundingClientRect().bottom < line;
        showPlace(read ? links.get(read.id).textContent : isPast ? titleOf(heading) : "");
    };
    let waiting = false;
    addEventListener("scroll", () => {
        if (!waiting) {
            waiting = true;
            requestAnimationFrame(() => { waiting = false; mark(); });
        }
    }, { passive: true });
    mark();
}

// The first piece of the text below the bar, for all frameworks: it stays where it is while the pieces for one change.
function readNow() {
    const line = document.querySelector(".top").getBoundingClientRect().bottom;
    const pieces = [...document.querySelectorAll("main :is(h1, h2, h3, h4, p, li, figure, .tabs)")];
    return pieces.find((piece) => piece.getBoundingClientRect().bottom > line && !piece.closest(".panel")) ?? document.body;
}

function startChoice() {
    const choice = document.querySelector(".top .choice");
    const show = () => { choice.value = root.dataset.framework; };
    choice.addEventListener("change", () => chooseFramework(choice.value, readNow()));
    addEventListener("framework", show);
    show();
}

startMenus();
followReading();
startChoice();
