// LeNet with sigmoids beside LeNet with ReLUs, trained in the page, each in a worker of its own. theme/training.js
// loads this, network.js and fashion-mnist.js when a reader asks for it; what is filled in is in theme/training.html.

// One network and its training, as it runs in a worker. All is in one function, as in network.js, because of its text.
globalThis.trainingRun = ({ Network, Random }) => {
    const BATCH_SIZE = 32;
    const SIZE = 28 * 28;
    let training;
    let test;
    let network;
    let random;
    let order; // what is left of the epoch
    let step;

    // The images and labels that the next step learns from.
    const upcoming = () => {
        if (order.length < BATCH_SIZE) {
            order = random.shuffle(range(training.labels.length));
        }
        return batch(training, order.slice(0, BATCH_SIZE));
    };

    const range = (n) => Array.from({ length: n }, (_, i) => i);

    // Images and labels as network.js takes them.
    const batch = ({ images, labels }, indices) => {
        const values = new Float32Array(indices.length * SIZE);
        indices.forEach((index, i) => {
            for (let pixel = 0; pixel < SIZE; pixel += 1) {
                values[i * SIZE + pixel] = images[index * SIZE + pixel] / 255;
            }
        });
        return [values, Uint8Array.from(indices, (index) => labels[index])];
    };

    return {
        // Unpacks the images of fashion-mnist.js. Gives the number of steps in an epoch: all whole batches.
        async load({ images, labels, trainingImages }) {
            const packed = Uint8Array.from(atob(images), (byte) => byte.charCodeAt(0));
            const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
            const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
            const part = (first, last = labels.length) => {
                return { images: bytes.subarray(first * SIZE, last * SIZE), labels: labels.slice(first, last) };
            };
            training = part(0, trainingImages);
            test = batch(part(trainingImages), range(labels.length - trainingImages));
            return Math.floor(trainingImages / BATCH_SIZE);
        },

        begin({ activation, initialization, seed }) {
            network = Network.lenet({ activation, initialization, seed });
            random = new Random(seed);
            order = [];
            step = 0;
        },

        // Takes so many steps. Gives how many there have been, the average loss of these, and the accuracy after them,
        // if asked for. Before the first step, the loss is that of the batch that it will learn from.
        train({ steps, learningRate, evaluate }) {
            let loss = steps + step > 0 ? 0 : network.evaluate(...upcoming()).loss;
            for (let i = 0; i < steps; i += 1) {
                loss += network.train(...upcoming(), learningRate).loss / steps;
                order = order.slice(BATCH_SIZE);
            }
            step += steps;
            const accuracy = evaluate ? network.evaluate(...test).correct / test[1].length : null;
            return { step, images: steps * BATCH_SIZE, loss: steps || !step ? loss : null, accuracy };
        },
    };
};

