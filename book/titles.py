"""What the frameworks call themselves, for readers of pages and PDFs."""

TITLES = {"pytorch": "PyTorch", "tensorflow": "TensorFlow", "mxnet": "MXNet", "jax": "JAX"}
