"""Keras's models as pure losses: what the adapters of TensorFlow, JAX and PyTorch have in common."""