globalThis.TrainingFigure = class TrainingFigure {
    static STEPS = 8; // between two points of a curve of losses: a quarter of a second
    static EPOCHS = 30;
    // Of the axes of epochs, which grow with the curves: where they end, and how far apart ticks are.
    static AXES = [[2, 1], [5, 1], [10, 2], [20, 5], [TrainingFigure.EPOCHS, 10]];
    static SPOKEN = 5; // epochs between two messages to those who do not see the curves

    // The last values of curves, where there are any.
    static number = (curve) => (curve.length ? curve.at(-1)[1].toFixed(2).replace("NaN", "lost") : "");
    static percent = (curve) => (curve.length ? `${(100 * curve.at(-1)[1]).toFixed(0)}%` : "");

    static PLOTS = [
        {
            name: "loss",
            title: "Loss of training batches",
            inWords: TrainingFigure.number,
            ticks: ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"],
        },
        {
            name: "accuracy",
            title: "Accuracy on test images",
            inWords: TrainingFigure.percent,
            ticks: ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"],
        },
    ];
    static AREA = { left: 30, right: 290, top: 32, bottom: 168 }; // within a picture of 300 by 204

    static async start(live, images) {
        const figure = new TrainingFigure(live);
        [figure.stepsPerEpoch] = await figure.ask("load", () => images);
        figure.stepsPerTest = figure.stepsPerEpoch / 2;
        figure.reset();
        figure.listen();
        figure.train();
        return figure;
    }

    constructor(live) {
        this.find = (selector) => live.querySelector(selector);
        this.form = this.find("form");
        this.plots = live.querySelectorAll(".plots svg");
        this.runs = [...live.querySelectorAll("tbody tr")].map((row) => {
            const worker = TrainingFigure.makeWorker();
            return { activation: row.className, cells: row.querySelectorAll("td"), worker };
        });
        this.turn = 0; // every start and stop is one: who was at work in the last one ends
    }

    // From text, since a page that was opened from a folder may not take a file for it.
    static makeWorker() {
        const code = `const run = (${trainingRun})((${networkLibrary})());
            onmessage = async ({ data: [name, message] }) => postMessage(await run[name](message));
            onunhandledrejection = ({ reason }) => setTimeout(() => { throw reason; });`;
        const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
        const worker = new Worker(address);
        URL.revokeObjectURL(address);
        const asked = [];
        worker.onmessage = ({ data }) => asked.shift().resolve(data);
        worker.onerror = (event) => {
            event.preventDefault();
            const error = new Error(event.message || "the browser has refused a worker");
            asked.splice(0).forEach(({ reject }) => reject(error));
        };
        worker.ask = (...message) => new Promise((resolve, reject) => {
            asked.push({ resolve, reject });
            worker.postMessage(message);
        });
        return worker;
    }

    // What both answer. They are asked for every few steps, and for the next ones when both have answered: so they stay
    // side by side, and rest when nobody asks.
    ask(name, message) {
        return Promise.all(this.runs.map((run) => run.worker.ask(name, message(run))));
    }

    listen() {
        const { run, step } = this.form.elements;
        run.addEventListener("click", () => (this.running ? this.pause() : this.train()));
        step.addEventListener("click", () => this.takeStep());
        this.form.addEventListener("submit", (event) => event.preventDefault());
        this.form.addEventListener("reset", () => setTimeout(() => this.reset())); // the event comes before the values
        this.form.addEventListener("change", () => {
            const { running } = this;
            this.reset();
            if (running) {
                this.train();
            }
        });
    }

    // Both networks as they are before their first step, with what is chosen now.
    reset() {
        this.stop();
        this.step = 0;
        this.began = {};
        this.runs.forEach((run) => Object.assign(run, { loss: [], accuracy: [] }));
        const initialization = this.form.elements.initialization.value;
        const begin = ({ activation }) => ({ activation, initialization, seed: 0 });
        this.ask("begin", begin).catch((error) => this.fail(error));
        this.say("Both networks are as they were before their first step.");
        this.speak("");
        this.find(".rate").textContent = "";
        this.draw();
        this.advance(0);
    }

    async train() {
        this.renew();
        const turn = this.stop();
        const since = performance.now();
        let images = 0;
        this.show(true);
        this.say(this.step ? "Both are training." : `Training from the first step: ${this.setting}.`);
        while (turn === this.turn && this.step < this.last) {
            const left = this.stepsPerTest - (this.step % this.stepsPerTest);
            images += await this.advance(Math.min(TrainingFigure.STEPS, left));
            if (turn === this.turn) {
                const rate = Math.round((1000 * images) / (performance.now() - since));
                this.find(".rate").textContent = `${rate.toLocaleString("en")} images per second, both together`;
                if (this.epochs % TrainingFigure.SPOKEN === 0 && this.step < this.last) {
                    this.speak(this.found("So far"));
                }
            }
        }
        if (turn === this.turn) {
            this.stop();
            this.say(this.found("Finished"));
        }
    }

    pause() {
        return this.rest(0, "Paused");
    }

    takeStep() {
        this.renew();
        return this.rest(1, "One step further");
    }

    // Nothing is asked for beyond these steps.
    async rest(steps, what) {
        const turn = this.stop();
        await this.advance(steps);
        if (turn === this.turn) {
            this.say(this.found(what));
        }
    }

    // After the last epoch, a training can only be another one.
    renew() {
        if (this.step >= this.last) {
            this.reset();
        }
    }

    stop() {
        this.show(false);
        this.turn += 1;
        return this.turn;
    }

    show(running) {
        this.running = running;
        this.form.elements.run.textContent = running ? "Pause" : "Start";
    }

    // Takes so many steps and shows where they lead. Gives the number of images that were learned from.
    async advance(steps) {
        const { began } = this;
        const learningRate = Number(this.form.elements.rate.value);
        const evaluate = steps < 2 || (this.step + steps) % this.stepsPerTest === 0;
        try {
            const answers = await this.ask("train", () => ({ steps, learningRate, evaluate }));
            if (began !== this.began) {
                return 0; // was asked for before a reset
            }
            answers.forEach((answer, i) => {
                this.step = answer.step;
                for (const { name } of TrainingFigure.PLOTS) {
                    if (answer[name] !== null) {
                        this.runs[i][name].push([this.epochs, answer[name]]);
                    }
                }
            });
            this.draw();
            return answers.reduce((sum, { images }) => sum + images, 0);
        } catch (error) {
            this.fail(error);
            return 0;
        }
    }

    get setting() {
        const { rate, initialization } = this.form.elements;
        return `learning rate ${rate.value}, ${initialization.selectedOptions[0].textContent}`;
    }

    get epochs() {
        return this.step / this.stepsPerEpoch;
    }

    get last() {
        return TrainingFigure.EPOCHS * this.stepsPerEpoch;
    }

    // Words.

    say(words) {
        this.find("[role=status]").textContent = words;
    }

    // Only to those who do not see the table, which soon has other numbers.
    speak(words) {
        this.find(".spoken").textContent = words;
    }

    fail({ message }) {
        this.stop();
        this.say(`Training has broken off: ${message}. Reload the page to try again.`);
    }

    found(what) {
        const correct = this.runs.map((run) => `${run.activation} ${TrainingFigure.percent(run.accuracy)}`);
        const lost = this.runs.filter(({ loss }) => loss.length && !Number.isFinite(loss.at(-1)[1]));
        return [
            `${what}, after ${this.inSteps()}. Accuracy on test images: ${correct.join(", ")}.`,
            ...lost.map((run) => `${run.activation} has diverged, and is lost: reset, with a smaller learning rate.`),
        ].join(" ");
    }

    inSteps() {
        const steps = `${this.step.toLocaleString("en")} ${this.step === 1 ? "step" : "steps"}`;
        const epochs = Number(this.epochs.toFixed(1));
        return epochs < 1 ? steps : `${steps} (${epochs} ${epochs === 1 ? "epoch" : "epochs"})`;
    }

    // Both plots, as far as the curves have come. Losses beyond the axis run along its edge.
    draw() {
        const { left, right, top, bottom } = TrainingFigure.AREA;
        const [end, every] = TrainingFigure.AXES.find(([end]) => end >= this.epochs);
        const x = (epoch) => left + ((right - left) * epoch) / end;
        TrainingFigure.PLOTS.forEach(({ name, title, inWords, ticks }, i) => {
            const y = (value) => bottom - ((bottom - top) * Math.min(value, ticks.at(-1))) / ticks.at(-1);
            const marks = [
                `<text x="0" y="14" class="title">${title}</text>`,
                ...ticks.map((tick) => `<path class="grid" d="M${left} ${y(tick)}H${right}"/>
                    <text x="${left - 6}" y="${y(tick) + 4}" class="left">${tick}</text>`),
                ...Array.from({ length: end / every + 1 }, (_, tick) => tick * every).map((epoch) => `
                    <text x="${x(epoch)}" y="${bottom + 17}" class="below">${epoch}</text>`),
                `<text x="${(left + right) / 2}" y="${bottom + 34}" class="below">epochs</text>`,
            ];
            const curves = this.runs.map((run) => {
                const points = run[name].filter(([, value]) => Number.isFinite(value));
                const places = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`);
                const [cx, cy] = places.at(-1)?.split(",") ?? [];
                const head = cx ? `<circle class="${run.activation}" cx="${cx}" cy="${cy}"/>` : "";
                return `<polyline class="${run.activation}" points="${places.join(" ")}"/>${head}`;
            });
            const known = this.runs.filter((run) => run[name].length);
            const values = known.map((run) => `${run.activation} ${inWords(run[name])}`);
            this.plots[i].innerHTML = [...marks, ...curves].join("");
            const label = `${title} after ${this.inSteps()}: ${values.join(", ") || "none yet"}`;
            this.plots[i].setAttribute("aria-label", label);
        });
        this.find("caption").textContent = `After ${this.inSteps()}`;
        this.runs.forEach((run) => TrainingFigure.PLOTS.forEach(({ name, inWords }, i) => {
            run.cells[i].textContent = inWords(run[name]);
        }));
    }
};
