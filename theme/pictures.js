// Pictures to look into: a click on one shows it as large as the screen, and larger. Without scripts its file is opened.

function lookInto(picture) {
    const dialog = document.createElement("dialog");
    dialog.className = "picture";
    dialog.setAttribute("aria-label", "Picture");
    dialog.innerHTML = `
        <form method="dialog">
            <label>Magnification <input type="range" min="1" max="6" step="0.25" value="1"></label>
            <button>Close</button>
        </form>
        <div tabindex="0" role="region" aria-label="The picture, to be scrolled"></div>`;
    const [zoom, room] = [dialog.querySelector("input"), dialog.querySelector("div")];
    const large = picture.cloneNode();
    large.loading = "eager";
    room.append(large);
    document.body.append(dialog);
    dialog.showModal();
    const fit = Math.min(room.clientWidth, (room.clientHeight * picture.width) / picture.height);
    // What is in the middle stays there.
    const show = () => {
        const middle = [(room.scrollLeft + room.clientWidth / 2) / room.scrollWidth,
            (room.scrollTop + room.clientHeight / 2) / room.scrollHeight];
        large.style.width = `${fit * zoom.valueAsNumber}px`;
        room.scrollTo(middle[0] * room.scrollWidth - room.clientWidth / 2, middle[1] * room.scrollHeight - room.clientHeight / 2);
    };
    zoom.addEventListener("input", show);
    dialog.addEventListener("close", () => dialog.remove());
    show();
}

function startPictures() {
    for (const link of document.querySelectorAll("main a.image-reference")) {
        link.addEventListener("click", (event) => {
            if (!event.ctrlKey && !event.metaKey && !event.shiftKey) {
                event.preventDefault();
                lookInto(link.querySelector("img"));
            }
        });
    }
}

startPictures();
