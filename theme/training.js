// The offer to train two networks in the page, below their picture. Code and images are loaded when a reader takes it.

{
    const box = document.querySelector(".training");

    const load = (name) => loadScript(name).catch(({ message }) => {
        throw new Error(`${decodeURI(message)} could not be loaded`);
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
