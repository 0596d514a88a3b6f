// What a citation or the number of a figure stands for, beside it, as long as one points at it or has it in focus.
// A finger cannot point: its first tap shows the note, with a link to go on, and a second tap follows the link.

let pointedWith = "keyboard";
let noted = null; // the link whose note is shown

// What a link leads to, if it is on this page: an entry in the page's own list of works, or a figure.
function subjectOf(link) {
    const name = decodeURIComponent(link.hash.slice(1));
    return document.getElementById(`work-${name}`) ?? (name ? document.getElementById(name)?.closest("figure") : null);
}

function noteOn(subject) {
    const note = document.createElement("div");
    const text = document.createElement("p");
    note.className = "note";
    note.id = "note";
    note.append(text);
    if (subject.matches("figure")) {
        const picture = subject.querySelector("a img").cloneNode();
        picture.loading = "eager";
        text.textContent = subject.querySelector("figcaption").textContent.replace("¶", "");
        note.prepend(picture);
    } else {
        text.append(...subject.cloneNode(true).childNodes);
    }
    return note;
}

// Below the link or above it, where there is more room, and no higher than that.
function place(note, link) {
    // Of a link that is broken into lines, a pointer is on the first as a rule; a finger taps any of them again.
    const box = note.matches("[role=dialog]") ? link.getBoundingClientRect() : link.getClientRects()[0];
    const right = root.clientWidth - note.offsetWidth - 16;
    const top = document.querySelector(".top").getBoundingClientRect().bottom;
    const [above, below] = [box.top - top - 12, innerHeight - box.bottom - 12];
    note.style.maxHeight = `${Math.max(above, below)}px`;
    note.style.left = `${scrollX + Math.max(16, Math.min(box.left, right))}px`;
    // They touch, so that the pointer gets from one to the other.
    note.style.top = `${scrollY + (below >= above ? box.bottom - 1 : box.top - note.offsetHeight + 1)}px`;
}

function hideNote() {
    document.getElementById("note")?.remove();
    noted?.removeAttribute("aria-describedby");
    noted = null;
}

function showNote(link, describe) {
    hideNote();
    const subject = subjectOf(link);
    if (subject) {
        const note = noteOn(subject);
        describe(note, link, subject);
        document.body.append(note);
        place(note, link);
        note.querySelector("img")?.addEventListener("load", () => place(note, link));
        noted = link;
    }
    return Boolean(subject);
}

// One cannot get to links in it by keyboard, so they are text.
function asTooltip(note, link) {
    note.setAttribute("role", "tooltip");
    note.querySelectorAll("a").forEach((inner) => inner.replaceWith(inner.textContent));
    link.setAttribute("aria-describedby", "note");
}

function asDialog(note, link, subject) {
    const further = document.createElement("p");
    const go = document.createElement("a");
    go.href = link.href;
    go.textContent = subject.matches("figure") ? "Go to the figure" : "Go to the references";
    further.append(go);
    note.append(further);
    note.tabIndex = -1;
    note.setAttribute("role", "dialog");
    note.setAttribute("aria-label", "Note");
    go.addEventListener("click", hideNote);
    note.addEventListener("focusout", ({ relatedTarget }) => {
        if (relatedTarget !== link && !note.contains(relatedTarget)) {
            hideNote();
        }
    });
}

function startNotes() {
    for (const link of document.querySelectorAll("main a.reference.internal")) {
        const isLeftFor = ({ relatedTarget }) => !document.getElementById("note")?.contains(relatedTarget);
        link.addEventListener("pointerenter", ({ pointerType }) => { if (pointerType !== "touch") showNote(link, asTooltip); });
        link.addEventListener("pointerleave", (event) => {
            if (event.pointerType === "touch") {
                return;
            }
            // The note can be pointed at too, to be read or copied.
            if (isLeftFor(event)) {
                hideNote();
            } else {
                document.getElementById("note").addEventListener("pointerleave", hideNote);
            }
        });
        link.addEventListener("focus", () => { if (pointedWith !== "touch") showNote(link, asTooltip); });
        link.addEventListener("blur", (event) => { if (isLeftFor(event)) hideNote(); });
        link.addEventListener("click", (event) => {
            if (pointedWith === "touch" && noted !== link && showNote(link, asDialog)) {
                event.preventDefault();
                document.getElementById("note").focus({ preventScroll: true });
            }
        });
    }
    addEventListener("pointerdown", ({ pointerType, target }) => {
        pointedWith = pointerType;
        if (pointerType === "touch" && !target.closest("#note") && target.closest("a") !== noted) {
            hideNote();
        }
    });
    addEventListener("keydown", ({ key }) => {
        pointedWith = "keyboard";
        if (key === "Escape" && noted) {
            const link = noted;
            if (document.getElementById("note").contains(document.activeElement)) {
                link.focus({ preventScroll: true });
            }
            hideNote();
        }
    });
    addEventListener("pagehide", hideNote);
}

startNotes();
