// LeNet, live: what each layer makes of an image or a drawing, and how each number comes about from those before it.
// network.js computes, in a worker; lenet-data.js has the weights of img/lenet.py; the rest is here and in d2l.js.

class LeNetFigure {
    static SIDE = 28;  // of an image, in pixels
    static PEN = 2.5;  // pixels wide
    static MOST_MAGNIFIED = 3;  // a small drawing
    static GAP = 5;  // between the numbers of two maps, in pixels
    static WORKER = `
        const { Network } = (${networkLibrary})();
        const network = Network.lenet();
        onmessage = ({ data: { parameters, pixels } }) => {
            if (parameters) {
                network.load(parameters);
            } else {
                postMessage(network.forward(pixels, 1).map(({ name, data }) => [name, data]));
            }
        };`;

    constructor(figure) {
        this.find = (selector) => figure.querySelector(selector);
        this.all = (selector) => [...figure.querySelectorAll(selector)];
        this.images = lenetData.images.map(({ pixels }) => Float32Array.from(bytesOf(pixels), (pixel) => pixel / 255));
        this.softmax = networkLibrary().softmax;
        this.strokes = [];
        this.addLayers(JSON.parse(figure.dataset.layers));
        this.startWorker();
        this.unit = { layer: 1, index: 13 * 28 + 16 };  // as in the picture
        this.all(".images canvas").forEach((canvas, i) => drawPixels(canvas, this.images[i], LeNetFigure.SIDE, 1));
        this.listenToChoice();
        this.listenToUnits();
        this.takeImage(lenetData.images.findIndex(({ index }) => index === 0));
    }

    addLayers(layers) {
        const parameters = LeNetFigure.parameters();
        this.parameters = parameters.flat();
        this.layers = layers.map((layer, i) => {
            const element = this.all(".layer")[i];
            const kind = !layer.source ? "image" : layer.count === 1 ? "dense" : layer.activation ? "convolution" : "pooling";
            const [weights, biases] = layer.activation ? parameters.shift() : [];
            const maps = [...element.querySelectorAll(".pixels")];
            return { ...layer, element, kind, weights, biases, maps, size: layer.rows * layer.columns };
        });
    }

    // The weights and biases of each layer that has some.
    static parameters() {
        const floats = (letters) => new Float32Array(bytesOf(letters).buffer);
        return lenetData.layers.map(({ weights, scales, biases }) => [
            networkLibrary().dequantize(new Int8Array(bytesOf(weights).buffer), floats(scales)), floats(biases)]);
    }

    // The network computes beside the page. Of images that come while it does, only the last is of interest.

    startWorker() {
        this.worker = new Worker(URL.createObjectURL(new Blob([LeNetFigure.WORKER], { type: "text/javascript" })));
        this.worker.addEventListener("message", ({ data }) => {
            const { next } = this;
            Object.assign(this, { busy: false, next: null });
            this.show(new Map(data));
            if (next) {
                this.compute(next);
            }
        });
        this.worker.addEventListener("error", () => this.say("The network cannot compute in this browser: it does not let the page start a worker."));
        this.worker.postMessage({ parameters: this.parameters });
    }

    compute(pixels) {
        this.layers[0].values = pixels;
        if (this.busy) {
            this.next = pixels;
        } else {
            this.busy = true;
            this.worker.postMessage({ pixels });
        }
    }

    show(found) {
        for (const layer of this.layers) {
            layer.values = layer.source ? found.get(layer.source) : layer.values;
            layer.maps.forEach((map, i) => {
                drawPixels(map.querySelector("canvas"), layer.values.subarray(i * layer.size, (i + 1) * layer.size), layer.columns, 1);
            });
        }
        this.probabilities = this.softmax(this.layers.at(-1).values);
        this.all(".classes li").forEach((row, i) => {
            row.style.setProperty("--share", this.probabilities[i]);
            row.querySelector("b").textContent = LeNetFigure.percent(this.probabilities[i], "%");
        });
        const best = this.probabilities.indexOf(Math.max(...this.probabilities));
        this.say(`${this.what} The network says: ${lenetData.classes[best]}, ${LeNetFigure.percent(this.probabilities[best])}.`);
        this.explain();
    }

    static percent(share, sign = " percent") {
        return share > 0.995 ? `over 99${sign}` : `${Math.round(100 * share)}${sign}`;
    }

    say(words) {
        this.find(".taken").textContent = words;
    }

    // What goes into the network: a test image, or a drawing.

    takeImage(index) {
        this.strokes = [];
        this.drawField();
        this.press(index);
        this.what = `Class: ${lenetData.classes[lenetData.images[index].label]}.`;
        this.compute(this.images[index]);
    }

