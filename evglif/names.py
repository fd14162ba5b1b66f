"""Names of what comes with the package, for commands that list them without loading it; a test compares them."""

NEURONS = ("glif", "plif", "lif", "if", "glif-f", "glif-s", *(f"simplex-{code:03b}" for code in range(8)), "relu")
"""As in ``evglif.neurons.NEURONS``."""

NETWORKS = (
    "7b-widenet",
    "resnet18",
    "resnet19",
    "resnet34",
    "ms-resnet18",
    "cifarnet",
    "plif-mnist",
    "plif-cifar10",
    "plif-cifar10dvs",
    "plif-dvs128gesture",
    "vggsnn",
    "vgg11",
    "qkformer",
)
"""As in ``evglif.models.MODELS``."""

INIT_NEURONS = ("taken", "fresh")
"""What becomes of the values of neurons where a training begins with what was learnt before."""

PICTURES = ("png", "svg", "pdf")
"""Suffixes of pictures."""

FORMS = (
    "a checkpoint (runs/digits/best.pt), a folder of weights, zoo:NAME (python -m evglif.zoo lists them) or "
    "hub:OWNER/NAME[@REVISION]"
)
"""What commands say of their argument."""
