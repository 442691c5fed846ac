"""The live backend: graphs as `torch.nn` modules. The only backend that imports torch."""
