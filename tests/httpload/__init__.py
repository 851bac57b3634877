"""The load of the HTTP tests and benchmark: a Go program (main.go), and from Python a `Load` of it (run.py)."""
