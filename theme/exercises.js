// The button that opens all answers of a page, and closes them when all are open.

function startOpenAll() {
    const button = document.querySelector(".open-all button");
    const answers = [...document.querySelectorAll("details.answer")];
    const areOpen = () => answers.every((answer) => answer.open);
    const show = () => { button.textContent = areOpen() ? "Close all answers" : "Open all answers"; };
    if (button) {
        button.addEventListener("click", () => {
            const wanted = !areOpen();
            answers.forEach((answer) => { answer.open = wanted; });
        });
        addEventListener("toggle", show, { capture: true });
        show();
    }
}

startOpenAll();
