"""Tapes: live traffic in a file, to be run again elsewhere (bridge_go/tape/FORMAT.md).

`recorder` takes one off a bridge, `frames` reads its bytes, `contents` says what is on it, `environment` tells under what a worker scores.
The bridge plays it: `ds-runner replay TAPE`.
"""
