// Pictures to look into: a click on one shows it as large as the screen, with its caption. There the wheel, two fingers,
// a click, the keys + and - or the slider make it larger, and it is dragged or scrolled. Without scripts its file opens.

const LARGEST = 8;

// A picture in a room that scrolls; what is below the pointer, or between the fingers, stays there.
class Magnifier {
    static CLICKED = 3;
    static STILL = 6; // pixels that a finger may tremble in a tap

    constructor(room, picture, changed) {
        Object.assign(this, { room, picture, changed, scale: 1, pointers: new Map() });
        room.addEventListener("wheel", (event) => {
            event.preventDefault();
            const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
            this.zoom(this.scale * 1.002 ** (-event.deltaY * lines), event.clientX, event.clientY);
        }, { passive: false });
        room.addEventListener("pointerdown", (event) => this.press(event));
        room.addEventListener("pointermove", (event) => this.move(event));
        room.addEventListener("pointerup", (event) => this.lift(event));
        room.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    }

    fit() {
        const { clientWidth, clientHeight } = this.room;
        this.width = Math.min(clientWidth, clientHeight * this.ratio);
        this.zoom(this.scale);
    }

    get ratio() {
        return this.picture.getAttribute("width") / this.picture.getAttribute("height");
    }

    zoom(scale, x, y) {
        const { left, top } = this.room.getBoundingClientRect();
        x ??= left + this.room.clientWidth / 2;
        y ??= top + this.room.clientHeight / 2;
        const before = this.picture.getBoundingClientRect();
        this.scale = Math.min(Math.max(scale, 1), LARGEST);
        this.picture.style.width = `${this.width * this.scale}px`;
        const after = this.picture.getBoundingClientRect();
        this.pan(
            after.left + ((x - before.left) / before.width) * after.width - x,
            after.top + ((y - before.top) / before.height) * after.height - y,
        );
        this.room.classList.toggle("magnified", this.scale > 1);
        this.changed(this.scale);
    }

    pan(left, top) {
        this.room.scrollBy({ left, top, behavior: "instant" });
    }

    // Where the fingers are on average, and how far they are from there.
    grip() {
        const places = [...this.pointers.values()];
        const [x, y] = ["x", "y"].map((side) => places.reduce((sum, place) => sum + place[side], 0) / places.length);
        return { x, y, spread: places.reduce((sum, place) => sum + Math.hypot(place.x - x, place.y - y), 0) };
    }

    press(event) {
        if (event.button === 0) {
            this.room.setPointerCapture(event.pointerId);
            this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
            this.way = this.pointers.size > 1 ? Infinity : 0;
        }
    }

    move(event) {
        if (!this.pointers.has(event.pointerId)) {
            return;
        }
        const before = this.grip();
        this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
        const after = this.grip();
        this.way += Math.hypot(after.x - before.x, after.y - before.y);
        this.pan(before.x - after.x, before.y - after.y);
        if (before.spread) {
            this.zoom((this.scale * after.spread) / before.spread, after.x, after.y);
        }
    }

    lift(event) {
        if (this.pointers.delete(event.pointerId) && this.way <= Magnifier.STILL) {
            this.zoom(this.scale > 1 ? 1 : Magnifier.CLICKED, event.clientX, event.clientY);
        }
    }
}

function captionOf(picture) {
    const words = picture.closest("figure")?.querySelector("figcaption")?.cloneNode(true);
    words?.querySelectorAll(".headerlink").forEach((link) => link.remove());
    words?.querySelectorAll("[id]").forEach((element) => element.removeAttribute("id"));
    return words ? [...words.childNodes] : [];
}

function lookInto(picture) {
    const dialog = document.createElement("dialog");
    dialog.className = "picture";
    dialog.setAttribute("aria-label", "Picture");
    dialog.innerHTML = `
        <form method="dialog">
            <label>Magnification <input type="range" min="1" max="${LARGEST}" step="0.25" value="1"></label>
            <button>Close</button>
        </form>
        <div class="room" tabindex="0" role="region" aria-label="The picture, to be scrolled"></div>
        <div class="caption"></div>`;
    const [slider, room, caption] = ["input", ".room", ".caption"].map((part) => dialog.querySelector(part));
    const large = picture.cloneNode();
    Object.assign(large, { loading: "eager", draggable: false });
    large.removeAttribute("style");
    room.append(large);
    caption.append(...captionOf(picture));
    caption.hidden = !caption.hasChildNodes();
    document.body.append(dialog);
    dialog.showModal();
    const magnifier = new Magnifier(room, large, (scale) => { slider.value = scale; });
    const fit = () => magnifier.fit();
    slider.addEventListener("input", () => magnifier.zoom(slider.valueAsNumber));
    dialog.addEventListener("keydown", (event) => {
        const factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
        if (factor && !isShortcut(event)) {
            magnifier.zoom(magnifier.scale * factor);
        }
    });
    caption.addEventListener("click", ({ target }) => { if (target.closest("a")) dialog.close(); });
    addEventListener("resize", fit);
    dialog.addEventListener("close", () => {
        removeEventListener("resize", fit);
        dialog.remove();
    });
    // What the caption says may be more than there is room for: then it scrolls, by keyboard too.
    if (caption.scrollHeight > caption.clientHeight) {
        Object.assign(caption, { tabIndex: 0, role: "region", ariaLabel: "Caption" });
    }
    fit();
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