    takeDrawing() {
        this.drawField();
        this.press(-1);
        this.what = this.strokes.length ? "A drawing." : "Nothing drawn.";
        this.compute(LeNetFigure.rasterize(this.strokes, LeNetFigure.fit(this.strokes)));
    }

    press(index) {
        this.all(".images button").forEach((button, i) => button.setAttribute("aria-pressed", i === index));
    }

    drawField() {
        drawPixels(this.find(".field canvas"), LeNetFigure.rasterize(this.strokes, { scale: 1, x: 0, y: 0 }), LeNetFigure.SIDE, 1);
    }

    // As the data set has its images: in the middle, the longer side as long as the image.
    static fit(strokes) {
        const { SIDE, PEN, MOST_MAGNIFIED } = LeNetFigure;
        const [x, y] = ["x", "y"].map((axis) => {
            const all = strokes.flat().map((point) => point[axis]);
            const [first, last] = [Math.min(...all) - PEN / 2, Math.max(...all) + PEN / 2];
            return { middle: (first + last) / 2, length: last - first };
        });
        const scale = Math.min(SIDE / Math.max(x.length, y.length), MOST_MAGNIFIED);
        return { scale, x: SIDE / 2 - scale * x.middle, y: SIDE / 2 - scale * y.middle };
    }

