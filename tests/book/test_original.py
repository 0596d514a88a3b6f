"""The formulas of the section on the AlexNet of 2012, against its code."""

import numpy as np
import pytest
from contract.examples import Loaders

from bench.adapters import run_cells

# The first step that has the second rate; Keras's schedule keeps a rate in the step of its boundary, too.
SECOND_RATE = {"tensorflow": 31}
RATE_IN_VELOCITY = ("tensorflow", "mxnet")  # as in the article


def updated(steps, second, rate_in_velocity):
    """Weight and bias of a model of one input, from 0, after steps that take their sum to 1, by the section's rule."""
    w, v = np.zeros(2), np.zeros(2)
    for step in range(steps):
        rate = 0.01 if step < second else 0.001
        gradient = 2 * (w.sum() - 1)
        if rate_in_velocity:
            v = 0.9 * v - 0.0005 * rate * w - rate * gradient
            w = w + v
        else:
            v = 0.9 * v + gradient + 0.0005 * w
            w = w - rate * v
    return w


@pytest.mark.slow
def test_optimizer_takes_the_steps_of_the_rule(fw, full_run):
    configure = run_cells(fw.extra, "original", "eigenvalues")["OriginalAlexNet"].configure_optimizers
    model = fw.d2l.LinearRegression(lr=0.01)
    one = fw.tensor(np.ones((1, 1), np.float32)), fw.tensor(np.ones((1, 1), np.float32))
    fw.load(model, one[0], [np.zeros((1, 1), np.float32), np.zeros(1, np.float32)])
    plain = type(model).configure_optimizers
    type(model).configure_optimizers = configure
    try:
        fw.d2l.Trainer(max_epochs=36).fit(model, Loaders([one], None))
    finally:
        type(model).configure_optimizers = plain
    expected = updated(36, SECOND_RATE.get(fw.name, 30), fw.name in RATE_IN_VELOCITY)
    found = [float(np.sum(weight)) for weight in fw.weights(model)]
    assert sorted(found) == pytest.approx(sorted(expected), rel=2e-5)
    assert updated(36, 30, True) != pytest.approx(updated(36, 30, False), rel=2e-5)  # so it can tell the rules


def test_grouped_convolutions_cost_what_the_formulas_say(torch):
    net = run_cells(torch.extra, "original", "OriginalAlexNet")["OriginalAlexNet"]()
    table = [layer for layer in net.layer_table((1, 3, 227, 227)) if layer.parameters][:5]
    for groups, kernel, before, layer in zip(
        (1, 2, 1, 2, 2), (11, 5, 3, 3, 3), (3, 96, 256, 384, 384), table, strict=True
    ):
        _, channels, height, width = layer.output_shape
        weights = kernel**2 * before * channels // groups
        assert (layer.parameters, layer.multiply_adds) == (weights + channels, weights * height * width)
