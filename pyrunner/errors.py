"""Mistakes that a user can mend.

Everything that is the user's to mend (a name in program.yaml, a method's result, a missing file) is raised as a
`UserError` whose text names the place and the fix. The command line prints that text and ends with exit code 2; no
traceback of ours is shown. All other exceptions are our own mistakes and rise.
"""


class UserError(Exception):
    """A mistake of the user's. `str()` is the whole message: one problem a line, each with its place.

    `place` is a file with line and column (`program.yaml:14:7`) or a dotted name, put before the message.
    """

    def __init__(self, message: str, *, place: str | None = None) -> None:
        super().__init__(f"{place} {message}" if place else message)
        self.message = message
        self.place = place
