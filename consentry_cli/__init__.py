"""The command line of a deployment's operator. Never in the layer."""
