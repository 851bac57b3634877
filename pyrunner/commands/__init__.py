"""The verbs of `ds-runner`, one file each. A command is parse, call the SDK, print.

Exit codes, the same for every verb:

    0    done, and what was asked is so
    1    what was asked is not so: a replay differs, a check failed, nothing was found
    2    a mistake to mend in the command line, program.yaml, the data or the model file; the message says where and how
    3    something outside is missing or went away: no bridge runs, it ended, the port is taken
    130  interrupted (Ctrl-C) before it was done
"""

OK, NOT_SO, MISTAKE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130
