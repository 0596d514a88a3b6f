"""Write the images that the page's networks learn from, `theme/static/fashion-mnist.js`.

They are the first 2,000 images of Fashion-MNIST's training set and the first 500 of its test set, as they are. Run
`python img/training_images.py` where the data set is.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np

from d2l.fashion_mnist import load_fashion_mnist
from d2l.smoke_profile import Profile

ROOT = Path(__file__).parent.parent
TRAINING, TEST = 2000, 500
HEAD = """\
// Images of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017; MIT licence), a byte for each pixel, packed as zlib does and
// written in base64; img/training_images.py has made this file.
globalThis.fashionMnist = """


def main() -> None:
    """Pack both sets into one list."""
    train, test = load_fashion_mnist(ROOT / "data", Profile())
    images = np.concatenate([train.images[:TRAINING], test.images[:TEST]])
    labels = np.concatenate([train.labels[:TRAINING], test.labels[:TEST]])
    packed = base64.b64encode(zlib.compress(images.tobytes(), 9)).decode()
    data = {"trainingImages": TRAINING, "labels": labels.tolist(), "images": packed}
    path = ROOT / "theme" / "static" / "fashion-mnist.js"
    path.write_text(f"{HEAD}{json.dumps(data, separators=(',', ':'))};\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
