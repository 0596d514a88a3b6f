"""Measure the training of LeNet in a page: beside ConvNetJS, and as readers get it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from theme.training import ACTIVATIONS, SCRIPTS, STATIC, to_html

CONVNETJS = "convnetjs@0.3.0"
ROUNDS = 5  # in turns, so that what else the machine does meets both
SECONDS = 30
ALONE = """async ([activation, rounds]) => {
    const run = trainingRun(networkLibrary());
    const stepsPerEpoch = await run.load(fashionMnist);
    run.begin({ activation, initialization: "Glorot", seed: 0 });
    const ours = () => run.train({ steps: 20, learningRate: 0.1, evaluate: false }).images;

    const net = new convnetjs.Net();
    const own = { activation: activation.toLowerCase() };
    net.makeLayers([
        { type: "input", out_sx: 28, out_sy: 28, out_depth: 1 },
        { type: "conv", sx: 5, filters: 6, stride: 1, pad: 2, ...own },
        { type: "pool", sx: 2, stride: 2 },
        { type: "conv", sx: 5, filters: 16, stride: 1, pad: 0, ...own },
        { type: "pool", sx: 2, stride: 2 },
        { type: "fc", num_neurons: 120, ...own },
        { type: "fc", num_neurons: 84, ...own },
        { type: "softmax", num_classes: 10 },
    ]);
    const trainer = new convnetjs.SGDTrainer(net, { learning_rate: 0.1, momentum: 0, batch_size: 32, l2_decay: 0 });
    const images = Array.from({ length: 160 }, () => {
        const image = new convnetjs.Vol(28, 28, 1, 0);
        image.w.forEach((_, pixel) => { image.w[pixel] = Math.random(); });
        return image;
    });
    const others = () => {
        images.forEach((image, i) => trainer.train(image, i % 10));
        return images.length;
    };

    const best = { ours: 0, convnetjs: 0 };
    for (let round = 0; round <= rounds; round += 1) {
        for (const [name, train] of Object.entries({ ours, convnetjs: others })) {
            const start = performance.now();
            const rate = (1000 * train()) / (performance.now() - start);
            best[name] = round ? Math.max(best[name], rate) : 0; // the first round is the compiler's
        }
    }
    return best;
}"""
START = """async () => {
    window.longest = 0;
    new PerformanceObserver((list) => {
        longest = Math.max(longest, ...list.getEntries().map(({ duration }) => duration));
    }).observe({ type: "longtask" });
    const live = document.querySelector(".live");
    live.hidden = false;
    window.figure = await TrainingFigure.start(live, fashionMnist);
}"""
FOUND = """async () => {
    await figure.pause();
    return {
        rate: parseFloat(document.querySelector(".rate").textContent.replace(",", "")),
        epochs: figure.epochs,
        accuracy: Object.fromEntries(figure.runs.map((run) => [run.activation, run.accuracy.at(-1)[1]])),
        longest_task: longest,
    };
}"""


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """For each activation, images per second of both sides by themselves, and what readers see after `SECONDS`."""
    chromium = shutil.which("chromium")
    if not chromium or not shutil.which("npm"):
        sys.exit("error: the part network needs npm and chromium: Debian's packages of these names")
    print("$", "LeNet in Chromium,", CONVNETJS, flush=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, CONVNETJS]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = _page_with_scripts(browser.new_page())
        (script,) = Path(folder).glob("node_modules/convnetjs/build/convnet.js")
        # It is written for Node.js as well, and for a page takes the name that it finds.
        page.add_script_tag(content=f"var convnetjs = {{}}; {script.read_text('utf-8')}")
        alone = {activation: page.evaluate(ALONE, [activation, ROUNDS]) for activation in ACTIVATIONS}
        page = _page_with_scripts(browser.new_page())
        page.evaluate(START)
        page.wait_for_timeout(1000 * SECONDS)
        together = page.evaluate(FOUND)
        browser.close()
    for activation in ACTIVATIONS:
        yield activation, alone[activation] | together | {"accuracy": together["accuracy"][activation]}


def _page_with_scripts(page: Page) -> Page:
    page.set_content(to_html())
    for name in SCRIPTS:
        page.add_script_tag(path=STATIC / name)
    return page
