// A window on convolution: readers edit the window, choose how it moves and over what, and watch it place by place.

class ConvolutionFigure {
    static OWN_SIDE = 64;  // pixels that a reader's image is shrunk to
    static PLACES_PER_SECOND = 20;  // of a window that moves by itself

    // What a window of weights answers to at each of its places; all are square, row by row.
    static correlate(pixels, weights, stride, padding) {
        const [n, k] = [pixels, weights].map((square) => Math.sqrt(square.length));
        const side = ConvolutionFigure.outputSide(n, k, stride, padding);
        const output = new Float64Array(side * side);
        for (let i = 0; i < output.length; i += 1) {
            const seen = ConvolutionFigure.under(pixels, k, i, side, stride, padding);
            output[i] = seen.reduce((sum, pixel, j) => sum + pixel * weights[j], 0);
        }
        return output;
    }

    static outputSide = (n, k, stride, padding) => Math.floor((n - k + 2 * padding) / stride) + 1;

    // The pixels under a window of side k at its place of this index; beyond the image they are zero.
    static under(pixels, k, index, outputSide, stride, padding) {
        const n = Math.sqrt(pixels.length);
        const [top, left] = [Math.floor(index / outputSide), index % outputSide].map((at) => at * stride - padding);
        return Array.from({ length: k * k }, (_, i) => {
            const [row, column] = [top + Math.floor(i / k), left + (i % k)];
            return row >= 0 && row < n && column >= 0 && column < n ? pixels[row * n + column] : 0;
        });
    }

    // A reader's image, decoded here: its middle square, in grey, row by row, each pixel from 0 to 1.
    static async decode(file) {
        const address = URL.createObjectURL(file);
        try {
            const picture = new Image();
            picture.src = address;
            await picture.decode();
            return ConvolutionFigure.shrink(picture);
        } finally {
            URL.revokeObjectURL(address);
        }
    }

