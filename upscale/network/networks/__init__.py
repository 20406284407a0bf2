"""The network architectures and the loss that they are trained with."""
