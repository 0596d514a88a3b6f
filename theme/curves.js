// Training curves as a chart: values are read by pointer or keyboard, frameworks are switched on and off. The numbers
// come with the page. Where this does not run, and on paper, the recorded picture stands in its place.

{
    const SVG = "http://www.w3.org/2000/svg";
    // Each framework has a mark besides its colour, for those who do not tell the colours apart.
    const MARKS = JSON.parse(document.getElementById("marks").textContent);
    const MOST_MARKS = 10;
    const MOST_DIGITS = 4; // at an axis, before its numbers have exponents
    const TITLES = { acc: "accuracy" };
    const TABLE = "The values as a table";
    const HANDLE = "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0zM-9-4v8l-5-4zM9-4v8l5-4z";
    const EDGE = { left: 36, right: 16, top: 26, between: 40, bottom: 46 };

    const fill = (element, attributes, children) => {
        Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
        element.append(...children);
        return element;
    };
    const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
    const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

    const largest = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);
    const smallest = (values) => values.reduce((least, value) => Math.min(least, value), Infinity);

    // A number with so many digits behind its point; one that would be long, with an exponent.
    const numeral = (value, digits) => {
        return Math.abs(value) < 1e6 ? value.toFixed(digits) : value.toExponential(digits).replace("e+", "e");
    };

    // An axis from a round number to a round number around the values, with the round numbers between. All is counted
    // in steps of factor * 10 ** power: the round numbers themselves may be too large to be held.
    const axis = (values, most) => {
        const [low, high] = [smallest(values), largest(values)];
        const parts = Math.max(most, 2);
        const least = Math.max(high / parts - low / parts || Math.abs(high) / parts || 1 / parts, 1e-300);
        const power = Math.floor(Math.log10(least));
        const unit = 10 ** power;
        const factor = [1, 2, 5, 10].find((factor) => factor >= (least / unit) * 0.999);
        const steps = (value) => value / unit / factor;
        const first = Math.floor(steps(low) + 1e-6);
        const last = Math.max(Math.ceil(steps(high) - 1e-6), first + 1);
        const share = (value) => (steps(value) - first) / (last - first);
        const digits = Math.max(0, -power - (factor === 10));
        const long = digits > MOST_DIGITS || power + Math.log10(factor * Math.max(-first, last)) > MOST_DIGITS + 1;
        const ticks = Array.from({ length: last - first + 1 }, (_, i) => {
            const count = factor * (first + i);
            const [mantissa, exponent] = count.toExponential().split("e");
            const text = long ? `${mantissa}e${Number(exponent) + power}` : (count * unit).toFixed(digits);
            return { share: i / (last - first), text: count ? text : "0" };
        });
        return { ticks, share };
    };

    // What one framework has recorded; a value that training lost is left out.
    const readRun = (box) => {
        const panel = box.closest(".panel");
        const { xlabel, curves, run } = JSON.parse(box.querySelector("script").textContent);
        const { framework } = panel.dataset;
        // Halves are rounded up, also those that lie a little lower in binary: 0.725 as 1.725.
        const rounded = (x) => Number((x + 1e-9).toFixed(2));
        const known = (pairs) => pairs.filter((pair) => !pair.includes(null)).map(([x, y]) => ({ x: rounded(x), y }));
        const end = largest([run?.epochs ?? 0, ...Object.values(curves).flat().map(([x]) => rounded(x))]);
        const frameworks = Object.keys(MARKS);
        return {
            box,
            xlabel: xlabel ?? "x",
            framework,
            name: panel.querySelector(".framework").textContent,
            note: run?.note ?? "",
            end,
            ended: `ended after ${xlabel ?? "x"} ${end}`,
            mark: MARKS[framework],
            colour: `--run: var(--run-${framework})`,
            stagger: frameworks.indexOf(framework) / frameworks.length,
            curves: new Map(Object.entries(curves).map(([name, pairs]) => [name, known(pairs)])),
        };
    };
    const called = (run, between, after = "") => (run.note ? `${run.name}${between}${run.note}${after}` : run.name);
    const points = (run) => [...run.curves.values()].flat();
    // By the names that trainers give to curves, such as train_loss and val_acc.
    const quantity = (name) => name.split("_").at(-1);
    const kind = (name) => (name.startsWith("train") ? "train" : "val");
    // Of several curves of a kind in one plot, those after the first have dashes of their own.
    const DASHES = ["", "9 3", "2 2", "9 3 2 3", "12 3 2 3 2 3", "4 4"];
    const curve = (name, d, turn = 0) => {
        const dashes = turn ? { style: `stroke-dasharray: ${DASHES[1 + (turn - 1) % (DASHES.length - 1)]}` } : {};
        return svg("path", { class: `curve ${kind(name)}`, d, ...dashes });
    };
    const mark = (name, d, attributes) => svg("path", { class: `mark ${kind(name)}`, d, ...attributes });
    const sample = (viewBox, ...drawn) => svg("svg", { class: "sample", viewBox, "aria-hidden": "true" }, ...drawn);
    const text = (x, y, words, attributes) => svg("text", { x, y, ...attributes }, words);

    // One training cell in the frameworks that have recorded it.
    class Chart {
        constructor(runs) {
            this.runs = runs;
            this.xlabel = runs[0].xlabel;
            const names = [...new Set(runs.flatMap(({ curves }) => [...curves.keys()]))];
            this.plots = [...new Set(names.map(quantity))].map((title) => {
                const own = names.filter((name) => quantity(name) === title);
                const points = runs.flatMap(({ curves }) => own.flatMap((name) => curves.get(name) ?? []));
                return { title: TITLES[title] ?? title, names: own, values: points.map(({ y }) => y) };
            });
            this.names = this.plots.flatMap((plot) => plot.names);
            this.turns = new Map(this.plots.flatMap(({ names }) => names.map((name) => {
                return [name, names.filter((other) => kind(other) === kind(name)).indexOf(name)];
            })));
            this.stops = [...new Set(runs.flatMap(points).map(({ x }) => x))].sort((a, b) => a - b);
            this.at = this.stops.length - 1;
            this.shown = new Set();
            this.build();
            this.follow();
            new ResizeObserver(() => this.draw()).observe(this.picture); // also when an answer opens around it
        }

        build() {
            // Room for more plots than two, which is what trainers draw.
            const height = 21 + 7 * Math.max(0, this.plots.length - 2);
            this.picture = svg("svg", { role: "img", style: `height: ${height}rem` });
            this.slider = html("input", { type: "range", max: this.at, value: this.at, "aria-label": this.xlabel });
            this.slider.addEventListener("input", () => this.choose(this.slider.valueAsNumber));
            for (const event of ["pointerdown", "pointermove"]) {
                this.picture.addEventListener(event, ({ clientX }) => this.choose(this.nearest(clientX)));
            }
            this.picture.addEventListener("click", () => this.slider.focus({ preventScroll: true }));
            const details = html("details", {}, html("summary", {}, TABLE));
            details.addEventListener("toggle", () => details.append(this.makeTable()), { once: true });
            const plot = html("div", { class: "plot" }, this.slider, this.picture);
            this.element = html("div", { class: "chart" }, plot, this.makeReading(), details);
        }

        // The table beside is the key to the chart, has the switches, and says the values: nothing covers a curve.
        makeReading() {
            const rows = this.runs.map((run) => {
                run.switch = html("input", { type: "checkbox" });
                run.switch.addEventListener("change", () => {
                    this.shown[run.switch.checked ? "add" : "delete"](run);
                    this.draw();
                });
                run.cells = this.names.map(() => html("td"));
                const name = html("span", {}, run.name, ...(run.note ? [html("small", {}, " ", run.note)] : []));
                const label = html("label", {}, run.switch, sample("-6 -6 12 12", mark("", run.mark)), name);
                return html("tr", { style: run.colour }, html("th", { scope: "row" }, label), ...run.cells);
            });
            const columns = this.names.map((name) => {
                const line = sample(
                    "-14 -6 28 12", curve(name, "M-14 0h28", this.turns.get(name)), mark(name, Object.values(MARKS)[0]),
                );
                return html("th", { scope: "col" }, line, name);
            });
            this.heading = html("th", { scope: "col" });
            const head = html("thead", {}, html("tr", {}, this.heading, ...columns));
            const label = "Values at the line";
            return html("table", { class: "reading", "aria-label": label }, head, html("tbody", {}, ...rows));
        }

        // The chart stands in the panel of the page's framework, and says where its run had come to in the end. A
        // comparison that the reader has made stays, and so does the place.
        follow() {
            const run = this.runs.find(({ framework }) => framework === document.documentElement.dataset.framework);
            if (run) {
                this.shown = new Set(this.shown.size > 1 ? [...this.shown, run] : [run]);
                run.box.append(this.element);
                if (!this.chosen) {
                    this.at = this.stops.findLastIndex((stop) => stop <= run.end);
                }
                this.draw();
            }
        }

        draw() {
            this.runs.forEach((run) => { run.switch.checked = this.shown.has(run); });
            const { width, height } = this.picture.getBoundingClientRect();
            if (!width) {
                return; // within an answer that is closed
            }
            this.reader = svg("g", { class: "reader" });
            this.picture.replaceChildren(...this.drawAxes(width, height), this.reader, ...this.drawCurves());
            const titles = this.plots.map(({ title }) => title).join(" and ");
            const names = this.runs.filter((run) => this.shown.has(run)).map((run) => called(run, " (", ")"));
            this.picture.setAttribute("aria-label", `${titles} by ${this.xlabel}: ${names.join(", ") || "none"}`);
            this.read(this.at);
        }

        // One plot above the other. All frameworks count, shown or not: nothing moves when one is switched on.
        drawAxes(width, height) {
            const bottom = height - EDGE.bottom;
            const shares = this.plots.map((_, i) => (i ? 2 : 3));
            const room = bottom - EDGE.top - EDGE.between * (this.plots.length - 1);
            const part = room / shares.reduce((sum, share) => sum + share);
            const axes = this.plots.map((plot, i) => {
                // Accuracies have one scale everywhere, so that charts can be compared.
                const ends = plot.title === TITLES.acc ? [0, 1] : [];
                return axis([...plot.values, ...ends], shares[i] * part / 32);
            });
            const longest = largest(axes.flatMap(({ ticks }) => ticks.map(({ text }) => text.length)));
            const left = Math.max(EDGE.left, 12 + 8 * longest);
            const across = axis([0, ...this.stops], (width - EDGE.right - left) / 40);
            const right = width - Math.max(EDGE.right, 2 + 4 * across.ticks.at(-1).text.length);
            let base = EDGE.top - EDGE.between;
            const drawn = this.plots.flatMap((plot, i) => {
                const size = shares[i] * part;
                const y = (base += EDGE.between + size);
                plot.y = (value) => y - axes[i].share(value) * size;
                const title = text(0, y - size - 12, plot.title, { class: "title" });
                const lines = axes[i].ticks.flatMap(({ share, text: words }) => [
                    svg("path", { class: "grid", d: `M${left} ${y - share * size}H${right}` }),
                    text(left - 8, y - share * size + 4, words, { "text-anchor": "end" }),
                ]);
                return [title, ...lines];
            });
            this.x = (value) => left + across.share(value) * (right - left);
            const ticks = across.ticks.flatMap(({ share, text: words }) => {
                const x = left + share * (right - left);
                return [
                    svg("path", { class: "grid", d: `M${x} ${bottom}v5` }),
                    text(x, bottom + 20, words, { "text-anchor": "middle" }),
                ];
            });
            return [...drawn, ...ticks, text((left + right) / 2, height - 4, this.xlabel, { "text-anchor": "middle" })];
        }

        drawCurves() {
            const shown = this.runs.filter((run) => this.shown.has(run));
            shown.sort((a, b) => a.box.contains(this.element) - b.box.contains(this.element)); // the page's own on top
            return shown.flatMap((run) => this.plots.flatMap((plot) => plot.names.map((name) => {
                const places = (run.curves.get(name) ?? []).map(({ x, y }) => `${this.x(x)} ${plot.y(y)}`);
                const every = Math.ceil(places.length / MOST_MARKS);
                const marked = places.filter((_, i) => i % every === Math.floor(every * run.stagger));
                const marks = marked.map((place) => mark(name, run.mark, { transform: `translate(${place})` }));
                const line = places.length > 1 ? [curve(name, `M${places.join("L")}`, this.turns.get(name))] : [];
                return svg("g", { style: run.colour }, ...line, ...marks);
            })));
        }

        nearest(clientX) {
            const { left } = this.picture.getBoundingClientRect();
            const away = this.stops.map((stop) => Math.abs(left + this.x(stop) - clientX));
            return away.indexOf(Math.min(...away));
        }

        choose(at) {
            this.chosen = true;
            this.read(at);
        }

        // Says what each curve had come to at a stop: its last value until then, ringed in the picture. A run that had
        // ended by then has no value there.
        read(at) {
            this.at = this.slider.value = at;
            const stop = this.stops[at];
            const bottom = this.picture.getBoundingClientRect().height - EDGE.bottom;
            const line = svg("path", { class: "line", d: `M0 ${EDGE.top}V${bottom}` });
            const handle = svg("path", { class: "handle", d: HANDLE, transform: `translate(0 ${bottom})` });
            this.reader.replaceChildren(svg("g", { transform: `translate(${this.x(stop)})` }, line, handle));
            this.heading.textContent = `${this.xlabel} ${stop}`;
            const said = [stop];
            for (const run of this.runs) {
                const ended = stop > run.end;
                const words = this.plots.flatMap((plot) => plot.names.map((name) => {
                    const point = ended ? null : run.curves.get(name)?.findLast(({ x }) => x <= stop);
                    if (!point || !this.shown.has(run)) {
                        return this.shown.has(run) ? "–" : "";
                    }
                    const place = { cx: this.x(point.x), cy: plot.y(point.y) };
                    this.reader.append(svg("circle", { class: "ring", r: 8, style: run.colour, ...place }));
                    return numeral(point.y, 3);
                }));
                const over = ended && this.shown.has(run);
                const texts = over ? [run.ended, ...words.slice(1).fill("")] : words;
                run.cells.forEach((cell, i) => {
                    cell.textContent = texts[i];
                    cell.colSpan = over && !i ? words.length : 1;
                    cell.hidden = over && i > 0;
                });
                const values = this.names.map((name, i) => `${name} ${words[i]}`).filter((_, i) => /\d/.test(words[i]));
                const told = over ? run.ended : values.join(", ");
                said.push(...(told ? [`${called(run, " (", ")")} ${told}`] : []));
            }
            this.slider.setAttribute("aria-valuetext", said.join("; "));
        }

        makeTable() {
            const value = (points, stop) => {
                const point = points.find(({ x }) => x === stop);
                return point ? numeral(point.y, 4) : "";
            };
            const span = this.names.length;
            const groups = this.runs.map((run) => html("th", { scope: "colgroup", colspan: span }, called(run, ", ")));
            const names = this.runs.flatMap(() => this.names.map((name) => html("th", { scope: "col" }, name)));
            // After a run's end, one cell down to the last row says that it has ended.
            const rows = this.stops.map((stop, at) => {
                const cells = this.runs.flatMap((run) => {
                    if (stop <= run.end) {
                        return this.names.map((name) => html("td", {}, value(run.curves.get(name) ?? [], stop)));
                    }
                    const first = at === 0 || this.stops[at - 1] <= run.end;
                    const room = { class: "ended", colspan: span, rowspan: this.stops.length - at };
                    return first ? [html("td", room, html("span", {}, run.ended))] : [];
                });
                return html("tr", {}, html("th", { scope: "row" }, stop), ...cells);
            });
            const corner = html("th", { scope: "col", rowspan: 2 }, this.xlabel);
            const head = html("thead", {}, html("tr", {}, corner, ...groups), html("tr", {}, ...names));
            const table = html("table", {}, head, html("tbody", {}, ...rows));
            return html("div", { class: "values", tabindex: 0, role: "region", "aria-label": TABLE }, table);
        }
    }

    // A cell may draw on several boards: the first ones of all frameworks belong together, then the second ones.
    const start = (group) => {
        const panels = [...group.querySelectorAll(":scope > .panel")];
        const boards = panels.map((panel) => [...panel.querySelectorAll(".curves")]);
        for (let i = 0; boards.some((boxes) => boxes[i]); i++) {
            const runs = boards.flatMap((boxes) => boxes[i] ?? []).map(readRun).filter((run) => points(run).length);
            if (runs.length) {
                const chart = new Chart(runs);
                runs.forEach(({ box }) => box.classList.add("replaced"));
                addEventListener("framework", () => chart.follow());
            }
        }
    };
    new Set([...document.querySelectorAll(".panel:has(.curves)")].map((panel) => panel.parentElement)).forEach(start);
}