    static shrink(picture) {
        const { OWN_SIDE } = ConvolutionFigure;
        let square = Math.min(picture.naturalWidth, picture.naturalHeight);
        let source = [picture, (picture.naturalWidth - square) / 2, (picture.naturalHeight - square) / 2];
        let context;
        // By half at most in one step, so that each pixel is taken into account in every browser.
        do {
            const side = Math.max(OWN_SIDE, Math.ceil(square / 2));
            const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
            context = canvas.getContext("2d", { willReadFrequently: true });
            context.fillStyle = "white";  // below what is transparent
            context.fillRect(0, 0, side, side);
            context.drawImage(...source, square, square, 0, 0, side, side);
            [source, square] = [[canvas, 0, 0], side];
        } while (square > OWN_SIDE);
        const { data } = context.getImageData(0, 0, OWN_SIDE, OWN_SIDE);
        return Float64Array.from({ length: OWN_SIDE ** 2 }, (_, i) => {
            const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
            return (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
        });
    }

    constructor(figure) {
        this.presets = JSON.parse(figure.dataset.presets);
        this.images = JSON.parse(figure.dataset.images).map(({ pixels }) => Float64Array.from(bytesOf(pixels), (p) => p / 255));
        this.find = (selector) => figure.querySelector(selector);
        this.fields = [...figure.querySelectorAll(".weights input")];
        this.cells = ["under", "products"].map((name) => [...figure.querySelectorAll(`.${name} td`)]);
        const { image, preset, stride, padding, file } = this.find("form").elements;
        Object.assign(this, { image, preset, stride, padding, file });
        [this.stepwise, this.back, this.next, this.play] = ["stepwise", "back", "next", "play"].map((name) => this.find(`[name=${name}]`));
        this.place = 0;
        this.takePreset();
        this.update();
        this.choose(Math.floor(this.side * (this.side + 1) * 0.4));  // neither at an edge nor where there is nothing
        this.listen();
    }

    get weights() {
        return this.fields.map((field) => field.valueAsNumber);
    }

    takePreset() {
        this.presets[this.preset.value].flat().forEach((weight, i) => { this.fields[i].value = weight; });
        this.fields.forEach((field) => field.removeAttribute("aria-invalid"));
        this.say("");
    }

    say(message) {
        this.find(".message").textContent = message;
    }

    // What changes all of the output.
    update() {
        const before = this.side;
        const weights = this.fields.every((field) => field.validity.valid) ? this.weights : this.used;
        const pixels = this.images[this.image.selectedIndex];
        const [stride, padding] = [this.stride, this.padding].map((field) => Number(field.value));
        const [n, k] = [pixels, this.fields].map(({ length }) => Math.sqrt(length));
        const side = ConvolutionFigure.outputSide(n, k, stride, padding);
        const output = ConvolutionFigure.correlate(pixels, weights, stride, padding);
        Object.assign(this, { pixels, step: stride, margin: padding, n, k, side, output, used: weights });
        this.largest = output.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
        this.find(".formula-of-side span").textContent = `⌊(${n} − ${k} + 2 · ${padding}) / ${stride}⌋ + 1 = ${side}`;
        this.find(".scale").textContent = `Black is 0, white ${signed(this.largest)}, blue ${signed(-this.largest)}.`;
        this.drawInput();
        // The window stays where it was, as nearly as it can.
        const share = before ? side / before : 1;
        const [row, column] = before ? [Math.floor(this.place / before), this.place % before] : [0, 0];
        this.choose(Math.min(Math.floor(row * share), side - 1) * side + Math.min(Math.floor(column * share), side - 1));
    }

    drawInput() {
        const { n, margin } = this;
        const wide = n + 2 * margin;
        const padded = new Float64Array(wide * wide).fill(NaN);  // the margin, which the style hatches
        this.pixels.forEach((pixel, i) => { padded[(Math.floor(i / n) + margin) * wide + (i % n) + margin] = pixel; });
        drawPixels(this.find(".input canvas"), padded, wide, 1);
        this.find(".input canvas").setAttribute("aria-label", `Input: ${this.image.value}`);
        this.find(".input").parentElement.querySelector(".title span").textContent = `${n} × ${n}`;
        this.find(".output").parentElement.querySelector(".title span").textContent = `${this.side} × ${this.side}`;
        this.find(".output").setAttribute("aria-label", `Output of ${this.side} by ${this.side}: arrow keys move the window`);
    }

    // One place of the window.
    choose(place) {
        const { side, k, step, margin, n, output } = this;
        this.place = Math.min(Math.max(place, 0), side * side - 1);
        const [row, column] = [Math.floor(this.place / side), this.place % side];
        const shown = this.stepwise.checked ? output.map((value, i) => (i <= this.place ? value : NaN)) : output;
        drawPixels(this.find(".output canvas"), shown, side, this.largest);
        ConvolutionFigure.outline(this.find(".input .place"), row * step, column * step, k, n + 2 * margin);
        ConvolutionFigure.outline(this.find(".output .place"), row, column, 1, side);
        const under = ConvolutionFigure.under(this.pixels, k, this.place, side, step, margin);
        [under, under.map((pixel, i) => pixel * this.used[i])].forEach((values, i) => {
            values.forEach((value, j) => { this.cells[i][j].textContent = signed(value); });
        });
        this.find(".sum").textContent = `Row ${row + 1}, column ${column + 1} of the output: the products sum to ${signed(output[this.place])}.`;
        this.back.disabled = this.place === 0;
        this.next.disabled = this.place === output.length - 1;
        if (this.next.disabled) {
            this.pause();
        }
    }

    static outline(element, row, column, cells, of) {
        const percent = (count) => `${(100 * count) / of}%`;
        element.hidden = false;
        Object.assign(element.style, { top: percent(row), left: percent(column), width: percent(cells), height: percent(cells) });
    }

    // A window that moves by itself, which nobody wants read aloud.
    start() {
        this.stepwise.checked = true;
        this.choose(this.next.disabled ? 0 : this.place);
        this.find(".sum").setAttribute("aria-live", "off");
        this.play.textContent = "Pause";
        const [begun, first] = [performance.now(), this.place];
        const move = (now) => {
            const place = first + Math.floor(((now - begun) / 1000) * ConvolutionFigure.PLACES_PER_SECOND);
            this.moving = requestAnimationFrame(move);  // before the last place ends it
            if (place > this.place) {
                this.choose(place);
            }
        };
        this.moving = requestAnimationFrame(move);
    }

    pause() {
        cancelAnimationFrame(this.moving);
        this.moving = null;
        this.find(".sum").setAttribute("aria-live", "polite");
        this.play.textContent = "Play";
    }

    async takeFile() {
        const [file] = this.file.files;
        if (!file) {
            return;
        }
        try {
            const pixels = await ConvolutionFigure.decode(file);
            this.own ??= this.image.appendChild(new Option());
            this.own.textContent = file.name;
            this.own.selected = true;
            this.images[this.own.index] = pixels;
            this.say("");
            this.update();
        } catch {
            const name = file.name.length > 40 ? `${file.name.slice(0, 39)}…` : file.name;  // there is room for no more
            this.say(`“${name}” is no image that this browser can read. Choose a PNG, JPEG, WebP or GIF file.`);
            this.file.value = "";
        }
    }

    // On leaving a field, not at each key.
    check(field) {
        field.setAttribute("aria-invalid", !field.validity.valid);
        const places = this.placesOfWrongWeights();
        this.say(places ? `A weight has to be a number from −99 to 99: see ${places}. What is drawn is still the last window.` : "");
    }

    placesOfWrongWeights() {
        const list = new Intl.ListFormat("en");
        const wrong = this.fields.map((field, i) => ({ field, row: Math.floor(i / this.k) + 1, column: (i % this.k) + 1 }))
            .filter(({ field }) => field.getAttribute("aria-invalid") === "true");
        return [...new Set(wrong.map(({ row }) => row))].map((row) => {
            const columns = wrong.filter((each) => each.row === row).map(({ column }) => String(column));
            return columns.length === this.k ? `row ${row}` : `row ${row}, column${columns.length > 1 ? "s" : ""} ${list.format(columns)}`;
        }).join("; ");
    }

    listen() {
        const act = (element, type, action) => element.addEventListener(type, action);
        act(this.find("form"), "submit", (event) => event.preventDefault());
        [this.image, this.stride, this.padding].forEach((field) => act(field, "change", () => { this.pause(); this.update(); }));
        act(this.preset, "change", () => { this.takePreset(); this.update(); });
        act(this.file, "change", () => this.takeFile());
        this.fields.forEach((field) => {
            act(field, "input", () => { this.preset.selectedIndex = this.preset.options.length - 1; this.update(); });
            act(field, "change", () => this.check(field));
        });
        act(this.stepwise, "change", () => { this.pause(); this.choose(this.stepwise.checked ? 0 : this.place); });
        act(this.back, "click", () => { this.pause(); this.choose(this.place - 1); });
        act(this.next, "click", () => { this.pause(); this.choose(this.place + 1); });
        act(this.play, "click", () => (this.moving ? this.pause() : this.start()));
        this.listenOnPixels();
    }

    listenOnPixels() {
        const [input, output] = [this.find(".input"), this.find(".output")];
        const at = {
            input: (part) => Math.round((part * (this.n + 2 * this.margin) - this.k / 2) / this.step),
            output: (part) => Math.floor(part * this.side),
        };
        const point = (event) => {
            const { x, y } = pointOn(event.currentTarget, event);
            const place = event.currentTarget === input ? at.input : at.output;
            const [row, column] = [y, x].map((part) => Math.min(Math.max(place(part), 0), this.side - 1));
            this.pause();
            this.choose(row * this.side + column);
        };
        for (const pixels of [input, output]) {
            pixels.addEventListener("click", point);
            pixels.addEventListener("pointermove", (event) => {
                if (event.pointerType === "mouse" && !this.stepwise.checked) {
                    point(event);
                }
            });
        }
        output.addEventListener("keydown", (event) => {
            const { place, side } = this;
            const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, ArrowUp: place - side, ArrowDown: place + side,
                Home: 0, End: side * side - 1 };
            if (event.key in moves && !isShortcut(event)) {
                event.preventDefault();
                this.pause();
                if (moves[event.key] >= 0 && moves[event.key] < side * side) {
                    this.choose(moves[event.key]);
                }
            }
        });
    }
}

if (document.getElementById("convolution")) {
    new ConvolutionFigure(document.getElementById("convolution"));
}
