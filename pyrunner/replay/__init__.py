"""Replay: a file of events through the wire and the model, and the golden diff of what came out."""
