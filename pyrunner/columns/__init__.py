"""Events and answers as columns: what a model that takes a frame, a table or arrays gets without an object for each event.

    the bridge parses JSON -> COLUMNS -> read.py -> containers -> the model -> answers.py -> ANSWERS -> the bridge writes JSON

plan.py says from an event class whether that can be, and tells the bridge how; what cannot be goes as payloads, with reasons that
`check` prints. read.py wraps a body without a copy. Of an answer values.py makes numpy's arrays, whatever library it came from, and
encode.py the buffers. compose.py and render.py are the bridge's part in Python, for tests and `check_model`: slow, and held to the
same answers.
"""
