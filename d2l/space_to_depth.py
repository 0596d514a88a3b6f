"""Convolutions with strides over few channels, computed as ones without strides over more: the geometry of it.

Few channels, such as those of an image, would leave most of a GPU's tensor cores idle. Each square of stride by stride
pixels becomes the channels of one pixel, in the images and in the kernel alike, and the sums stay the same: the
space-to-depth transform of Ying et al., "Image classification at supercomputer scale", 2018.
"""

from collections.abc import Sequence

TENSOR_CORE_CHANNELS = 8  # as many as a GPU's tensor cores take at a time

Pads = list[tuple[int, int]]  # zeros before and after, in each direction; a negative number cuts off


def space_to_depth_pads(
    image: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[Sequence[int]],
    channels: int,
) -> tuple[Pads, Pads] | None:
    """The padding of images and of the kernel after which both consist of whole squares, and the sums are the same.

    Args:
        image, kernel: Their heights and widths.
        strides: The convolution's, down and across.
        padding: The convolution's zeros before and after an image, in each direction.
        channels: Of the images.

    Returns:
        ``None`` where there is nothing to gain, and where the kernel is larger than the padded image.
    """
    stride, across = strides
    sizes = [(n, k, *around) for n, k, around in zip(image, kernel, padding, strict=True)]
    too_small = any(n + before + after < k for n, k, before, after in sizes)
    if stride == 1 or stride != across or too_small or channels >= TENSOR_CORE_CHANNELS:
        return None
    image_pads, kernel_pads = [], []
    for n, k, before, after in sizes:
        whole = -(-k // stride) * stride  # the kernel's size, up to the next multiple of the stride
        read = (n + before + after - k) // stride * stride + whole  # how far kernels of that size reach
        image_pads.append((before, read - before - n))
        kernel_pads.append((0, whole - k))
    return image_pads, kernel_pads
