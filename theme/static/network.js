// Small convolutional networks that compute and learn in the page, over plain Float32Arrays.
//
// All is in one function, because workers need its text: pages opened from a folder cannot load a worker from a file, but
// can make one of a script that they have. In the page, in a worker and in Node: const { Network } = networkLibrary();
//
// Images and all that layers compute are (image, channel, row, column), weights (output, input, row, column), one after
// the other as in PyTorch.

globalThis.networkLibrary = () => {
    // C = A B, or C += A B, for matrices given as [numbers, first, from row to row, from column to column]: a transpose
    // is another way to walk. C (rows by columns) has its rows one after the other. Tiles of two by four keep their sums
    // in registers, as doubles, which JavaScript computes with anyway; at the edges a tile writes some numbers twice.
    const multiply = (rows, columns, inner, [a, aFirst, aRow, aInner], [b, bFirst, bInner, bColumn], [c, cFirst], add) => {
        for (let j = 0; j < columns; j += 4) {
            const j1 = Math.min(j + 1, columns - 1);
            const j2 = Math.min(j + 2, columns - 1);
            const j3 = Math.min(j + 3, columns - 1);
            for (let i = 0; i < rows; i += 2) {
                const i1 = Math.min(i + 1, rows - 1);
                const c0 = cFirst + i * columns;
                const c1 = cFirst + i1 * columns;
                let s00 = 0;
                let s01 = 0;
                let s02 = 0;
                let s03 = 0;
                let s10 = 0;
                let s11 = 0;
                let s12 = 0;
                let s13 = 0;
                let p0 = aFirst + i * aRow;
                let p1 = aFirst + i1 * aRow;
                let q0 = bFirst + j * bColumn;
                let q1 = bFirst + j1 * bColumn;
                let q2 = bFirst + j2 * bColumn;
                let q3 = bFirst + j3 * bColumn;
                for (let k = 0; k < inner; k += 1) {
                    const a0 = a[p0];
                    const a1 = a[p1];
                    const b0 = b[q0];
                    const b1 = b[q1];
                    const b2 = b[q2];
                    const b3 = b[q3];
                    s00 += a0 * b0;
                    s01 += a0 * b1;
                    s02 += a0 * b2;
                    s03 += a0 * b3;
                    s10 += a1 * b0;
                    s11 += a1 * b1;
                    s12 += a1 * b2;
                    s13 += a1 * b3;
                    p0 += aInner;
                    p1 += aInner;
                    q0 += bInner;
                    q1 += bInner;
                    q2 += bInner;
                    q3 += bInner;
                }
                if (add) {
                    s00 += c[c0 + j];
                    s01 += c[c0 + j1];
                    s02 += c[c0 + j2];
                    s03 += c[c0 + j3];
                    s10 += c[c1 + j];
                    s11 += c[c1 + j1];
                    s12 += c[c1 + j2];
                    s13 += c[c1 + j3];
                }
                c[c0 + j] = s00;
                c[c0 + j1] = s01;
                c[c0 + j2] = s02;
                c[c0 + j3] = s03;
                c[c1 + j] = s10;
                c[c1 + j1] = s11;
                c[c1 + j2] = s12;
                c[c1 + j3] = s13;
            }
        }
    };

    const product = (shape) => shape.reduce((whole, side) => whole * side, 1);

    // Random numbers from a seed, so that a run can be repeated: Marsaglia's xorshift.
    class Random {
        constructor(seed) {
            this.state = Math.imul(seed + 1, 0x9e3779b1) || 1; // never zero, and neighbouring seeds lie far apart
            for (let i = 0; i < 8; i += 1) {
                this.uniform();
            }
        }

        uniform() {
            this.state ^= this.state << 13;
            this.state ^= this.state >>> 17;
            this.state ^= this.state << 5;
            return (this.state >>> 0) / 2 ** 32;
        }

        // After Box and Muller. Zero is never drawn, since the state is never zero.
        normal() {
            return Math.sqrt(-2 * Math.log(this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
        }

        shuffle(list) {
            for (let i = list.length - 1; i > 0; i -= 1) {
                const j = Math.floor(this.uniform() * (i + 1));
                [list[i], list[j]] = [list[j], list[i]];
            }
            return list;
        }
    }

    // How weights are drawn for a layer where each output has so many inputs, and each input so many outputs.
    const INITIALIZATIONS = {
        Glorot: (random, inputs, outputs) => {
            const limit = Math.sqrt(6 / (inputs + outputs));
            return () => limit * (2 * random.uniform() - 1);
        },
        He: (random, inputs) => {
            const scale = Math.sqrt(2 / inputs);
            return () => scale * random.normal();
        },
        small: (random) => () => 0.01 * random.normal(),
    };

    // Activations, and their derivatives, from what they gave out.
    const ACTIVATIONS = {
        sigmoid: { of: (x) => 1 / (1 + Math.exp(-x)), derivative: (y) => y * (1 - y) },
        tanh: { of: Math.tanh, derivative: (y) => 1 - y * y },
        ReLU: { of: (x) => (x > 0 ? x : 0), derivative: (y) => (y > 0 ? 1 : 0) },
    };

    // A layer has `name`, the `shape` of what it gives for an image, `parameters`, and two methods. `forward(input, n)`
    // gives its outputs for n images. `backward(gradient, needed)` takes the gradient of the loss for these outputs, leaves
    // those for the parameters beside their values, and gives that for the input, if it is needed. The next call writes
    // over what a method has given.
    class Layer {
        constructor(name, inputShape, shape) {
            Object.assign(this, { name, inputShape, shape, parameters: [], n: 0 });
            [this.inputSize, this.size] = [product(inputShape), product(shape)];
        }

        // Room for n images; what a batch of the same size has had is taken again.
        keep(input, n) {
            this.input = input;
            if (this.n !== n) {
                this.n = n;
                this.outputs = new Float32Array(n * this.size);
                this.inputGradient = null;
            }
        }

        roomForGradient() {
            this.inputGradient ??= new Float32Array(this.n * this.inputSize);
            return this.inputGradient;
        }

        addParameters(weights, biases) {
            [this.weights, this.biases] = [["weights", weights], ["biases", biases]].map(([name, shape]) => {
                const values = () => new Float32Array(product(shape));
                return { name: `${this.name} ${name}`, shape, values: values(), gradient: values() };
            });
            this.parameters = [this.weights, this.biases];
        }

        initialize(random, initialization) {
            const [outputs, inputs, ...window] = this.weights.shape;
            const draw = INITIALIZATIONS[initialization](random, inputs * product(window), outputs * product(window));
            this.weights.values.forEach((_, i) => { this.weights.values[i] = draw(); });
            this.biases.values.fill(0);
        }
    }

    class Convolution extends Layer {
        constructor(name, inputShape, { channels, window, padding = 0 }) {
            const [inputs, rows, columns] = inputShape;
            const across = (side) => side + 2 * padding - window + 1;
            super(name, inputShape, [channels, across(rows), across(columns)]);
            Object.assign(this, { channels, window, padding });
            this.addParameters([channels, inputs, window, window], [channels]);
            this.inner = inputs * window ** 2;
            this.places = this.size / channels;
            this.indices = Convolution.indices(inputShape, this.shape, window, padding);
            this.unfolded = new Float32Array(this.inner * this.places);
            this.image = new Float32Array(this.inputSize + 1);
        }

        // For each weight of a window a row: the number of an image that it meets at each place, so that a convolution is a
        // product of two matrices. What it meets on the padding is a zero that lies behind the image.
        static indices([inputs, rows, columns], [, height, width], window, padding) {
            const indices = [];
            const within = (at, side) => at >= 0 && at < side;
            for (let weight = 0; weight < inputs * window ** 2; weight += 1) {
                const channel = Math.floor(weight / window ** 2);
                const [down, right] = [Math.floor(weight / window) % window - padding, weight % window - padding];
                for (let place = 0; place < height * width; place += 1) {
                    const [y, x] = [Math.floor(place / width) + down, place % width + right];
                    const inside = within(y, rows) && within(x, columns);
                    indices.push(inside ? (channel * rows + y) * columns + x : inputs * rows * columns);
                }
            }
            return Int32Array.from(indices);
        }

        unfold(image) {
            const { indices, unfolded, image: own } = this;
            own.set(this.input.subarray(image * this.inputSize, (image + 1) * this.inputSize));
            for (let i = 0; i < indices.length; i += 1) {
                unfolded[i] = own[indices[i]];
            }
        }

        // The way back: a number's gradient is the sum of those at all places where windows have met it.
        fold(gradient, inputGradient, image) {
            const { indices, image: own } = this;
            own.fill(0);
            for (let i = 0; i < indices.length; i += 1) {
                own[indices[i]] += gradient[i];
            }
            inputGradient.set(own.subarray(0, this.inputSize), image * this.inputSize);
            own[this.inputSize] = 0;
        }

        forward(input, n) {
            this.keep(input, n);
            const { outputs, size, places, inner, channels } = this;
            const weights = [this.weights.values, 0, inner, 1];
            for (let i = 0; i < n * channels; i += 1) {
                outputs.fill(this.biases.values[i % channels], i * places, (i + 1) * places);
            }
            for (let image = 0; image < n; image += 1) {
                this.unfold(image);
                multiply(channels, places, inner, weights, [this.unfolded, 0, places, 1], [outputs, image * size], true);
            }
            return outputs;
        }

        backward(gradient, needed) {
            const { n, size, inputSize, places, inner, channels, unfolded } = this;
            const weights = [this.weights.values, 0, 1, inner];
            const inputGradient = needed ? this.roomForGradient() : null;
            const unfoldedGradient = needed ? (this.unfoldedGradient ??= new Float32Array(unfolded.length)) : null;
            this.parameters.forEach((parameter) => parameter.gradient.fill(0));
            for (let i = 0; i < n * channels; i += 1) {
                let sum = 0;
                for (let place = i * places; place < (i + 1) * places; place += 1) {
                    sum += gradient[place];
                }
                this.biases.gradient[i % channels] += sum;
            }
            for (let image = 0; image < n; image += 1) {
                const own = [gradient, image * size, places, 1];
                this.unfold(image);
                multiply(channels, inner, places, own, [unfolded, 0, 1, places], [this.weights.gradient, 0], true);
                if (needed) {
                    multiply(inner, places, channels, weights, own, [unfoldedGradient, 0], false);
                    this.fold(unfoldedGradient, inputGradient, image);
                }
            }
            return inputGradient;
        }
    }

    class AveragePooling extends Layer {
        constructor(name, inputShape, { window }) {
            const [channels, rows, columns] = inputShape;
            super(name, inputShape, [channels, Math.floor(rows / window), Math.floor(columns / window)]);
            this.inWindow = window ** 2;
            this.indices = AveragePooling.indices(inputShape, this.shape, window);
        }

        // The numbers of an image in the window of its first output, then of its second, and so on.
        static indices([, rows, columns], [channels, height, width], window) {
            return Int32Array.from({ length: channels * height * width * window ** 2 }, (_, i) => {
                const [output, inside] = [Math.floor(i / window ** 2), i % window ** 2];
                const [row, x] = [Math.floor(output / width), output % width];
                const y = Math.floor(row / height) * rows + (row % height) * window + Math.floor(inside / window);
                return y * columns + x * window + inside % window;
            });
        }

        forward(input, n) {
            this.keep(input, n);
            const { outputs, indices, inWindow, size, inputSize } = this;
            for (let i = 0; i < n * size; i += 1) {
                const first = Math.floor(i / size) * inputSize;
                let sum = 0;
                for (let j = (i % size) * inWindow, end = j + inWindow; j < end; j += 1) {
                    sum += input[first + indices[j]];
                }
                outputs[i] = sum / inWindow;
            }
            return outputs;
        }

        backward(gradient) {
            const inputGradient = this.roomForGradient();
            const { n, indices, inWindow, size, inputSize } = this;
            for (let i = 0; i < n * size; i += 1) {
                const first = Math.floor(i / size) * inputSize;
                for (let j = (i % size) * inWindow, end = j + inWindow; j < end; j += 1) {
                    inputGradient[first + indices[j]] = gradient[i] / inWindow;
                }
            }
            return inputGradient; // zero, from the start, where no window reaches
        }
    }

    class Activation extends Layer {
        constructor(name, inputShape, { activation }) {
            super(name, inputShape, inputShape);
            Object.assign(this, ACTIVATIONS[activation]);
        }

        forward(input, n) {
            this.keep(input, n);
            const { outputs, of } = this;
            for (let i = 0; i < outputs.length; i += 1) {
                outputs[i] = of(input[i]);
            }
            return outputs;
        }

        backward(gradient) {
            const inputGradient = this.roomForGradient();
            const { outputs, derivative } = this;
            for (let i = 0; i < outputs.length; i += 1) {
                inputGradient[i] = gradient[i] * derivative(outputs[i]);
            }
            return inputGradient;
        }
    }

    class Dense extends Layer {
        constructor(name, inputShape, { units }) {
            super(name, inputShape, [units]);
            this.addParameters([units, this.inputSize], [units]);
        }

        forward(input, n) {
            this.keep(input, n);
            const { outputs, size, inputSize } = this;
            const weights = [this.weights.values, 0, 1, inputSize];
            for (let image = 0; image < n; image += 1) {
                outputs.set(this.biases.values, image * size);
            }
            multiply(n, size, inputSize, [input, 0, inputSize, 1], weights, [outputs, 0], true);
            return outputs;
        }

        backward(gradient, needed) {
            const { input, n, size, inputSize } = this;
            const inputs = [input, 0, inputSize, 1];
            multiply(size, inputSize, n, [gradient, 0, 1, size], inputs, [this.weights.gradient, 0], false);
            this.biases.gradient.fill(0);
            for (let i = 0; i < n * size; i += 1) {
                this.biases.gradient[i % size] += gradient[i];
            }
            if (!needed) {
                return null;
            }
            const inputGradient = this.roomForGradient();
            const weights = [this.weights.values, 0, inputSize, 1];
            multiply(n, inputSize, size, [gradient, 0, size, 1], weights, [inputGradient, 0], false);
            return inputGradient;
        }
    }

    // The logarithm of the sum of exponentials, which themselves may be too large for a number.
    const logSumExp = (scores) => {
        const most = Math.max(...scores);
        return most + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - most), 0));
    };

    const softmax = (scores) => {
        const whole = logSumExp(scores);
        return Array.from(scores, (score) => Math.exp(score - whole));
    };

    // The loss of the scores of some images, which is averaged over them; how many of them the largest score names
    // correctly; and the gradient of the loss for the scores.
    const crossEntropy = (scores, labels) => {
        const n = labels.length;
        const classes = scores.length / n;
        const gradient = new Float32Array(scores.length);
        let loss = 0;
        let correct = 0;
        labels.forEach((label, image) => {
            const own = scores.subarray(image * classes, (image + 1) * classes);
            softmax(own).forEach((probability, i) => {
                gradient[image * classes + i] = (probability - (i === label)) / n;
            });
            loss += (logSumExp(own) - own[label]) / n;
            correct += own.indexOf(Math.max(...own)) === label;
        });
        return { loss, correct, gradient };
    };

    class Network {
        // `layers`: [class, name, options] each; `inputShape`: channels, rows and columns of an image.
        constructor(inputShape, layers) {
            this.layers = [];
            for (const [Kind, name, options] of layers) {
                this.layers.push(new Kind(name, this.layers.at(-1)?.shape ?? inputShape, options));
            }
            this.inputSize = product(inputShape);
            this.parameters = this.layers.flatMap(({ parameters }) => parameters);
        }

        static ACTIVATIONS = Object.keys(ACTIVATIONS);
        static INITIALIZATIONS = Object.keys(INITIALIZATIONS);

        // The network of the book's section on LeNet.
        static lenet({ activation = "sigmoid", initialization = "Glorot", seed = 0 } = {}) {
            const activate = (number) => [Activation, `${activation} ${number}`, { activation }];
            const network = new Network([1, 28, 28], [
                [Convolution, "convolution 1", { channels: 6, window: 5, padding: 2 }],
                activate(1),
                [AveragePooling, "pooling 1", { window: 2 }],
                [Convolution, "convolution 2", { channels: 16, window: 5 }],
                activate(2),
                [AveragePooling, "pooling 2", { window: 2 }],
                [Dense, "dense 1", { units: 120 }],
                activate(3),
                [Dense, "dense 2", { units: 84 }],
                activate(4),
                [Dense, "dense 3", { units: 10 }],
            ]);
            network.initialize(new Random(seed), initialization);
            return network;
        }

        initialize(random, initialization) {
            this.layers.filter(({ weights }) => weights).forEach((layer) => layer.initialize(random, initialization));
        }

        // Parameters as lists of numbers: weights and biases of the first layer, of the second, and so on.
        load(lists) {
            if (lists.length !== this.parameters.length) {
                throw new RangeError(`${lists.length} lists of parameters, where the network has ${this.parameters.length}`);
            }
            this.parameters.forEach(({ name, values }, i) => {
                if (lists[i].length !== values.length) {
                    throw new RangeError(`${lists[i].length} numbers for ${name}, which are ${values.length}`);
                }
                values.set(lists[i]);
            });
        }

        // What each layer gives for n images, layer by layer; the last are the scores. Good until the next call.
        forward(images, n) {
            let data = images;
            return this.layers.map((layer) => {
                data = layer.forward(data, n);
                return { name: layer.name, shape: [n, ...layer.shape], data };
            });
        }

        // The loss of a batch and how many of its images are named correctly; leaves its gradients in the parameters.
        backpropagate(images, labels) {
            const { data } = this.forward(images, labels.length).at(-1);
            let { loss, correct, gradient } = crossEntropy(data, labels);
            for (let i = this.layers.length - 1; i >= 0; i -= 1) {
                gradient = this.layers[i].backward(gradient, i > 0);
            }
            return { loss, correct };
        }

        // A step of stochastic gradient descent.
        train(images, labels, learningRate) {
            const found = this.backpropagate(images, labels);
            for (const { values, gradient } of this.parameters) {
                for (let i = 0; i < values.length; i += 1) {
                    values[i] -= learningRate * gradient[i];
                }
            }
            return found;
        }

        // Loss and number of correct images, without learning from them.
        evaluate(images, labels) {
            const { data } = this.forward(images, labels.length).at(-1);
            const { loss, correct } = crossEntropy(data, labels);
            return { loss, correct };
        }
    }

    // Weights that are stored as whole numbers, such as those of an Int8Array, with a scale for each output.
    const dequantize = (values, scales) => {
        const each = values.length / scales.length;
        return Float32Array.from(values, (value, i) => value * scales[Math.floor(i / each)]);
    };

    return { Network, Convolution, AveragePooling, Activation, Dense, Random, softmax, dequantize };
};
