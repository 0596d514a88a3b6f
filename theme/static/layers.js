// What leaves each layer of AlexNet, in the explorer: the channels that respond most to an image, as pixels, and the part
// of the image that a unit sees. They are those of the chapter's network, loaded when a reader chooses a layer or an image.

class LayerMaps {
    static SIZE = 224; // of the image that the network sees, in pixels
    static FOLDER = "layers"; // among the static files

    constructor(figure) {
        this.steps = JSON.parse(figure.querySelector(".tried").dataset.steps);
        this.costs = Explorer.costs(this.steps, { size: LayerMaps.SIZE, channels: 1, classes: 10 });
        this.form = figure.querySelector(".maps");
        this.tiles = this.form.querySelector(".tiles");
        this.layers = new Map();
        window.explorerLayer = (layer) => this.receive(layer);
        figure.addEventListener("layer", ({ detail }) => this.choose(detail));
        this.form.addEventListener("submit", (event) => event.preventDefault());
        this.form.addEventListener("input", ({ target }) => this.changed(target));
        for (const type of ["pointerdown", "pointermove"]) {
            this.tiles.addEventListener(type, (event) => this.point(event));
        }
        this.showImage();
    }

    get image() {
        return Number(this.form.elements.image.value);
    }

    showImage() {
        this.form.querySelector(".seen img").src = new URL(`${LayerMaps.FOLDER}/image-${this.image}.png`, staticFolder);
    }

    // The first and last pixel, from 0, of what a unit sees in one direction: what its window covers of the layer before,
    // and so on down to the image. Windows reach beyond the edges, and do not always reach the last pixels.
    static field(layers, at) {
        let [first, last] = [at, at];
        for (const { stride, padding, window, before } of layers.toReversed()) {
            first = Math.max(first * stride - padding, 0);
            last = Math.min(last * stride - padding + window - 1, before.size - 1);
        }
        return { first, last, pixels: last - first + 1 };
    }

    // How many pixels a unit would see in one direction if there were no edges.
    static reach(layers) {
        const jump = (number) => layers.slice(0, number).reduce((product, { stride }) => product * stride, 1);
        return layers.reduce((sum, { window }, number) => sum + (window - 1) * jump(number), 1);
    }

    choose(name) {
        this.name = name;
        const layer = this.layers.get(name);
        if (layer) {
            this.show(layer);
        } else if (layer === undefined) {
            this.layers.set(name, null); // on its way
            const file = `${LayerMaps.FOLDER}/${name.toLowerCase().replace(" ", "-")}.js`;
            loadScript(file).catch(({ message }) => this.fail(name, message));
        }
    }

    fail(name, address) {
        this.layers.delete(name);
        if (name === this.name) {
            this.say(`What leaves ${name} could not be loaded: there is nothing at ${address}.`);
        }
    }

    say(words) {
        const paragraph = document.createElement("p");
        paragraph.setAttribute("role", "status");
        paragraph.textContent = words;
        this.clear(paragraph);
    }

    clear(...shown) {
        this.tiles.replaceChildren(...shown);
        this.form.querySelector(".said").textContent = "";
        this.form.querySelector(".field").hidden = true;
        const { row, column } = this.form.elements;
        row.disabled = column.disabled = true;
    }

    async receive(layer) {
        if (layer.sprite) {
            const picture = new Image();
            picture.src = layer.sprite;
            await picture.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [picture.width, picture.height];
            layer.canvas = canvas;
            layer.context = canvas.getContext("2d", { willReadFrequently: true });
            layer.context.drawImage(picture, 0, 0);
        }
        this.layers.set(layer.name, layer);
        if (layer.name === this.name) {
            this.show(layer);
        }
    }

    show(layer) {
        this.layer = layer;
        this.showImage();
        const { what, shown } = layer.classes ? this.classes(layer) : this.maps(layer);
        this.form.querySelector(".what").textContent = `What leaves ${layer.name}: ${what}`;
        this.clear(...shown);
        if (layer.sprite) {
            this.channel = 0;
            this.take(this.strongest(layer.largest.map((_, channel) => channel)));
        } else {
            this.form.querySelector(".said").textContent = "Each sees all that the windows reach.";
        }
    }

    classes({ classes, values }) {
        const list = document.createElement("dl");
        list.className = "classes";
        values[this.image].forEach((value, i) => {
            const [name, room, number, bar] = ["dt", "dd", "dd", "i"].map((tag) => document.createElement(tag));
            name.textContent = classes[i];
            number.textContent = `${(100 * value).toFixed(1)}%`;
            bar.style.width = `${100 * value}%`;
            room.append(bar);
            list.append(name, room, number);
        });
        return { what: "ten logits, here as probabilities", shown: [list] };
    }

