// Figures that come alive load what they need when they come onto the screen: most who open the page read something else.

const staticFolder = new URL(".", document.currentScript.src);

// By a tag, since scripts may not read files of a page that was opened from a folder. An error's message is the address.
function loadScript(name) {
    return new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(name, staticFolder);
        script.addEventListener("load", resolve);
        script.addEventListener("error", () => reject(new Error(script.src)));
        document.head.append(script);
    });
}

// What to say where a script that something needs has not been loaded.
const notLoaded = ({ message }, who) => `${message.split("/").at(-1)}, which ${who} needs, could not be loaded. Reload the page to try again.`;

async function bringToLife(figure) {
    try {
        for (const name of figure.dataset.scripts.split(" ")) {
            await loadScript(name);
        }
    } catch (error) {
        figure.querySelector("[role=status]").textContent = notLoaded(error, "this figure");
    }
}

function startLiveFigures() {
    const observer = new IntersectionObserver((entries) => {
        for (const { isIntersecting, target } of entries) {
            if (isIntersecting) {
                observer.unobserve(target);
                bringToLife(target);
            }
        }
    });
    document.querySelectorAll("[data-scripts]").forEach((figure) => observer.observe(figure));
}

startLiveFigures();
