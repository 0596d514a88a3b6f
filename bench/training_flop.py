"""What a training step of the chapter's AlexNet costs in arithmetic."""

IMAGE = (224, 224)
BATCH_SIZE = 128

# Products that a layer sums for one output, outputs at one position, positions. Images have one channel.
LAYERS = (
    (1 * 11 * 11, 96, 54 * 54),
    (96 * 5 * 5, 256, 26 * 26),
    (256 * 3 * 3, 384, 12 * 12),
    (384 * 3 * 3, 384, 12 * 12),
    (384 * 3 * 3, 256, 12 * 12),
    (256 * 5 * 5, 4096, 1),
    (4096, 4096, 1),
    (4096, 10, 1),
)


def training_flop() -> int:
    """FLOP to train on one image: a multiplication and an addition per product, forward and twice that backward.

    Nothing asks for the gradient of the images, so the first layer goes backward once.
    """
    forward = [2 * products * outputs * positions for products, outputs, positions in LAYERS]
    return 3 * sum(forward) - forward[0]