    maps({ name, side, channels, canvas }) {
        const shown = (channels ?? [null]).map((channel, i) => {
            const label = document.createElement("label");
            const tile = document.createElement("canvas");
            tile.width = tile.height = side;
            const context = tile.getContext("2d");
            context.drawImage(canvas, i * side, this.image * side, side, side, 0, 0, side, side);
            const choice = document.createElement("input");
            Object.assign(choice, { type: "radio", name: "channel", value: i, checked: i === 0 });
            choice.setAttribute("aria-label", channels ? `Channel ${channel + 1}` : "All numbers");
            const mark = document.createElement("span");
            mark.className = "mark-unit";
            label.append(choice, tile, mark);
            return label;
        });
        const step = this.steps.find(({ kind, number }) => `${kind} ${number}` === name);
        const all = step.channels ?? this.steps[this.steps.indexOf(step) - 1].channels;
        const size = channels ? `${channels.length} of ${all} channels of ${side} by ${side}` : `${side * side} numbers, in rows`;
        return { what: size.replace(/\d{4,}/, (number) => Number(number).toLocaleString("en")), shown };
    }

    value(channel, row, column) {
        const { side, context, largest } = this.layer;
        const [level] = context.getImageData(channel * side + column, this.image * side + row, 1, 1).data;
        return (level / 255) * largest[channel];
    }

    // Of some channels, the unit that is brightest.
    strongest(channels) {
        const { side, context } = this.layer;
        let best = { level: -1 };
        for (const channel of channels) {
            const { data } = context.getImageData(channel * side, this.image * side, side, side);
            for (let i = 0; i < side * side; i++) {
                if (data[4 * i] > best.level) {
                    best = { level: data[4 * i], channel, row: Math.floor(i / side), column: i % side };
                }
            }
        }
        return best;
    }

    // Marks a unit in all maps, says what it responds with, and outlines what it sees.
    take({ channel, row, column }) {
        Object.assign(this, { channel, row, column });
        const { name, side, channels } = this.layer;
        for (const mark of this.tiles.querySelectorAll(".mark-unit")) {
            const share = 100 / side;
            mark.style.cssText = `left:${column * share}%;top:${row * share}%;width:${share}%;height:${share}%`;
        }
        const choice = this.tiles.querySelector(`[value="${channel}"]`);
        choice.checked = true;
        const value = Number(this.value(channel, row, column).toPrecision(2));
        const place = channels
            ? `Channel ${channels[channel] + 1}, row ${row + 1} and column ${column + 1} of ${side} by ${side}`
            : `Number ${(row * side + column + 1).toLocaleString("en")} of ${(side * side).toLocaleString("en")}`;
        const words = `${place}: about ${value}. ${this.outline(name, row, column)}`;
        this.form.querySelector(".said").textContent = words;
        for (const [slider, at] of [[this.form.elements.row, row], [this.form.elements.column, column]]) {
            Object.assign(slider, { disabled: false, max: side, value: at + 1 });
            slider.setAttribute("aria-valuetext", `${at + 1}. ${words}`);
        }
    }

    outline(name, row, column) {
        const layers = this.costs.slice(0, 1 + this.costs.findIndex((layer) => layer.name === name));
        const dense = layers.at(-1).dense;
        const [down, across] = [row, column].map((at) => LayerMaps.field(layers, dense ? 0 : at));
        const outline = this.form.querySelector(".field");
        const share = 100 / LayerMaps.SIZE;
        outline.hidden = false;
        outline.style.cssText = `left:${across.first * share}%;top:${down.first * share}%;` +
            `width:${across.pixels * share}%;height:${down.pixels * share}%`;
        const place = `rows ${down.first + 1} to ${down.last + 1} and columns ${across.first + 1} to ${across.last + 1}`;
        if (dense) {
            return `It sees all that the windows reach: ${place}.`;
        }
        const reach = LayerMaps.reach(layers);
        const cut = Math.min(down.pixels, across.pixels) < reach ? ", in part beyond the edge" : "";
        return `It sees ${reach} by ${reach} pixels${cut}: ${place}.`;
    }

    changed(target) {
        const { row, column } = this.form.elements;
        if (target.name === "image") {
            this.choose(this.name);
        } else if (target.name === "channel") {
            this.take({ ...this, channel: Number(target.value) });
        } else {
            this.take({ channel: this.channel, row: row.valueAsNumber - 1, column: column.valueAsNumber - 1 });
        }
    }

    // A mouse points at a unit by hovering over it, a finger by tapping it.
    point(event) {
        const label = event.target.closest("label");
        if (label && (event.type === "pointerdown" || event.pointerType === "mouse")) {
            const { left, top, width, height } = label.getBoundingClientRect();
            const at = (share) => Math.min(Math.max(Math.floor(share * this.layer.side), 0), this.layer.side - 1);
            const [row, column] = [at((event.clientY - top) / height), at((event.clientX - left) / width)];
            this.take({ channel: Number(label.querySelector("input").value), row, column });
        }
    }
}

if (document.querySelector(".explorer .maps")) {
    new LayerMaps(document.querySelector(".explorer"));
}
