// Numbers shown as pixels, for the figures that come alive: black is zero, positive numbers are white, negative ones blue.

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// With a proper minus sign, and without one before what rounds to zero.
function signed(value, digits = 2) {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

// The colour of a number between -1 and 1; img/pixels.py has the same.
function pixelColour(value) {
    const share = Math.min(Math.abs(value), 1);
    return (value >= 0 ? [255, 255, 255] : [100, 175, 255]).map((part) => Math.round(share * part));
}

// Draws numbers, row by row, as one pixel each. Those that are none (NaN) stay transparent.
function drawPixels(canvas, values, width, largest) {
    const height = values.length / width;
    if (canvas.width !== width || canvas.height !== height) {
        Object.assign(canvas, { width, height });
    }
    const image = new ImageData(width, height);
    values.forEach((value, i) => {
        if (!Number.isNaN(value)) {
            image.data.set([...pixelColour(value / largest), 255], 4 * i);
        }
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
}

// The place of a pointer on an element, each coordinate from 0 to 1.
function pointOn(element, event) {
    const box = element.getBoundingClientRect();
    const within = (part) => Math.min(Math.max(part, 0), 1 - 1e-9);
    return { x: within((event.clientX - box.left) / box.width), y: within((event.clientY - box.top) / box.height) };
}
