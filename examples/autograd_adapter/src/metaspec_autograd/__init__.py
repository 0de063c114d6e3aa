"""An adapter of metaspec for HIPS autograd."""

from metaspec import Registration

registration = Registration(
    name="autograd",
    adapter="metaspec_autograd.adapter:AutogradBackend",
    requires=("autograd",),
    arrays=("autograd",),
    install="pip install metaspec-autograd",
)
