// The offer to train two networks in the page, below their picture. Code and images are loaded when a reader takes it.

{
    const folder = new URL(".", document.currentScript.src);
    const box = document.querySelector(".training");

    // By a tag, since scripts may not read files of a page that was opened from a folder.
    const load = (name) => new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(name, folder);
        script.onload = resolve;
        script.onerror = () => reject(new Error(`${decodeURI(script.src)} could not be loaded`));
        document.head.append(script);
    });

    const start = async () => {
        const [offer, live] = box.children;
        const status = offer.querySelector("[role=status]");
        const figure = box.previousElementSibling;
        status.textContent = "Loading …";
        try {
            await Promise.all(["network.js", "fashion-mnist.js", "training.js"].map(load));
            await TrainingFigure.start(live, fashionMnist);
            offer.hidden = true;
            live.hidden = false;
            figure.classList.add("trained");
            figure.prepend(live);
            live.querySelector("button").focus({ preventScroll: true });
        } catch ({ message }) {
            status.textContent = `Training cannot start: ${message}. ${box.dataset.remedy}`;
            listen();
        }
    };

    const listen = () => box?.querySelector("button").addEventListener("click", start, { once: true });
    listen();
}
