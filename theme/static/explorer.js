// The explorer of AlexNet: what each layer costs for the image and the classes that a reader asks for, drawn to scale.
// theme/explorer.py gives the layers and has the same rules; the tests hold both to the helper's table of layers.

class Explorer {
    static HEIGHTS = { outputs: 228, title: 30, bars: 60 };  // in pixels; the drawing's is in explorer.css
    static ROWS = [
        { count: "multiplyAdds", words: "Multiply-adds", kind: "Convolution", kinds: "convolutions" },
        { count: "parameters", words: "Parameters", kind: "Dense", kinds: "dense layers" },
    ];

    constructor(figure) {
        this.steps = JSON.parse(figure.querySelector(".tried").dataset.steps);
        this.figure = figure;
        this.form = figure.querySelector("form");
        this.svg = figure.querySelector("svg");
        this.find = (selector) => figure.querySelectorAll(selector);
        this.chosen = 0;
        this.addShapes();
        this.update();
        this.listen();
    }

    // What each layer costs. A network that cannot be ends with the first layer that has no output.

    static costs(steps, { size, channels, classes }) {
        const layers = [];
        for (const step of steps) {
            const [pools, dense] = [step.kind === "Pooling", step.window === null];
            const before = { size, channels };
            const window = step.window ?? size;
            size = Math.floor((size + 2 * step.padding - window) / step.stride) + 1;
            channels = step.channels ?? (pools ? channels : classes);
            const weights = pools ? 0 : before.channels * channels * window ** 2;
            const counts = { outputs: channels * size ** 2, multiplyAdds: weights * size ** 2 };
            counts.parameters = pools ? 0 : weights + channels;
            layers.push({ ...step, ...counts, name: `${step.kind} ${step.number}`, dense, before, window, size, channels });
            if (size < 1) {
                break;
            }
        }
        return layers;
    }

    static works = (layers) => layers.at(-1).size >= 1;

    static sum = (layers, count) => layers.reduce((sum, layer) => sum + layer[count], 0);

    // Words.

    static number = (value) => value.toLocaleString("en");

    static inWords(value) {
        const [power, word] = [[1e9, " billion"], [1e6, " million"]].find(([power]) => value >= power) ?? [1, ""];
        return word ? (value / power).toFixed(1) + word : Explorer.number(value);
    }

    static memory(numbers) {
        const size = 4 * numbers;  // bytes of a float32
        const power = Math.min(Math.floor(Math.log2(size || 1) / 10), 3);
        const format = { minimumFractionDigits: 1, maximumFractionDigits: 1, roundingMode: "halfEven" };  // Python's
        return power ? `${(size / 1024 ** power).toLocaleString("en", format)} ${"KMG"[power - 1]}iB` : `${size} bytes`;
    }

    static share(part, whole) {
        const percent = (100 * part) / whole;
        return percent && percent < 0.1 ? "< 0.1%" : `${percent.toFixed(percent && percent < 10 ? 1 : 0)}%`;
    }

    static cells = ({ parameters, multiplyAdds, outputs }) => [Explorer.number(parameters), Explorer.number(multiplyAdds),
        Explorer.memory(parameters), Explorer.memory(outputs)];

    static images = ({ channels, size }) => `${channels} ${channels > 1 ? "channels" : "channel"} of ${size} by ${size}`;

    static output = (layer) => (layer.dense ? `${Explorer.number(layer.channels)} numbers` : Explorer.images(layer));

    static accessibleName = (layer) => `${layer.name}: ${Explorer.output(layer)}, ${Explorer.number(layer.parameters)} ` +
        `parameters, ${Explorer.inWords(layer.multiplyAdds)} multiply-adds`;

    static work({ kind, dense, window, stride, padding, before }) {
        if (dense) {
            return `Each from all ${Explorer.number(before.size ** 2 * before.channels)} numbers before it.`;
        }
        const what = kind === "Pooling" ? "The largest number in windows" : "Windows";
        const options = (stride > 1 ? `, stride ${stride}` : "") + (padding ? `, padding ${padding}` : "");
        return `${what} of ${window} by ${window}${options}, over ${Explorer.images(before)}.`;
    }

    // What a reader asks for, and what cannot be.

    // What is wrong is said when a reader has left the field, or has asked for it; what has been mended, at once. What is
    // out of date meanwhile is dimmed.
    update(leaves = true) {
        const { size, classes, channels } = this.form.elements;
        const wrong = [size, classes].filter((field) => !field.validity.valid);
        const problems = wrong.map((field) => `${field.labels[0].textContent} has to be a whole number from ` +
            `${field.min} to ${Explorer.number(Number(field.max))}.`);
        if (!wrong.length) {
            const asked = { size: size.valueAsNumber, channels: Number(channels.value), classes: classes.valueAsNumber };
            const layers = Explorer.costs(this.steps, asked);
            if (Explorer.works(layers)) {
                this.show(asked, layers);
            } else {
                wrong.push(size);
                problems.push(this.tooSmall(asked, layers.at(-1)));
            }
        }
        this.figure.classList.toggle("outdated", wrong.length > 0);
        if (wrong.length && !leaves) {
            return;
        }
        for (const field of [size, classes]) {
            field.setAttribute("aria-invalid", wrong.includes(field));
            field.removeAttribute("aria-describedby");
        }
        for (const field of wrong) {
            field.setAttribute("aria-describedby", "explorer-message");
        }
        if (wrong.length) {
            problems.push(`What is drawn is still the network for ${this.asked.size} by ${this.asked.size} pixels.`);
        }
        this.fill(".message", [problems.join(" ")]);
    }

