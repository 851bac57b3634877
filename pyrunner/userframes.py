"""An exception of the user's code as the user wants to see it: from their first frame on, none of ours before it."""


def told(error: BaseException) -> str:
    """The traceback in the form that dead letters carry too."""
    from pyrunner.scoring.failures import user_traceback

    return user_traceback(error).rstrip()
