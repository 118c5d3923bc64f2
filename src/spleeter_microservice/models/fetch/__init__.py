"""Downloads of model weights, as bytes."""