    tooSmall(asked, { name, window, before }) {
        let size = asked.size;
        while (!Explorer.works(Explorer.costs(this.steps, { ...asked, size }))) {
            size += 1;
        }
        return `${name} has no output: its window of ${window} by ${window} is larger than the ${before.size} by ` +
            `${before.size} that reach it. The smallest image that works has ${size} by ${size} pixels.`;
    }

    show(asked, layers) {
        Object.assign(this, { asked, layers });
        const counts = ["parameters", "multiplyAdds", "outputs"];
        this.whole = Object.fromEntries(counts.map((count) => [count, Explorer.sum(layers, count)]));
        const shape = (layer) => (layer.dense ? [layer.channels] : [layer.channels, layer.size, layer.size]).join(" × ");
        const rows = layers.map((layer) => [shape(layer), ...Explorer.cells(layer)]);
        this.fill("td", [...rows.flat(), "", ...Explorer.cells(this.whole)]);
        const { size, channels, classes } = asked;
        this.fill("caption span", [`${channels} × ${size} × ${size}`, Explorer.number(classes)]);
        this.fill(".total b", Explorer.cells(this.whole));
        this.choose(this.chosen);
        this.draw();
    }

    fill(selector, texts) {
        this.find(selector).forEach((element, i) => { element.textContent = texts[i]; });
    }

    choose(index) {
        this.chosen = index;
        const layer = this.layers[index];
        this.options.forEach(({ group }, i) => {
            Explorer.set(group, { "aria-selected": i === index, tabindex: i === index ? 0 : -1 });
        });
        this.fill(".chosen p", [`${layer.name}: ${Explorer.output(layer)}`, Explorer.work(layer)]);
        this.fill(".chosen b", Explorer.cells(layer));
        const counts = ["parameters", "multiplyAdds", "parameters", "outputs"];
        this.fill(".chosen small", counts.map((count) => `${Explorer.share(layer[count], this.whole[count])} of all`));
    }

    pick(index) {
        if (index !== this.picked) {
            this.picked = index;
            this.figure.dispatchEvent(new CustomEvent("layer", { detail: this.layers[index].name }));
        }
    }

    listen() {
        const { size, slider } = this.form.elements;
        this.form.addEventListener("input", ({ target }) => {
            if (target === slider) {
                size.value = slider.value;
            } else if (size.validity.valid) {
                slider.value = size.value;
            }
            this.update(target === slider);
        });
        this.form.addEventListener("change", () => this.update());
        this.form.addEventListener("submit", (event) => event.preventDefault());
        this.form.addEventListener("reset", () => setTimeout(() => this.update()));  // the event comes before the values
        for (const type of ["pointerover", "focusin", "click"]) {
            this.svg.addEventListener(type, ({ target }) => {
                const index = this.options.findIndex(({ group }) => group.contains(target));
                if (index >= 0 && index !== this.chosen) {
                    this.choose(index);
                }
                if (index >= 0 && type !== "pointerover") {
                    this.pick(index);
                }
            });
        }
        // Who chooses an image sees what leaves the layer that is described, which may have been pointed at only.
        this.figure.querySelector(".images").addEventListener("input", () => this.pick(this.chosen));
        // Whoever has picked a layer passes others on the way to what leaves it.
        this.svg.addEventListener("pointerleave", () => this.choose(this.picked ?? this.chosen));
        this.svg.addEventListener("keydown", (event) => {
            const [before, after, last] = [this.chosen - 1, this.chosen + 1, this.options.length - 1];
            const moves = { ArrowRight: after, ArrowDown: after, ArrowLeft: before, ArrowUp: before, Home: 0, End: last };
            if (event.key in moves && !isShortcut(event)) {
                event.preventDefault();
                this.options[Math.min(Math.max(moves[event.key], 0), last)].group.focus();
            }
        });
        new ResizeObserver(() => this.draw()).observe(this.svg);
    }

    // The drawing. Every shape is made once, and placed anew when the numbers or the room change.

    static set(element, attributes) {
        for (const [name, value] of Object.entries(attributes)) {
            element.setAttribute(name, value);
        }
    }

    static add(parent, tag, attributes = {}) {
        const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
        Explorer.set(element, attributes);
        return parent.appendChild(element);
    }