    static rasterize(strokes, { scale, x, y }) {
        const { SIDE, PEN } = LeNetFigure;
        const context = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE }).getContext("2d");
        Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
        context.setTransform(scale, 0, 0, scale, x, y);
        for (const stroke of strokes) {
            context.beginPath();
            [stroke[0], ...stroke].forEach((point) => context.lineTo(point.x, point.y));  // a dot is a line as well
            context.stroke();
        }
        const { data } = context.getImageData(0, 0, SIDE, SIDE);
        return Float32Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i + 3] / 255);
    }

    listenToChoice() {
        const field = this.find(".field");
        this.all(".images button").forEach((button, i) => button.addEventListener("click", () => this.takeImage(i)));
        this.find("[name=clear]").addEventListener("click", () => { this.strokes = []; this.takeDrawing(); });
        const point = (event) => {
            const { x, y } = pointOn(field, event);
            return { x: LeNetFigure.SIDE * x, y: LeNetFigure.SIDE * y };
        };
        field.addEventListener("pointerdown", (event) => {
            if (event.button === 0 && event.isPrimary) {
                field.setPointerCapture(event.pointerId);
                this.strokes.push([point(event)]);
                this.drawing = true;
                this.takeDrawing();
            }
        });
        field.addEventListener("pointermove", (event) => {
            if (this.drawing && event.isPrimary) {
                this.strokes.at(-1).push(...(event.getCoalescedEvents?.() ?? [event]).map(point), point(event));
                this.takeDrawing();
            }
        });
        for (const type of ["pointerup", "pointercancel"]) {
            field.addEventListener(type, () => { this.drawing = false; });
        }
    }

    // One unit: the window that it sees, and how its number comes about.

    choose(layer, index) {
        this.unit = { layer, index };
        this.layers.forEach(({ element }, i) => { element.tabIndex = i === layer ? 0 : -1; });
        this.explain();
    }

    // Where a unit is: its map and the row and column in it.
    static placeOf({ size, columns }, index) {
        const within = index % size;
        return { map: Math.floor(index / size), row: Math.floor(within / columns), column: within % columns };
    }

    // What a unit sees: in which maps of the layer before, from which row and column on, and how many rows and columns.
    windowOf(layer, index) {
        const [{ kind, rows, weights, biases }, before] = [this.layers[layer], this.layers[layer - 1]];
        const { map, row, column } = LeNetFigure.placeOf(this.layers[layer], index);
        if (kind === "dense") {
            return { first: 0, count: before.count, top: 0, left: 0, rows: before.rows, columns: before.columns };
        }
        if (kind === "pooling") {
            const side = before.rows / rows;
            return { first: map, count: 1, top: side * row, left: side * column, rows: side, columns: side };
        }
        const side = Math.sqrt(weights.length / biases.length / before.count);
        const padding = (rows - before.rows + side - 1) / 2;
        return { first: 0, count: before.count, top: row - padding, left: column - padding, rows: side, columns: side };
    }

    // The numbers in a window, map by map; what lies beyond the maps is zero.
    static numbersIn({ values, rows, columns, size }, window) {
        return Array.from({ length: window.count * window.rows * window.columns }, (_, i) => {
            const { map, row, column } = LeNetFigure.placeOf({ size: window.rows * window.columns, columns: window.columns }, i);
            const [y, x] = [window.top + row, window.left + column];
            return y >= 0 && y < rows && x >= 0 && x < columns ? values[(window.first + map) * size + y * columns + x] : 0;
        });
    }

    explain() {
        const { layer, index } = this.unit;
        const own = this.layers[layer];
        this.outline();
        if (own.kind === "image") {
            this.drawOperands({ count: 0 }, [], [], []);
            this.find(".unit").textContent = `${this.nameOf(own, index)}: a pixel of ${signed(own.values[index])}.`;
            return;
        }
        const window = this.windowOf(layer, index);
        const seen = LeNetFigure.numbersIn(this.layers[layer - 1], window);
        const output = Math.floor(index / (own.kind === "dense" ? 1 : own.size));
        const weights = own.weights ? own.weights.subarray(output * seen.length, (output + 1) * seen.length) : seen.map(() => 1 / seen.length);
        const products = seen.map((number, i) => number * weights[i]);
        this.drawOperands(window, seen, weights, products);
        const sum = products.reduce((whole, product) => whole + product, 0);
        this.find(".unit").textContent = `${this.nameOf(own, index)}: ${this.inWords(own, index, products.length, sum, own.biases?.[output])}`;
    }

    nameOf({ name, kind, count, activation, ...layer }, index) {
        const { map, row, column } = LeNetFigure.placeOf(layer, index);
        if (kind === "dense") {
            return `${name}, ${activation === "softmax" ? lenetData.classes[index] : `unit ${index + 1}`}`;
        }
        return `${name}${count > 1 ? `, channel ${map + 1}` : ""}, row ${row + 1}, column ${column + 1}`;
    }

    inWords({ kind, activation, values }, index, count, sum, bias) {
        if (kind === "pooling") {
            return `${count} numbers, each times ${1 / count}, sum to ${signed(sum)}, their mean.`;
        }
        const given = activation === "softmax" ? `makes it ${LeNetFigure.percent(this.probabilities[index])}` : `gives ${signed(values[index])}`;
        return `${count} products sum to ${signed(sum)}, bias ${signed(bias)}, together ${signed(sum + bias)}; ${activation} ${given}.`;
    }

    outline() {
        const { layer, index } = this.unit;
        const own = this.layers[layer];
        this.all(".place").forEach((place) => { place.hidden = true; });
        this.all(".classes li").forEach((row, i) => row.classList.toggle("chosen", own.activation === "softmax" && i === index));
        const { map, row, column } = LeNetFigure.placeOf(own, index);
        LeNetFigure.place(own, map, { top: row, left: column, rows: 1, columns: 1 });
        if (layer > 0) {
            const window = this.windowOf(layer, index);
            for (let i = 0; i < window.count; i += 1) {
                LeNetFigure.place(this.layers[layer - 1], window.first + i, window);
            }
        }
    }

    static place({ maps, ...layer }, map, { top, left, rows, columns }) {
        const place = maps[map]?.querySelector(".place");
        if (place) {
            const [down, across] = [layer.rows, layer.columns].map((side) => (count) => `${(100 * count) / side}%`);
            Object.assign(place.style, { top: down(top), left: across(left), height: down(rows), width: across(columns) });
            place.hidden = false;
        }
    }

    // Numbers of several maps as squares, as large as there is room, with the numbers themselves where they fit.

    drawOperands(window, seen, weights, products) {
        const most = (numbers) => numbers.reduce((largest, number) => Math.max(largest, Math.abs(number)), 0) || 1;
        const across = LeNetFigure.mapsAcross(this.find(".products"), window);
        [["seen", seen, 1], ["weights", weights, most(weights)], ["products", products, most(products)]].forEach(([name, numbers, largest]) => {
            LeNetFigure.drawNumbers(this.find(`.${name}`), numbers, { ...window, across }, largest);
        });
    }

    // The room for one number, where so many maps stand side by side.
    static cell(canvas, { count, rows, columns }, across) {
        const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => length + LeNetFigure.GAP);
        return [(width / across - LeNetFigure.GAP) / columns, (height / Math.ceil(count / across) - LeNetFigure.GAP) / rows];
    }

    // How many maps stand side by side, so that numbers get the most room.
    static mapsAcross(canvas, window) {
        const side = (across) => Math.min(...LeNetFigure.cell(canvas, window, across));
        return Array.from({ length: window.count }, (_, i) => i + 1).reduce((best, i) => (side(i) > side(best) ? i : best), 1);
    }

    static drawNumbers(canvas, numbers, window, largest) {
        const { count, rows, columns, across } = window;
        const sharp = devicePixelRatio;
        Object.assign(canvas, { width: canvas.clientWidth * sharp, height: canvas.clientHeight * sharp });
        const context = canvas.getContext("2d");
        context.scale(sharp, sharp);
        const cell = LeNetFigure.cell(canvas, window, across);
        // Those of a single map may be longer than they are wide, or wider.
        const most = (count === 1 ? 2.5 : 1) * Math.min(...cell);
        const [wide, tall] = cell.map((side) => Math.min(side, most));
        const fontSize = Math.min(11, tall * 0.6);
        const { fontFamily, color } = getComputedStyle(canvas);
        Object.assign(context, { font: `${fontSize}px ${fontFamily}`, strokeStyle: color, textAlign: "center", textBaseline: "middle" });
        const room = wide > 20 && numbers.every((number) => context.measureText(signed(number)).width + 4 < wide);
        const corner = (map) => [(map % across) * (columns * wide + LeNetFigure.GAP), Math.floor(map / across) * (rows * tall + LeNetFigure.GAP)];
        numbers.forEach((number, i) => {
            const { map, row, column } = LeNetFigure.placeOf({ size: rows * columns, columns }, i);
            const [x, y] = [corner(map)[0] + column * wide, corner(map)[1] + row * tall];
            const colour = pixelColour(number / largest);
            context.fillStyle = `rgb(${colour})`;
            const [left, top] = [x, y].map((side) => Math.round(side * sharp) / sharp);  // without seams
            context.fillRect(left, top, Math.round((x + wide) * sharp) / sharp - left, Math.round((y + tall) * sharp) / sharp - top);
            if (room) {
                context.fillStyle = colour[1] > 110 ? "black" : "white";
                context.fillText(signed(number), x + wide / 2, y + tall / 2);
            }
        });
        for (let map = 0; map < count; map += 1) {
            context.strokeRect(...corner(map).map((side) => side + 0.5), columns * wide - 1, rows * tall - 1);
        }
    }

    // Pointing at units, and walking from one to the next.

    unitAt(layer, event) {
        const { maps, size, columns, rows, element } = this.layers[layer];
        if (!maps.length) {
            return [...element.querySelectorAll("li")].indexOf(event.target.closest("li"));
        }
        const map = maps.indexOf(event.target.closest(".pixels"));
        if (map < 0) {
            return -1;
        }
        const { x, y } = pointOn(maps[map].querySelector("canvas"), event);
        return map * size + Math.floor(y * rows) * columns + Math.floor(x * columns);
    }

    // The unit in a row and a column of all maps of a layer together.
    static unitIn({ across, rows, columns, size }, y, x) {
        const map = Math.floor(y / rows) * across + Math.floor(x / columns);
        return map * size + (y % rows) * columns + (x % columns);
    }

    static extent = ({ across, count, rows, columns }) => ({ height: Math.ceil(count / across) * rows, width: across * columns });

    // Beyond its first or last row, a layer is left for the one before or after, at the same share of the width.
    walk(down, right) {
        const { layer, index } = this.unit;
        const own = this.layers[layer];
        const { map, row, column } = LeNetFigure.placeOf(own, index);
        const { height, width } = LeNetFigure.extent(own);
        const y = Math.floor(map / own.across) * own.rows + row + down;
        const x = Math.min(Math.max((map % own.across) * own.columns + column + right, 0), width - 1);
        if (y >= 0 && y < height) {
            this.choose(layer, LeNetFigure.unitIn(own, y, x));
        } else {
            this.enter(layer + Math.sign(down), (x + 0.5) / width, down < 0);
        }
    }

    enter(layer, share, fromBelow) {
        const own = this.layers[layer];
        if (own) {
            const { height, width } = LeNetFigure.extent(own);
            this.choose(layer, LeNetFigure.unitIn(own, fromBelow ? height - 1 : 0, Math.floor(share * width)));
            own.element.focus();
        }
    }

    listenToUnits() {
        const keys = {
            ArrowUp: () => this.walk(-1, 0),
            ArrowDown: () => this.walk(1, 0),
            ArrowLeft: () => this.walk(0, -1),
            ArrowRight: () => this.walk(0, 1),
            PageUp: () => this.enter(this.unit.layer - 1, 0, false),
            PageDown: () => this.enter(this.unit.layer + 1, 0, false),
            Home: () => this.choose(this.unit.layer, 0),
            End: (own) => this.choose(this.unit.layer, own.count * own.size - 1),
        };
        this.layers.forEach((own, layer) => {
            const point = (event) => {
                const index = this.unitAt(layer, event);
                if (index >= 0 && (layer !== this.unit.layer || index !== this.unit.index)) {
                    this.choose(layer, index);
                }
            };
            own.element.addEventListener("click", point);
            own.element.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") point(event); });
            own.element.addEventListener("keydown", (event) => {
                if (event.key in keys && !isShortcut(event)) {
                    event.preventDefault();
                    keys[event.key](own);
                }
            });
        });
        new ResizeObserver(() => { if (this.probabilities) this.explain(); }).observe(this.find(".products"));
    }
}

new LeNetFigure(document.getElementById("lenet"));
