// What a citation or the number of a figure stands for, beside it, as long as one points at it or has it in focus.

function noteFor(link) {
    const note = document.createElement("div");
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    const figure = target?.closest("figure");
    if (link.dataset.work) {
        note.textContent = link.dataset.work;
    } else if (figure) {
        const caption = document.createElement("p");
        caption.textContent = figure.querySelector("figcaption").textContent.replace("¶", "");
        const picture = figure.querySelector("a img").cloneNode();
        picture.loading = "eager";
        note.append(picture, caption);
    } else {
        return null;
    }
    note.className = "note";
    note.id = "note";
    note.setAttribute("role", "tooltip");
    return note;
}

// Below the link or above it, where there is more room, and no higher than that.
function place(note, link) {
    const box = link.getClientRects()[0];
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
    document.querySelector("[aria-describedby=note]")?.removeAttribute("aria-describedby");
}

function showNote(link) {
    hideNote();
    const note = noteFor(link);
    if (note) {
        document.body.append(note);
        place(note, link);
        note.querySelector("img")?.addEventListener("load", () => place(note, link));
        link.setAttribute("aria-describedby", "note");
    }
}

function startNotes() {
    for (const link of document.querySelectorAll("main a.reference.internal")) {
        if (link.title) {
            link.dataset.work = link.title;
            link.removeAttribute("title");
        }
        // The note can be pointed at too, to be read or copied.
        link.addEventListener("pointerenter", () => showNote(link));
        link.addEventListener("pointerleave", (event) => {
            const note = document.getElementById("note");
            if (note?.contains(event.relatedTarget)) {
                note.addEventListener("pointerleave", hideNote);
            } else {
                hideNote();
            }
        });
        link.addEventListener("focus", () => showNote(link));
        link.addEventListener("blur", hideNote);
    }
    addEventListener("keydown", (event) => { if (event.key === "Escape") hideNote(); });
    addEventListener("pagehide", hideNote);
}

startNotes();