    static addLayer(group) {
        const shapes = [["band", "rect"], ["lid", "path"], ["flank", "path"], ["face", "path"], ["name", "text"],
            ["size", "text"], ["channels", "text"], ["multiplyAdds", "rect"], ["parameters", "rect"],
            ["multiplyAddsShare", "text"], ["parametersShare", "text"]];
        return Object.fromEntries(shapes.map(([name, tag]) => [name, Explorer.add(group, tag, { class: name })]));
    }

    addShapes() {
        const { add, addLayer } = Explorer;
        this.lines = Explorer.ROWS.map(() => add(this.svg, "path", { class: "line" }));
        this.image = addLayer(add(this.svg, "g", { class: "image", "aria-hidden": true }));
        const list = add(this.svg, "g", { role: "listbox", "aria-label": "Layers", "aria-orientation": "horizontal" });
        this.options = this.steps.map(({ kind }) => {
            const group = add(list, "g", { role: "option", class: kind.toLowerCase() });
            return { group, ...addLayer(group) };
        });
        this.titles = Explorer.ROWS.map(() => add(this.svg, "text", { class: "title" }));
    }

    draw() {
        const { outputs, title, bars } = Explorer.HEIGHTS;
        const [width, count] = [this.svg.clientWidth, this.options.length];
        this.room = Math.max(width / (count + 1), 24);  // for a layer, at least what a finger needs
        const middles = this.options.map((_, i) => width - (count - i - 0.5) * this.room);
        this.drawOutput(this.image, { name: "Image", ...this.asked }, (width - count * this.room) / 2);
        this.options.forEach((shapes, i) => {
            Explorer.set(shapes.band, { x: middles[i] - this.room / 2, y: 2, width: this.room, height: "110%", rx: 6 });
            this.drawOutput(shapes, this.layers[i], middles[i]);
            // What is seen of it is part of what it is called, so that it can be called by that.
            const [seen, name] = [shapes.name.textContent, Explorer.accessibleName(this.layers[i])];
            shapes.group.setAttribute("aria-label", name.startsWith(seen) ? name : `${seen}, ${name}`);
        });
        Explorer.ROWS.forEach(({ count, words, kind, kinds }, row) => {
            const bottom = outputs + (row + 1) * (title + bars);
            const part = Explorer.sum(this.layers.filter((layer) => layer.kind === kind), count) / this.whole[count];
            this.titles[row].textContent = `${words}: ${Math.round(100 * part)}% in the ${kinds}`;
            Explorer.set(this.titles[row], { y: bottom - bars - 10 });
            Explorer.set(this.lines[row], { d: `M0 ${bottom}H${width}` });
            this.drawBars(count, middles, bottom);
        });
    }

    drawBars(count, middles, bottom) {
        const most = Math.max(...this.layers.map((layer) => layer[count]));
        const width = Math.min(0.6 * this.room, 30);
        this.options.forEach((shapes, i) => {
            const height = (Explorer.HEIGHTS.bars - 16) * (this.layers[i][count] / most);
            const percent = Math.round((100 * this.layers[i][count]) / this.whole[count]);
            Explorer.set(shapes[count], { x: middles[i] - width / 2, y: bottom - height, width, height });
            Explorer.set(shapes[`${count}Share`], { x: middles[i], y: bottom - height - 4 });
            shapes[`${count}Share`].textContent = percent < 2 ? "" : `${percent}%`;
        });
    }

    // A box seen a little from above and from the right, with its name and, where there is room, its shape below.
    drawOutput({ lid, flank, face, ...texts }, { name, dense, size, channels }, middle) {
        const [kind, number = ""] = name.replace("olution", "").split(" ");
        const roomy = this.room > 58;
        const shape = dense ? [Explorer.number(channels), ""] : [`${size} × ${size}`, `× ${channels}`];
        const lines = roomy ? [`${kind} ${number}`, ...shape] : [number ? kind[0] + number : "in", "", ""];
        const below = Explorer.HEIGHTS.outputs - (roomy ? 52 : 22);
        [texts.name, texts.size, texts.channels].forEach((text, i) => {
            Explorer.set(text, { x: Math.max(middle, 18), y: below + 10 + 15 * i });
            text.textContent = lines[i];
        });
        const scale = Math.sqrt(size / this.form.elements.size.max);
        const most = Math.max(...this.layers.map((layer) => layer.channels));
        const wide = Math.max(0.82 * this.room * Math.sqrt(channels / most), 2);
        const [across, up, tall] = [0.8 * this.room, 0.4 * this.room, below - 16 - 0.4 * this.room].map((x) => x * scale);
        const corner = `M${middle - (wide + across) / 2} ${(below - 6 - tall + up) / 2}`;
        Explorer.set(face, { d: `${corner}h${wide}v${tall}h${-wide}z` });
        Explorer.set(lid, { d: `${corner}l${across} ${-up}h${wide}l${-across} ${up}z` });
        Explorer.set(flank, { d: `${corner}m${wide} 0l${across} ${-up}v${tall}l${-across} ${up}z` });
    }
}

if (document.getElementById("explorer")) {
    new Explorer(document.getElementById("explorer"));
}
